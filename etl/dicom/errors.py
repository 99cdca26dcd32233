"""Refusals of series: one sentence, without a value of the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class SeriesRefusedError(Exception):
    """A series that does not enter the warehouse; ``str()`` is the reason, for quarantine."""


@contextmanager
def refuse_on_error(reason: str) -> Iterator[None]:
    """Turn any error into a refusal that names its class only.

    pydicom's messages quote values, and a file may break it in any way.
    """
    try:
        yield
    except (SeriesRefusedError, OSError, MemoryError):
        raise
    except Exception as error:
        raise SeriesRefusedError(f"{reason} ({type(error).__name__})") from None


@contextmanager
def refuse_on_image(number: int, count: int) -> Iterator[None]:
    """Say in a refusal which image of the series it speaks of."""
    try:
        yield
    except SeriesRefusedError as error:
        raise SeriesRefusedError(f"image {number} of {count}: {error}") from None
