"""How many examples a property takes: the number of a full run, or its share where the profile takes fewer."""

from __future__ import annotations

from hypothesis import settings

FULL = 100
"""Examples of a property that asks for no number, in a full run."""


def examples(number: int) -> int:
    """``number`` in a full run; under a profile that takes a share of ``FULL``, that share of it, and 3 at least."""
    return max(3, number * min(settings().max_examples, FULL) // FULL)
