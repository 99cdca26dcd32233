"""Why a series stays out of the warehouse: one sentence, without a value of the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class HeldBack(Exception):  # noqa: N818 - a refusal, not a fault
    """The series cannot be treated; ``str()`` is the reason for quarantine."""


@contextmanager
def held_back(what: str) -> Iterator[None]:
    """Anything that goes wrong inside becomes a refusal that names the kind of fault only.

    pydicom's messages quote values, and a file may break it in any way.
    """
    try:
        yield
    except (HeldBack, OSError, MemoryError):
        raise
    except Exception as error:
        raise HeldBack(f"{what} ({type(error).__name__})") from None
