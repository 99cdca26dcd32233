"""Every random number of a run, as a function of its seed: per epoch and rank, so that an epoch can be run again.

Owns the seeding of Python, NumPy, torch and MONAI's transforms, and the keeping of the generators' states.
"""

from __future__ import annotations

import random
from hashlib import blake2b
from typing import Any

import numpy as np


def seed_of(seed: int, *where: object) -> int:
    """A seed (32 bits) for a place in a run, such as an epoch and a rank."""
    digest = blake2b(repr((seed, *where)).encode(), digest_size=4).digest()
    return int.from_bytes(digest)


def seed_everything(seed: int) -> None:
    """Set the generators of Python, NumPy and torch (all devices)."""
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def begin_epoch(seed: int, epoch: int, rank: int, dataset: Any) -> None:
    """Set all generators, and the transforms' own, to where this epoch of this rank begins."""
    seed_everything(seed_of(seed, epoch, rank))
    transform: Any = getattr(dataset, "transform", None)
    if hasattr(transform, "set_random_state"):
        transform.set_random_state(seed=seed_of(seed, epoch, rank, "transforms"))


def states() -> dict[str, Any]:
    """The states of the generators, as a checkpoint keeps them."""
    import torch

    _kind, keys, position, has_gauss, gauss = np.random.get_state()
    version, numbers, following = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [torch.from_numpy(np.asarray(keys, dtype=np.int64)), int(position), int(has_gauss), float(gauss)],
        "python": [version, list(numbers), following],
    }


def restore(kept: dict[str, Any]) -> None:
    """Put the generators where ``states`` found them."""
    import torch

    torch.set_rng_state(kept["torch"])
    if kept["cuda"] and len(kept["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(kept["cuda"])
    keys, position, has_gauss, gauss = kept["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, numbers, following = kept["python"]
    random.setstate((version, tuple(numbers), following))
