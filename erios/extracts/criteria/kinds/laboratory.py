"""Laboratory results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, ClassVar

from erios.extracts.criteria.fields import Codes, Number, OneOf, Unit, fail, plain_number
from erios.extracts.criteria.model import Event, EventRows
from erios.extracts.criteria.sql import Dialect, Query, all_of, day, status_not

COMPARATORS = ("<", "<=", "=", ">=", ">")
_SIGNS = {"<": "<", "<=": "≤", "=": "=", ">=": "≥", ">": ">"}
_BOUNDS = {"<": ("<", "<="), "<=": ("<", "<="), ">": (">", ">="), ">=": (">", ">=")}
_DAY = day("effective", "effective_period_start", "effective_instant")


@dataclass(frozen=True)
class Laboratory(Event):
    """A result of a LOINC code, compared with ``value`` in ``unit`` (UCUM) where there is an ``op``."""

    NAME: ClassVar[str] = "laboratory"

    loinc: Annotated[
        str, Codes("loinc", "LOINC code", required=True, pattern=r"[0-9]{1,7}-[0-9]", examples=("718-7",), single=True)
    ]
    op: Annotated[str | None, OneOf("op", "comparison; any result without", choices=COMPARATORS)] = None
    value: Annotated[Decimal | None, Number("value", "what it is compared with, at most 6 decimals")] = None
    unit: Annotated[str | None, Unit("unit", "UCUM, compared as it is written", examples=("g/dL",))] = None

    def check(self, at: str) -> None:
        if len({self.op is None, self.value is None, self.unit is None}) > 1:
            fail(at, "'op', 'value' and 'unit' go together")
        super().check(at)

    def phrases(self, words: Mapping[str, str]) -> dict[str, str]:
        compared = (
            f" {_SIGNS[self.op]} {plain_number(self.value)} {self.unit}" if self.op and self.value is not None else ""
        )
        return {**super().phrases(words), "compared": compared}

    def rows_of_tables(self, dialect: Dialect) -> list[EventRows]:
        made = status_not("status", "cancelled", "entered-in-error", "registered")
        condition = all_of(Query("code_loinc = ?", (self.loinc,)), made, self._compared())
        return [EventRows("observation", _DAY, _DAY, condition)]

    def _compared(self) -> Query:
        """A value that is itself a bound ("<5") meets a comparison of the same direction only."""
        if self.op is None or self.value is None:
            return Query("")
        exact, bounds = "value_comparator IS NULL", _BOUNDS.get(self.op, ())
        exact = f"({exact} OR value_comparator IN ({', '.join(map(repr, bounds))}))" if bounds else exact
        unit = Query("coalesce(value_unit_code, value_unit) = ?", (self.unit,))
        value = Query(f"value_quantity {self.op} CAST(? AS DECIMAL(18, 6))", (plain_number(self.value),))
        return all_of(unit, value, exact)
