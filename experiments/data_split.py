"""The part of the data of a patient: training, validation or test, exactly one.

The part follows from the patient's pseudonym and the seed alone, so it does not change with the order of rows, with
other patients, or with the number of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType

from experiments.errors import BundleError

PARTS = ("train", "validation", "test")
SHARES: Mapping[str, float] = MappingProxyType({"train": 0.6, "validation": 0.2, "test": 0.2})


def part_of(patient: str, seed: int, shares: Mapping[str, float] = SHARES) -> str:
    """The part of one patient; BundleError if ``shares`` are not of these parts or do not sum to one."""
    if set(shares) - set(PARTS) or min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-9:
        raise BundleError(f"shares are for {', '.join(PARTS)} and sum to 1, not {dict(shares)}")
    digest = blake2b(patient.encode(), digest_size=8, key=f"erios split {seed}".encode()).digest()
    left = int.from_bytes(digest) / 2**64
    for part in PARTS:
        left -= shares.get(part, 0.0)
        if left < 0:
            return part
    return PARTS[-1]
