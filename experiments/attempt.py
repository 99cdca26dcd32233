"""One attempt of a run, in one of its processes: the bundle trains, and is watched, checkpointed and told of.

Owns what is hung onto the bundle's trainer, and the order in which an attempt ends. The bundle's own configuration
decides everything else. It must never open a dataset nor decide whether the run is allowed: it asks the guard.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from experiments import checkpoints, randomness
from experiments.bundles import Bundle, open_bundle
from experiments.errors import BundleError, ExperimentError, ForbiddenError, StoppedError

if TYPE_CHECKING:
    from experiments.cluster import RankInfo
    from experiments.event_log import EventLog
    from experiments.run_spec import RunSpec

CHECK_EVERY = 10.0
"""Seconds between two checks of the right to continue, within an epoch."""
AGREE_EVERY = 8
"""Ranks agree every N iterations whether to stop."""
LOG_EVERY = 20
"""Log losses every N iterations; logging synchronises the GPU."""


class Guard(Protocol):
    """Whether the run may go on. Both raise ForbiddenError with the reason."""

    def verify(self) -> None:
        """Every right and every byte of the extract."""

    def ask(self) -> None:
        """The rights alone: cheap, asked often."""


class PreemptedError(ExperimentError):
    """The scheduler takes the nodes back: the run is checkpointed and may be queued again."""


@dataclass
class StopSignal:
    """Why this process should stop, once it should; set by a signal or by the guard, read between iterations."""

    reason: ExperimentError | None = None
    _done: threading.Event = field(default_factory=threading.Event)

    def on_signal(self, number: int, _frame: object) -> None:
        self.reason = self.reason or PreemptedError(f"stopped by {signal.Signals(number).name}")

    def ask(self, guard: Guard, every: float = CHECK_EVERY) -> None:
        """Ask until told not to; an answer that cannot be had is a no."""
        while not self._done.wait(every):
            try:
                guard.ask()
            except ForbiddenError as error:
                self.reason = error
                return
            except Exception as error:
                self.reason = ForbiddenError(f"the right to go on cannot be checked ({type(error).__name__})")
                return

    def end(self) -> None:
        self._done.set()


def read_workflow(spec: RunSpec, bundle: Bundle, rank_info: RankInfo) -> Any:
    """The bundle's training workflow with the specification's settings, not yet started."""
    from monai.bundle.workflows import ConfigWorkflow

    logging.getLogger("monai").setLevel(logging.ERROR)
    output = spec.folder / "output"
    paths = {"bundle_root": bundle.folder, "dataset_dir": spec.dataset_dir, "output_dir": output, "ckpt_dir": output}
    workflow = ConfigWorkflow(
        config_file=bundle.config_files(rank_info.world_size), workflow_type="train", logging_file=False
    )
    settings = {name: str(path) for name, path in paths.items()} | {"seed": spec.seed} | spec.overrides
    workflow.parser.update({name: value for name, value in settings.items() if name in workflow.parser})
    for name, word in (("initialize", "init_process_group"), ("finalize", "destroy_process_group")):
        steps = workflow.parser.get(name)
        if isinstance(steps, list):  # the group of processes is ours
            workflow.parser[name] = [step for step in steps if word not in str(step)]
    return workflow


@dataclass
class Attempt:
    """A trainer with what is hung onto it. ``event_log`` is the first rank's alone."""

    spec: RunSpec
    rank_info: RankInfo
    guard: Guard
    stop: StopSignal
    workflow: Any
    event_log: EventLog | None = None
    recorder_alive: Callable[[], bool] = lambda: True
    _losses: list[Any] = field(default_factory=list)
    _started: float = 0.0

    def prepare(self) -> None:
        """Build the bundle's objects, hang ours onto them, and go back to the last checkpoint if there is one."""
        randomness.seed_everything(self.spec.seed)
        self.workflow.initialize()
        self.trainer = self.workflow.trainer
        self.evaluator = self.workflow.evaluator if "validate" in self.workflow.parser else None
        self._attach()
        if checkpoints.exists(self.spec.checkpoints):
            self._go_back()

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
        return bool(self.trainer.state.epoch >= self.trainer.state.max_epochs)

    @property
    def network(self) -> Any:
        """The bare network, without what spreads it over processes."""
        return getattr(self.trainer.network, "module", self.trainer.network)

    def _attach(self) -> None:
        from ignite.engine import Events
        from monai.engines.utils import IterationEvents

        self.trainer.add_event_handler(Events.EPOCH_STARTED, self._begin_epoch)
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._after_iteration)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._after_epoch)
        if IterationEvents.LOSS_COMPLETED in self.trainer._allowed_events:
            self.trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, self._keep_loss)

    def _begin_epoch(self) -> None:
        self._started = time.perf_counter()
        loader = self.trainer.data_loader
        dataset = getattr(loader, "dataset", None)
        randomness.begin_epoch(self.spec.seed, self.trainer.state.epoch, self.rank_info.rank, dataset)

    def _keep_loss(self) -> None:
        if self.event_log:
            self._losses.append(self.trainer.state.output["loss"].detach())

    def _after_iteration(self) -> None:
        if len(self._losses) >= LOG_EVERY:
            self._log_losses()
        if self._is_epoch_end():  # what the bundle does after an epoch comes first
            return
        if reason := self._stop_reason():
            self._leave(reason)

    def _leave(self, reason: ExperimentError) -> NoReturn:
        """End here; with a checkpoint, where the run may come back."""
        if isinstance(reason, PreemptedError | StoppedError):
            self._log_losses()
            self._save(checkpoints.NEWEST)
        raise reason

    def _log_losses(self) -> None:
        """One transfer from the device for many iterations."""
        import torch

        if not self.event_log or not self._losses:
            return
        last = self.trainer.state.iteration
        values = torch.stack(self._losses).float().tolist()
        for index, value in enumerate(values):
            self.event_log.metrics({"train/loss": value}, last - len(values) + 1 + index)
        self._losses.clear()

    def _stop_reason(self) -> ExperimentError | None:
        """Why all ranks stop after this iteration; they agree first, since one alone would leave the others."""
        if not self.recorder_alive():
            from experiments.errors import TrackingError

            self.stop.reason = TrackingError("the recorder of the run died: nothing goes on that is not recorded")
        if self.rank_info.world_size == 1:
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
            self.event_log.metrics(self._epoch_figures(time.perf_counter() - self._started), state.epoch)
        if state.epoch % self.spec.checkpoint_every == 0 or state.epoch == state.max_epochs:
            self._verify()
            self._save(checkpoints.NEWEST)
            if self._is_best():
                self._save(checkpoints.BEST)
        if reason := self._stop_reason():
            raise reason

    def _epoch_figures(self, seconds: float) -> dict[str, float]:
        figures = {f"train/{name}": value for name, value in _plain(self.trainer.state.metrics).items()}
        if self.evaluator is not None and self.evaluator.state.epoch == self.trainer.state.epoch:  # it ran this epoch
            figures |= {f"validation/{name}": value for name, value in _plain(self.evaluator.state.metrics).items()}
        for number, group in enumerate(self.trainer.optimizer.param_groups):
            figures[f"train/learning_rate{f'_{number}' if number else ''}"] = float(group["lr"])
        figures["train/seconds_per_epoch"] = seconds
        size = getattr(self.trainer.data_loader, "batch_size", None) or 1
        figures["train/samples_per_second"] = size * state_length(self.trainer) * self.rank_info.world_size / seconds
        return figures

    def _is_best(self) -> bool:
        return self.evaluator is None or self.evaluator.state.best_metric_epoch in (-1, self.trainer.state.epoch)

    def _verify(self) -> None:
        """The first rank asks for all; a no stops all."""
        failure: ExperimentError | None = None
        if self.rank_info.is_first:
            try:
                self.guard.verify()
            except ForbiddenError as error:
                failure = error
        if self.rank_info.world_size > 1:
            failure = agree(failure)
        if failure:
            self._leave(failure)

    def _save(self, name: str) -> None:
        """The first rank writes, with the random states of all."""
        state, random = self.trainer.state, gather(randomness.states(), self.rank_info)
        if not self.rank_info.is_first:
            return
        kept = {part: thing.state_dict() for part, thing in self._parts().items()}
        position = {"epoch": state.epoch, "iteration": state.iteration, "epoch_length": state.epoch_length}
        best = {}
        if self.evaluator is not None:
            best = {"metric": float(self.evaluator.state.best_metric), "epoch": self.evaluator.state.best_metric_epoch}
        content = {"run": self.spec.run, "position": position, "best": best, "random": random, **kept}
        checkpoints.save(self.spec.checkpoints, name, content)

    def _parts(self) -> dict[str, Any]:
        """All that changes while training: network, optimiser, scaler, and every scheduler of the configuration."""
        from torch.optim.lr_scheduler import LRScheduler

        parts = {"network": self.network, "optimizer": self.trainer.optimizer}
        if self.trainer.scaler is not None:
            parts["scaler"] = self.trainer.scaler
        for name, thing in self.workflow.parser.ref_resolver.resolved_content.items():
            if isinstance(thing, LRScheduler):
                parts[f"scheduler {name}"] = thing
        return parts

    def _go_back(self) -> None:
        kept = checkpoints.load(self.spec.checkpoints, checkpoints.NEWEST)
        if kept["run"] != self.spec.run:
            raise ExperimentError(f"the checkpoint is of run {kept['run']}, not of {self.spec.run}")
        for part, thing in self._parts().items():
            if part in kept:
                thing.load_state_dict(kept[part])
        position, state = kept["position"], self.trainer.state
        self.trainer.load_state_dict(
            {
                "iteration": position["iteration"],
                "epoch_length": position["epoch_length"],
                "max_epochs": state.max_epochs,
            }
        )
        if self.evaluator is not None and kept["best"]:
            self.evaluator.state.best_metric = kept["best"]["metric"]
            self.evaluator.state.best_metric_epoch = kept["best"]["epoch"]
        if within := position["iteration"] % position["epoch_length"]:
            self.trainer.data_loader = Rejoined(self.trainer.data_loader, within, kept["random"][self.rank_info.rank])


