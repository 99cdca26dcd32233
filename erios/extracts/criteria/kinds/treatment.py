"""Treatments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from erios.extracts.criteria.fields import Codes, SomeOf
from erios.extracts.criteria.model import Event, EventRows
from erios.extracts.criteria.sql import Dialect, all_of, day, is_under, status_not

VIA = ("administration", "dispense", "request", "statement")
_ATC = r"[A-Z]([0-9]{2}([A-Z]([A-Z]([0-9]{2})?)?)?)?"
_DAYS = {
    "request": day("authored_on"),
    "administration": day("effective", "effective_period_start"),
    "dispense": day("when_handed_over", "when_prepared"),
    "statement": day("effective", "effective_period_start", "date_asserted"),
}
_NOT_GIVEN = {
    "request": ("cancelled", "draft", "entered-in-error"),
    "administration": ("not-done", "entered-in-error", "unknown"),
    "dispense": ("cancelled", "declined", "entered-in-error", "preparation"),
    "statement": ("entered-in-error", "not-taken", "intended"),
}


@dataclass(frozen=True)
class Treatment(Event):
    """A medication under one of the ATC codes, by one of the ways the warehouse knows (any without)."""

    NAME: ClassVar[str] = "treatment"

    atc: Annotated[
        tuple[str, ...],
        Codes(
            "atc", "ATC codes, each with the classes under it", required=True, pattern=_ATC, examples=("A10", "A10BA02")
        ),
    ]
    via: Annotated[tuple[str, ...], SomeOf("via", "one or several ways; all without", choices=VIA, default=VIA)] = VIA

    def tables(self) -> frozenset[str]:
        return super().tables() | {"medication"}

    def rows_of_tables(self, dialect: Dialect) -> list[EventRows]:
        return [self._rows_of(way) for way in self.via]

    def _rows_of(self, way: str) -> EventRows:
        """The ATC code is the row's own or that of the medication it points to."""
        wanted = "NOT coalesce(do_not_perform, FALSE)" if way == "request" else ""
        by_key = (
            "medication_key IN (SELECT medication_key FROM medication WHERE " + is_under(self.atc, "code_atc") + ")"
        )
        code = "(" + is_under(self.atc, "medication_atc") + " OR (medication_atc IS NULL AND " + by_key + "))"
        condition = all_of(status_not("status", *_NOT_GIVEN[way]), wanted, code)
        return EventRows(f"medication_{way}", _DAYS[way], _DAYS[way], condition)
