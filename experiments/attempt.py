"""One attempt of a run, in one of its processes: the bundle trains with our handlers attached.

Owns those handlers: losses and figures are logged, checkpoints written, and the right to continue checked. The bundle's
own configuration decides everything else. It must never open a dataset.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from experiments import checkpoints, randomness
from experiments.bundles import Bundle, open_bundle
from experiments.cluster import RankInfo
from experiments.distributed import gather
from experiments.errors import (
    BundleError,
    ExperimentError,
    ForbiddenError,
    StoppedError,
    code_location,
    first_cause,
)
from experiments.stop_signal import Guard, PreemptedError, StopSignal, agree
from experiments.training_state import bare, capture, parts_of, restore

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.run_spec import RunSpec

AGREE_EVERY = 8
"""Ranks agree every N iterations whether to stop."""
LOG_EVERY = 20
"""Log losses every N iterations; logging synchronises the GPU."""


def read_workflow(spec: RunSpec, bundle: Bundle, processes: int) -> Any:
    """The bundle's training workflow for so many processes with the specification's settings, not yet started."""
    from monai.bundle.workflows import ConfigWorkflow

    logging.getLogger("monai").setLevel(logging.ERROR)
    output = spec.folder / "output"
    paths = {"bundle_root": bundle.folder, "dataset_dir": spec.dataset_dir, "output_dir": output, "ckpt_dir": output}
    workflow = ConfigWorkflow(config_file=bundle.config_files(processes), workflow_type="train", logging_file=False)
    settings = {name: str(path) for name, path in paths.items()} | {"seed": spec.seed} | spec.overrides
    workflow.parser.update({name: value for name, value in settings.items() if name in workflow.parser})
    for name, word in (("initialize", "init_process_group"), ("finalize", "destroy_process_group")):
        steps = workflow.parser.get(name)
        if isinstance(steps, list):  # ``distributed.join`` opens and closes the process group
            workflow.parser[name] = [step for step in steps if word not in str(step)]
    return workflow


class Log(Protocol):
    """Where an attempt's figures and files go."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Figures of one step."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file that the attempt wrote."""


