"""The accounting of a batch: every resource in is written, superseded, duplicate, deleted, objected or quarantined.

Owns the invariant of docs/design.md §3 and the report that states it. A batch that does not balance is an error,
never a warning. "In" counts the resources of the batch: lines of NDJSON, entries of Bundles, and contained resources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from etl.errors import AccountingError
from etl.warehouse.staged import Staged

ENDS = ("written", "superseded", "duplicates", "deleted", "objected", "quarantined")


@dataclass(frozen=True)
class Account:
    """Counts of one resource type, or of all."""

    resources: int = 0
    contained: int = 0
    written: int = 0
    superseded: int = 0
    duplicates: int = 0
    deleted: int = 0
    objected: int = 0
    quarantined: int = 0

    def balances(self) -> bool:
        """Does every resource in have exactly one end?"""
        return bool(self.resources == sum(getattr(self, end) for end in ENDS))

    def to_dict(self) -> dict[str, int]:
        """The account in the form of the load report; ``contained`` is the part of ``in`` found inside others."""
        return {
            "in": self.resources,
            **{end: getattr(self, end) for end in ENDS},
            "contained": self.contained,
        }

    def __add__(self, other: Account) -> Account:
        return Account(*(a + b for a, b in zip(_values(self), _values(other), strict=True)))


def _values(account: Account) -> tuple[int, ...]:
    return (account.resources, account.contained, *(getattr(account, end) for end in ENDS))


def settle_accounts(staged: Staged, parts: Iterable[Mapping[str, Counter[str]]]) -> dict[str, Account]:
    """Accounts by resource type from what the stages counted; AccountingError if one does not balance."""
    outcomes: dict[str, Counter[str]] = {}
    for part in parts:
        for resource, counts in part.items():
            outcomes.setdefault(resource, Counter()).update(counts)
    types = sorted(staged.resources.keys() | outcomes.keys())
    accounts = {name: _account(name, staged, outcomes.get(name, Counter())) for name in types}
    check_balance(accounts)
    return accounts


def _account(name: str, staged: Staged, outcomes: Mapping[str, int]) -> Account:
    return Account(
        resources=staged.resources[name],
        contained=staged.contained[name],
        quarantined=staged.quarantined[name],
        **{end: outcomes.get(end, 0) for end in ENDS if end != "quarantined"},
    )


def check_balance(accounts: Mapping[str, Account]) -> None:
    """Refuse a batch in which a resource is lost or counted twice."""
    wrong = [f"{name} ({account.to_dict()})" for name, account in accounts.items() if not account.balances()]
    if wrong:
        raise AccountingError(f"the accounts of the batch do not balance: {'; '.join(wrong)}; nothing was published")


def total(accounts: Mapping[str, Account]) -> Account:
    """The sum over all types."""
    return sum(accounts.values(), Account())
