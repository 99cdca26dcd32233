"""The wing's errors: one sentence each, for a data manager; never a value of a patient's record."""

from __future__ import annotations


class EtlError(Exception):
    """Whatever stops a batch; ``str()`` is the sentence to show."""


class InputError(EtlError):
    """The export cannot be taken as it is: missing, empty, unreadable, cut short."""


class PrivacyError(EtlError):
    """A column without a decision, or key material that is unfit."""


class AccountingError(EtlError):
    """Lines in do not equal lines accounted for: the batch is refused."""


class StorageError(EtlError):
    """A zone cannot be written or read: no space, no permission, a damaged file."""


class BusyError(EtlError):
    """Another load holds the warehouse."""


class ReleaseError(EtlError):
    """A release or table that does not exist, or is damaged."""


class GateRefused(EtlError):  # noqa: N818 - a refusal, not a fault
    """Validation blocked publication; the last release stands."""