class Rejoined:
    """A loader whose first epoch begins after ``skip`` batches: those are loaded, so that every random draw is
    theirs, and let go; then the generators are put where the checkpoint found them."""

    def __init__(self, loader: Any, skip: int, random: Mapping[str, Any]) -> None:
        self._loader, self._skip, self._random = loader, skip, dict(random)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Any:
        batches = iter(self._loader)
        if self._skip:
            for _ in range(self._skip):
                next(batches)
            self._skip = 0
            randomness.restore(self._random)
        return batches


def state_length(trainer: Any) -> int:
    """Iterations of an epoch."""
    return int(trainer.state.epoch_length or 1)


def _plain(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are one number."""
    plain: dict[str, float] = {}
    for name, value in metrics.items():
        try:
            plain[name] = float(value)
        except (TypeError, ValueError):
            continue
    return plain


_REASONS: tuple[type[ExperimentError], ...] = (PreemptedError, StoppedError, ForbiddenError)
"""From the lightest to the gravest; any other is graver."""


def agree(mine: ExperimentError | None) -> ExperimentError | None:
    """What all ranks do together: the gravest reason of any of them."""
    told = None if mine is None else (type(mine).__name__, str(mine))
    known = [one for one in _gathered(told) if one is not None]
    if not known:
        return None
    kinds: dict[str, type[ExperimentError]] = {one.__name__: one for one in _REASONS}
    gravity = list(kinds)
    kind, sentence = max(known, key=lambda one: gravity.index(one[0]) if one[0] in kinds else len(kinds))
    return kinds.get(kind, ExperimentError)(sentence)


def gather(mine: Any, rank_info: RankInfo) -> list[Any]:
    """Every rank's value, by rank."""
    return [mine] if rank_info.world_size == 1 else _gathered(mine)


def _gathered(mine: Any) -> list[Any]:
    import torch.distributed as dist

    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, mine)
    return values