@dataclass
class Attempt:
    """A trainer with our handlers. ``event_log``: None on every rank but the first."""

    spec: RunSpec
    info: RankInfo
    guard: Guard
    stop: StopSignal
    workflow: Any
    event_log: Log | None = None
    _losses: list[Any] = field(default_factory=list)
    _epoch_began: float = 0.0

    def prepare(self) -> None:
        """Build the bundle's objects, attach the handlers, and continue from the last checkpoint if there is one."""
        randomness.seed_everything(self.spec.seed)
        self.workflow.initialize()
        self.trainer = self.workflow.trainer
        self.evaluator = self.workflow.evaluator if "validate" in self.workflow.parser else None
        self._attach()
        if checkpoints.exists(self.spec.checkpoints):
            self._restore()

    def train(self) -> None:
        """Run the bundle to its end, unless it is there already."""
        if self.is_done:
            return
        try:
            self.workflow.run()
        except RuntimeError as error:  # MONAI wraps what happens inside its expressions
            cause = first_cause(error)
            if isinstance(cause, ExperimentError):
                raise cause from None
            raise

    @property
    def is_done(self) -> bool:
        """Have all epochs been trained?"""
        return bool(self.trainer.state.epoch >= self.trainer.state.max_epochs)

    @property
    def network(self) -> Any:
        """The bare network, without the wrapper that distributes it over processes."""
        return bare(self.trainer.network)

    def _attach(self) -> None:
        from ignite.engine import Events
        from monai.engines.utils import IterationEvents

        self.trainer.add_event_handler(Events.EPOCH_STARTED, self._begin_epoch)
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._after_iteration)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._after_epoch)
        if IterationEvents.LOSS_COMPLETED in self.trainer._allowed_events:
            self.trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, self._keep_loss)

    def _begin_epoch(self) -> None:
        self._epoch_began = time.perf_counter()
        dataset = getattr(self.trainer.data_loader, "dataset", None)
        randomness.begin_epoch(self.spec.seed, self.trainer.state.epoch, self.info.rank, dataset)

    def _keep_loss(self) -> None:
        if self.event_log:
            self._losses.append(self.trainer.state.output["loss"].detach())

    def _after_iteration(self) -> None:
        if len(self._losses) >= LOG_EVERY:
            self._log_losses()
        if self._is_epoch_end():  # the bundle's own handlers of the epoch run first
            return
        if reason := self._stop_reason():
            self._leave(reason)

    def _leave(self, reason: ExperimentError) -> NoReturn:
        """Raise ``reason``; after a checkpoint, where the run may be resumed."""
        if isinstance(reason, PreemptedError | StoppedError):
            self._log_losses()
            self._save(checkpoints.NEWEST)
        raise reason

    def _log_losses(self) -> None:
        """One transfer from the device for many iterations."""
        import torch

        if not self.event_log or not self._losses:
            return
        values = torch.stack(self._losses).float().tolist()
        first = self.trainer.state.iteration - len(values) + 1
        for iteration, value in enumerate(values, first):
            self.event_log.metrics({"train/loss": value}, iteration)
        self._losses.clear()

    def _stop_reason(self) -> ExperimentError | None:
        """Why all ranks stop after this iteration; they agree first, since one that stops alone blocks the others."""
        if self.info.world_size == 1:
            return self.stop.reason
        if self.trainer.state.iteration % AGREE_EVERY and not self._is_epoch_end():
            return None
        return agree(self.stop.reason)

    def _is_epoch_end(self) -> bool:
        return bool(self.trainer.state.iteration % self.trainer.state.epoch_length == 0)

    def _after_epoch(self) -> None:
        state = self.trainer.state
        self._log_losses()
        if self.event_log:
            self.event_log.metrics(self._epoch_figures(time.perf_counter() - self._epoch_began), state.epoch)
        if state.epoch % self.spec.checkpoint_every == 0 or state.epoch == state.max_epochs:
            self._verify()
            self._save(checkpoints.NEWEST)
            if self._is_best():
                self._save(checkpoints.BEST)
        if reason := self._stop_reason():
            raise reason

    def _epoch_figures(self, seconds: float) -> dict[str, float]:
        trainer, evaluator = self.trainer, self.evaluator
        figures = {f"train/{name}": value for name, value in _numbers(trainer.state.metrics).items()}
        if evaluator is not None and evaluator.state.epoch == trainer.state.epoch:  # it ran in this epoch
            figures |= {f"validation/{name}": value for name, value in _numbers(evaluator.state.metrics).items()}
        for number, group in enumerate(trainer.optimizer.param_groups):
            figures[f"train/learning_rate{f'_{number}' if number else ''}"] = float(group["lr"])
        figures["train/seconds_per_epoch"] = seconds
        samples = (getattr(trainer.data_loader, "batch_size", None) or 1) * int(trainer.state.epoch_length or 1)
        figures["train/samples_per_second"] = samples * self.info.world_size / seconds
        return figures

    def _is_best(self) -> bool:
        return self.evaluator is None or self.evaluator.state.best_metric_epoch in (-1, self.trainer.state.epoch)

    def _verify(self) -> None:
        """The first rank asks the guard for all of them; a refusal stops all."""
        refusal: ExperimentError | None = None
        if self.info.is_first:
            try:
                self.guard.verify()
            except ForbiddenError as error:
                refusal = error
        if self.info.world_size > 1:
            refusal = agree(refusal)
        if refusal:
            self._leave(refusal)

    def _save(self, name: str) -> None:
        """The first rank writes, with the random states of all."""
        random = gather(randomness.states(), self.info)
        if self.info.is_first:
            state = capture(self.trainer, self.evaluator, parts_of(self.trainer, self.workflow.parser))
            checkpoints.save(self.spec.checkpoints, name, {"run": self.spec.run, "random": random, **state})

    def _restore(self) -> None:
        kept = checkpoints.load(self.spec.checkpoints, checkpoints.NEWEST)
        if kept["run"] != self.spec.run:
            raise ExperimentError(f"the checkpoint is of run {kept['run']}, not of {self.spec.run}")
        restore(kept, self.trainer, self.evaluator, parts_of(self.trainer, self.workflow.parser), self.info.rank)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are one number."""
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError):
            continue
    return numbers


def open_attempt(spec: RunSpec, info: RankInfo, guard: Guard, stop: StopSignal, **more: Any) -> Attempt:
    """The attempt of this process, prepared; BundleError with the location of what fails in the bundle."""
    bundle = open_bundle(spec.bundle_folder)
    try:
        attempt = Attempt(spec, info, guard, stop, read_workflow(spec, bundle, info.world_size), **more)
        attempt.prepare()
    except ExperimentError:
        raise
    except Exception as error:
        cause = first_cause(error)
        if isinstance(cause, ExperimentError):
            raise cause from None
        location = f"{type(cause).__name__} in {code_location(cause)}"
        raise BundleError(f"bundle {spec.bundle} cannot be built: {location}") from error
    return attempt
