"""The trained network as a model of the tracking: an exported graph (pt2), which loads without running pickled code.

Owns both halves. Inside the sandbox the network is exported to a file; outside, the files of a model are written around
it (signature, licence, intended use, what it needs): the graph is never loaded there, nothing else comes from inside.
"""

from __future__ import annotations

import shutil
import warnings
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.errors import BundleError, SandboxError

if TYPE_CHECKING:
    from experiments.attempt import Attempt
    from experiments.recorder_client import Recording

NAME = "model"
GRAPH, EXAMPLE, ANSWER = "model.pt2", "example.npy", "answer.npy"
_WORDS = ("name", "version", "task", "intended_use", "copyright")


def export(attempt: Attempt, folder: Path) -> dict[str, str]:
    """Write the network's graph, an example of its input and the answer to it; answers what the bundle says of itself.

    BundleError if the network cannot be traced.
    """
    import torch

    network = attempt.network.cpu().eval()
    example = example_input(attempt)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape = {0: torch.export.Dim.AUTO}
            graph = torch.export.export(network, (torch.from_numpy(example),), dynamic_shapes=[shape])
            graph._example_inputs = None  # they would be pickled
            torch.export.save(graph, folder / GRAPH)
    except Exception as error:
        raise BundleError(
            f"the network of bundle {attempt.spec.bundle} cannot be exported without pickle ({type(error).__name__}): "
            "torch.export must be able to trace it"
        ) from error
    np.save(folder / EXAMPLE, example, allow_pickle=False)
    np.save(folder / ANSWER, _answer(network, example), allow_pickle=False)
    metadata: dict[str, Any] = attempt.workflow.parser.get("_meta_") or {}
    return {name: str(metadata.get(name, "")) for name in _WORDS}


def example_input(attempt: Attempt) -> Any:
    """Two rows of zeros, shaped as the training's first batch: it shows the form and no patient's value."""
    batch = next(iter(attempt.trainer.data_loader))
    image, _label = attempt.trainer.prepare_batch(batch, "cpu", False)[:2]
    return np.zeros((2, *image.shape[1:]), dtype=np.float32)


def _answer(network: Any, example: Any) -> Any:
    import torch

    with torch.inference_mode():
        answer = network(torch.from_numpy(example))
    return answer.numpy() if hasattr(answer, "numpy") else answer[0].numpy()


def keep_model(folder: Path, metadata: dict[str, str], recording: Recording) -> None:
    """Log the exported graph in ``folder`` to the attempt's MLflow run, without loading it."""
    import mlflow
    from mlflow.models import Model as Logged
    from mlflow.models import infer_signature

    signature = infer_signature(_array(folder / EXAMPLE), _array(folder / ANSWER))
    mlflow.set_tracking_uri(recording.spec.tracking_uri)
    run = recording.mlflow_run()
    with mlflow.start_run(run_id=run), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flavour: Any = SimpleNamespace(__name__="mlflow.pytorch", save_model=_write_around)
        try:
            Logged.log(
                None,
                flavour,
                name=NAME,
                run_id=run,
                folder=folder,
                signature=signature,
                metadata=metadata | {"run": recording.spec.run, **recording.spec.facts},
                validate_serving_input=False,
            )
        finally:
            _leave_open(run)


def _write_around(path: str, mlflow_model: Any, folder: Path, signature: Any, **_options: Any) -> None:
    """The files of MLflow's own form of a PyTorch model (`mlflow.pytorch`, pt2) around the graph in ``folder``."""
    from mlflow import pyfunc

    target = Path(path)
    (target / "data").mkdir(parents=True)
    shutil.copyfile(folder / GRAPH, target / "data" / GRAPH)
    mlflow_model.signature = signature
    mlflow_model.add_flavor("pytorch", model_data="data", pytorch_version=version("torch"), code=None)
    pyfunc.add_to_model(mlflow_model, loader_module="mlflow.pytorch", data="data", model_config={"device": None})
    (target / "requirements.txt").write_text("\n".join(requirements()) + "\n", encoding="utf-8")
    mlflow_model.save(str(target / "MLmodel"))


def _array(path: Path) -> Any:
    """An array of numbers that the training wrote; SandboxError if it is none."""
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False).astype(np.float32)
    except (ValueError, TypeError, OSError, EOFError, MemoryError):
        raise SandboxError(f"{path.name} of the training is no array of numbers") from None


def _leave_open(run: str) -> None:
    """The recorder ends the run, not this block."""
    from mlflow.tracking.fluent import _active_run_stack

    active: Any = _active_run_stack
    stack = active.get()
    if stack and stack[-1].info.run_id == run:
        stack.pop()


def requirements() -> list[str]:
    """What the model needs to be loaded."""
    return [f"{name}=={version(name).split('+')[0]}" for name in ("torch", "monai", "numpy")]
