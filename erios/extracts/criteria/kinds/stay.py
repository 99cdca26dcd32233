"""Stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from erios.extracts.criteria.fields import SomeOf
from erios.extracts.criteria.model import Event, EventRows
from erios.extracts.criteria.sql import Dialect, Query, all_of, day, is_in, status_not

CLASSES = ("ACUTE", "AMB", "EMER", "FLD", "HH", "IMP", "NONAC", "OBSENC", "PRENC", "SS", "VR")
_START = day("period_start")
_END = f"coalesce({day('period_end')}, CASE WHEN status = 'in-progress' THEN DATE '9999-12-31' END, {_START})"


@dataclass(frozen=True)
class Stay(Event):
    """A stay of one of the classes (any without) that touches the period."""

    NAME: ClassVar[str] = "stay"

    classes: Annotated[tuple[str, ...], SomeOf("class", "one or several classes; any without", choices=CLASSES)] = ()

    def rows_of_tables(self, dialect: Dialect) -> list[EventRows]:
        of_class = is_in(self.classes, dialect.column("class")) if self.classes else Query("")
        condition = all_of(status_not("status", "planned", "cancelled", "entered-in-error"), of_class)
        return [EventRows("encounter", _START, _END, condition)]
