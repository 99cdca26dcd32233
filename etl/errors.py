"""Errors of the load: one sentence each, for a data manager; never a value of a patient's record."""

from __future__ import annotations

import errno


class EtlError(Exception):
    """Base of all errors here; ``str()`` is the sentence to show."""


class InputError(EtlError):
    """The export cannot be taken as it is: missing, empty, unreadable, cut short."""


class PrivacyError(EtlError):
    """A column without a decision, or key material that is unfit."""


class ReconciliationError(EtlError):
    """Resources received do not equal the sum of their outcomes; nothing is published."""


class StorageError(EtlError):
    """A zone cannot be written or read: no space, no permission, a damaged file."""


class BusyError(EtlError):
    """Another load holds the warehouse."""


class ReleaseError(EtlError):
    """A release or table that does not exist, or is damaged."""


class GateRefused(EtlError):  # noqa: N818 - a refusal, not a fault
    """Validation blocked publication; the last release stays."""


def refusal(error: OSError) -> str:
    """Why the system refuses to write, in words, and what to do."""
    reasons = {
        errno.ENOSPC: "the disk is full; free space and run the same command again",
        errno.EDQUOT: "the disk quota is used up; free space and run the same command again",
        errno.EACCES: "permission denied; give the service account write access to it",
        errno.EPERM: "permission denied; give the service account write access to it",
        errno.EROFS: "it is mounted read-only",
        errno.EFBIG: "a file size limit was reached; raise it and run the same command again",
    }
    return reasons.get(error.errno or 0, error.strerror or type(error).__name__)


def storage_error(error: OSError, zone: str) -> StorageError:
    """The sentence for an operating-system fault while writing a zone; names no file of a patient."""
    return StorageError(f"cannot write the {zone}: {refusal(error)}. The last release is untouched.")
