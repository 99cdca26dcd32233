"""Sex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from erios.extracts.criteria.fields import SomeOf
from erios.extracts.criteria.model import Leaf
from erios.extracts.criteria.sql import Query, is_in

SEXES = ("female", "male", "other", "unknown")


@dataclass(frozen=True)
class Sex(Leaf):
    """Administrative gender, one of."""

    NAME: ClassVar[str] = "sex"
    BARE: ClassVar[str] = "values"

    values: Annotated[tuple[str, ...], SomeOf("sex", "one or several", required=True, choices=SEXES)]

    def patient_condition(self) -> Query | None:
        return "coalesce(" + is_in(self.values, "p.gender") + ", FALSE)"