def check_agreement(network: Any, rank_info: RankInfo) -> str:
    """The digest of the weights, the same on all ranks; ExperimentError if one differs."""
    mine = weights_digest(network)
    if len(set(gather(mine, rank_info))) > 1:
        raise ExperimentError("the ranks ended with different weights: the bundle does not train them together")
    return mine


def weights_digest(network: Any) -> str:
    """SHA-256 over the names, shapes and bytes of a network's weights."""
    from hashlib import sha256

    import torch

    digest = sha256()
    for name, tensor in sorted(network.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\0".encode())
        digest.update(plain.reshape(-1).view(dtype=torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def meter(spec: RunSpec, rank_info: RankInfo) -> AbstractContextManager[Any]:
    """The node's energy meter, on its first process."""
    from experiments.energy import Meter

    return Meter() if spec.energy and rank_info.is_first_on_node else nullcontext()


def open_attempt(spec: RunSpec, rank_info: RankInfo, guard: Guard, stop: StopSignal, **more: Any) -> Attempt:
    """The attempt of this process, prepared; BundleError says what of the bundle does not work."""
    bundle = open_bundle(spec.bundle_folder)
    try:
        attempt = Attempt(spec, rank_info, guard, stop, read_workflow(spec, bundle, rank_info), **more)
        attempt.prepare()
    except ExperimentError:
        raise
    except Exception as error:
        cause = first_cause(error)
        if isinstance(cause, ExperimentError):
            raise cause from None
        raise BundleError(f"bundle {spec.bundle} cannot be built: {type(cause).__name__} in {where(cause)}") from error
    return attempt


def first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def where(error: BaseException) -> str:
    """File and line of the innermost frame; no values."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "its configuration"
