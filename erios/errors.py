"""The errors a person sees: one sentence each, one exit code a family.

Owns the families and their codes; standard library only. A sentence says what failed, the offending name,
the allowed values and the next step, and must never hold a value of a patient's record.
"""

from __future__ import annotations

from typing import ClassVar


class EriosError(Exception):
    """A failure with a sentence for the person at the keyboard; ``str()`` is that sentence."""

    exit_code: ClassVar[int] = 1

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class TrainingFailed(EriosError):  # noqa: N818 - what came of it, not a fault of ours
    """A training ended in a failure of its own; the run's reason names it."""

    exit_code = 1


class UsageError(EriosError):
    """A command, option, setting, view or suite that is not as it must be."""

    exit_code = 2


class InputError(EriosError):
    """An export, list or release that cannot be read: missing path, empty folder, truncated file."""

    exit_code = 3


class KeyringError(EriosError):
    """No keyring, a keyring that others can read, or a damaged one."""

    exit_code = 4


class ValidationBlocked(EriosError):  # noqa: N818 - a decision, not a fault
    """Validation refused publication; the last release stands."""

    exit_code = 5


class StorageError(EriosError):
    """A zone cannot be written or read: disk full, no permission, damaged files."""

    exit_code = 6


class BusyError(EriosError):
    """Another load holds the warehouse, or another command what this one must write."""

    exit_code = 7


class MachineError(EriosError):
    """The machine lacks something the command needs, such as Java."""

    exit_code = 8


class RefusedError(EriosError):
    """A rule of governance refuses it: it takes another person, or it comes too late."""

    exit_code = 9


class InternalError(EriosError):
    """A fault of this program; its log names code locations only."""

    exit_code = 70


INTERRUPTED = 130
"""Exit code after Ctrl-C (128 + SIGINT)."""

FAMILIES: tuple[type[EriosError], ...] = (
    TrainingFailed,
    UsageError,
    InputError,
    KeyringError,
    ValidationBlocked,
    StorageError,
    BusyError,
    MachineError,
    RefusedError,
    InternalError,
)
