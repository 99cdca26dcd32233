"""Which extracts hold rows of given patients: asked by objections and erasures, so that each can say what it touches.

No extract can be made yet, so the answer is none; whoever brings extracts fills ``touched``, and every command that
prints ``sentence`` follows.
"""

from __future__ import annotations

from collections.abc import Collection


def touched(patient_keys: Collection[str]) -> tuple[str, ...]:
    """Ids of the extracts that hold rows of one of the patients, given by pseudonym."""
    return ()


def sentence(patient_keys: Collection[str]) -> str:
    """What to print of the extracts that a change of these patients touches."""
    found = touched(patient_keys)
    return f"Extracts touched: {', '.join(found)}." if found else "Extracts touched: none, no extract exists yet."
