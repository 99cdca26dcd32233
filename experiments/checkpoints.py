"""Checkpoints of a run: all that the next iteration depends on, written whole, read without running code.

Owns the folder of checkpoints, its newest and its best file. A checkpoint holds weights, the states of optimiser,
schedulers and scaler, the position in the data, and the states of the random generators.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.errors import CheckpointError
from experiments.files import write_whole_with

NEWEST, BEST = "newest.pt", "best.pt"


def save(folder: Path, name: str, state: dict[str, Any]) -> None:
    """Write ``state`` under ``name``; whoever kills this leaves the file that was there before."""
    import torch

    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    write_whole_with(folder / name, lambda file: torch.save(state, file))


def load(folder: Path, name: str) -> dict[str, Any]:
    """The state under ``name``, on the processor; CheckpointError if it is missing or damaged."""
    import torch

    path = folder / name
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}: start the run anew instead of resuming it")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"checkpoint {path} is damaged ({type(error).__name__}): start the run anew") from None
    return state


def exists(folder: Path, name: str = NEWEST) -> bool:
    return (folder / name).is_file()
