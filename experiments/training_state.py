"""The state of a training as a checkpoint holds it: captured after an iteration, restored into a new trainer.

Owns what belongs to that state: weights, optimiser, scaler, schedulers, position in the data, best figure so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments import randomness


def parts_of(trainer: Any, parser: Any) -> dict[str, Any]:
    """Every object that changes while training: network, optimiser, scaler, and the configuration's schedulers."""
    from torch.optim.lr_scheduler import LRScheduler

    parts = {"network": bare(trainer.network), "optimizer": trainer.optimizer}
    if trainer.scaler is not None:
        parts["scaler"] = trainer.scaler
    for name, item in parser.ref_resolver.resolved_content.items():
        if isinstance(item, LRScheduler):
            parts[f"scheduler {name}"] = item
    return parts


def bare(network: Any) -> Any:
    """The network without the wrapper that distributes it over processes."""
    return getattr(network, "module", network)


def capture(trainer: Any, evaluator: Any | None, parts: Mapping[str, Any]) -> dict[str, Any]:
    """The state after the trainer's last iteration."""
    state, best = trainer.state, {}
    if evaluator is not None:
        best = {"metric": float(evaluator.state.best_metric), "epoch": evaluator.state.best_metric_epoch}
    position = {"epoch": state.epoch, "iteration": state.iteration, "epoch_length": state.epoch_length}
    return {"position": position, "best": best, **{name: part.state_dict() for name, part in parts.items()}}


def restore(kept: Mapping[str, Any], trainer: Any, evaluator: Any | None, parts: Mapping[str, Any], rank: int) -> None:
    """Continue from ``kept``, which holds the random states of all ranks under ``random``."""
    for name, part in parts.items():
        if name in kept:
            part.load_state_dict(kept[name])
    position = kept["position"]
    resumed = {name: position[name] for name in ("iteration", "epoch_length")}
    trainer.load_state_dict({**resumed, "max_epochs": trainer.state.max_epochs})
    if evaluator is not None and kept["best"]:
        evaluator.state.best_metric = kept["best"]["metric"]
        evaluator.state.best_metric_epoch = kept["best"]["epoch"]
    if within := position["iteration"] % position["epoch_length"]:
        trainer.data_loader = ResumedLoader(trainer.data_loader, within, kept["random"][rank])


class ResumedLoader:
    """A loader whose first epoch begins after ``skip`` batches.

    Those are loaded and dropped, so that they take their random draws; then the generators are set to ``random``.
    """

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
