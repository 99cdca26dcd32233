"""Age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar

from erios.extracts.criteria.fields import Day, Whole, fail
from erios.extracts.criteria.kinds.stay import Stay
from erios.extracts.criteria.model import Leaf
from erios.extracts.criteria.sql import Dialect, Query, day_literal


@dataclass(frozen=True)
class Age(Leaf):
    """Whole years at a day, or at the start of at least one stay when ``on`` is None."""

    NAME: ClassVar[str] = "age"

    min: Annotated[int | None, Whole("min", "least age in years", low=0, high=150)] = None
    max: Annotated[int | None, Whole("max", "greatest age in years", low=0, high=150)] = None
    on: Annotated[
        date | None, Day("at", "when: a day, or the start of at least one stay", required=True, instead="stay")
    ] = None

    def check(self, at: str) -> None:
        if self.min is None and self.max is None:
            fail(at, "needs 'min', 'max' or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            fail(at, "'min' is above 'max'")

    def phrases(self, words: Mapping[str, str]) -> dict[str, str]:
        bounds = words["age both" if None not in (self.min, self.max) else "age min" if self.max is None else "age max"]
        on = words["at day"].format(super().phrases(words)["on"]) if self.on else words["at stay"]
        return {"bounds": bounds.format(min=self.min, max=self.max), "on": on}

    def tables(self) -> frozenset[str]:
        return frozenset() if self.on else frozenset({"encounter"})

    def patient_condition(self) -> Query | None:
        return Query(f"coalesce({self._holds('p.birth_on', day_literal(self.on))}, FALSE)") if self.on else None

    def members(self, dialect: Dialect) -> Query:
        stays, holds = Stay().rows(dialect, dated=True), self._holds("b.birth_on", "s.first_day")
        joined = f") s JOIN patient b ON b.patient_key = s.patient_key WHERE {holds}"
        return "SELECT DISTINCT s.patient_key FROM (" + stays + joined

    def _holds(self, birth: str, on: str) -> str:
        years = _years(birth, on)
        low = [f"{years} >= {int(self.min)}"] if self.min is not None else []
        high = [f"{years} <= {int(self.max)}"] if self.max is not None else []
        return " AND ".join([*low, *high, f"{on} >= {birth}"])


def _years(birth: str, on: str) -> str:
    """Whole years from one day to another."""
    early = f"month({on}) * 100 + day({on}) < month({birth}) * 100 + day({birth})"
    return f"(year({on}) - year({birth}) - CASE WHEN {early} THEN 1 ELSE 0 END)"
