"""The trained network as a model of the tracking: an exported graph (pt2), which loads without running pickled code.

Owns what goes with a model: signature, licence, intended use, and the run's bundle beside it.
"""

from __future__ import annotations

import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.errors import BundleError

if TYPE_CHECKING:
    from experiments.attempt import Attempt
    from experiments.recorder_client import Recording

NAME = "model"


def keep_model(attempt: Attempt, recording: Recording) -> None:
    """Log the network to the attempt's MLflow run; BundleError if it cannot be exported."""
    import mlflow
    from mlflow.models import infer_signature
    from mlflow.pytorch import log_model

    network = attempt.network.cpu().eval()
    example = example_input(attempt)
    answer = _answer(network, example)
    mlflow.set_tracking_uri(attempt.spec.tracking_uri)
    run = recording.mlflow_run()
    with mlflow.start_run(run_id=run), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            log_model(
                network,
                name=NAME,
                serialization_format="pt2",
                input_example=example,
                signature=infer_signature(example, answer),
                pip_requirements=requirements(),
                metadata=facts(attempt),
            )
        except Exception as error:
            raise BundleError(
                f"the network of bundle {attempt.spec.bundle} cannot be exported without pickle"
                f" ({type(error).__name__}): torch.export must be able to trace it"
            ) from error
        finally:
            _leave_open(run)


def _leave_open(run: str) -> None:
    """The recorder ends the run, not this block."""
    from mlflow.tracking.fluent import _active_run_stack

    active: Any = _active_run_stack
    stack = active.get()
    if stack and stack[-1].info.run_id == run:
        stack.pop()


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


def requirements() -> list[str]:
    """What the model needs to be loaded."""
    return [f"{name}=={version(name).split('+')[0]}" for name in ("torch", "monai", "numpy")]


def facts(attempt: Attempt) -> dict[str, str]:
    """The model's metadata: the bundle's description, and its origin."""
    parser: Any = attempt.workflow.parser
    metadata: dict[str, Any] = parser.get("_meta_") or {}
    words = {name: str(metadata.get(name, "")) for name in ("name", "version", "task", "intended_use", "copyright")}
    return words | {"run": attempt.spec.run, **attempt.spec.facts}
