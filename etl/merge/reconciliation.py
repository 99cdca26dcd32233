"""The reconciliation of a load: every resource received has exactly one outcome.

The outcomes: *written* (a new version), *superseded* (an older version than the one kept), *duplicates* (the same
version again), *deleted* (a deletion, applied), *objected* (the patient objects to research) and *quarantined*
(refused). A resource is a line of NDJSON, an entry of a Bundle, or a contained resource. A load that does not balance
is an error, never a warning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from etl.errors import ReconciliationError
from etl.warehouse.staged_files import Staged

OUTCOMES = ("written", "superseded", "duplicates", "deleted", "objected", "quarantined")
Outcomes = Mapping[str, Counter[str]]
"""Resource type → outcome → resources."""


@dataclass(frozen=True)
class Reconciliation:
    """Counts of one resource type, or of all: resources received, and their outcomes."""

    resources: int = 0
    contained: int = 0
    written: int = 0
    superseded: int = 0
    duplicates: int = 0
    deleted: int = 0
    objected: int = 0
    quarantined: int = 0

    def balances(self) -> bool:
        """Does every resource have exactly one outcome?"""
        return bool(self.resources == sum(getattr(self, outcome) for outcome in OUTCOMES))

    def to_dict(self) -> dict[str, int]:
        """The counts as the load report has them; ``contained`` is how many of ``in`` were found inside others."""
        return {
            "in": self.resources,
            **{outcome: getattr(self, outcome) for outcome in OUTCOMES},
            "contained": self.contained,
        }

    def __add__(self, other: Reconciliation) -> Reconciliation:
        return Reconciliation(*(a + b for a, b in zip(_values(self), _values(other), strict=True)))


def _values(counts: Reconciliation) -> tuple[int, ...]:
    return (counts.resources, counts.contained, *(getattr(counts, outcome) for outcome in OUTCOMES))


def reconcile(staged: Staged, parts: Iterable[Outcomes]) -> dict[str, Reconciliation]:
    """Reconciliations by resource type from what the steps counted; ReconciliationError if one does not balance."""
    outcomes: dict[str, Counter[str]] = {}
    for part in parts:
        for resource, counts in part.items():
            outcomes.setdefault(resource, Counter()).update(counts)
    types = sorted(staged.resources.keys() | outcomes.keys())
    reconciliations = {name: _of_type(name, staged, outcomes.get(name, Counter())) for name in types}
    check_balance(reconciliations)
    return reconciliations


def _of_type(name: str, staged: Staged, counts: Mapping[str, int]) -> Reconciliation:
    return Reconciliation(
        resources=staged.resources[name],
        contained=staged.contained[name],
        quarantined=staged.quarantined[name],
        **{outcome: counts.get(outcome, 0) for outcome in OUTCOMES if outcome != "quarantined"},
    )


def check_balance(reconciliations: Mapping[str, Reconciliation]) -> None:
    """ReconciliationError names the types of which a resource is lost or counted twice."""
    wrong = [f"{name} ({counts.to_dict()})" for name, counts in reconciliations.items() if not counts.balances()]
    if wrong:
        raise ReconciliationError(f"the counts of the batch do not balance: {'; '.join(wrong)}; nothing was published")


def total(reconciliations: Mapping[str, Reconciliation]) -> Reconciliation:
    """The sum over all types."""
    return sum(reconciliations.values(), Reconciliation())
