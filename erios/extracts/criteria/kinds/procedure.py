"""Procedures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from erios.extracts.criteria.fields import Codes
from erios.extracts.criteria.model import Event, EventRows
from erios.extracts.criteria.sql import Dialect, all_of, day, is_under, status_not

_CCAM = r"[A-Z]{2,4}|[A-Z]{4}[0-9]{1,3}"
_DAY = day("performed", "performed_period_start")


@dataclass(frozen=True)
class Procedure(Event):
    """An act whose CCAM code begins with one of these."""

    NAME: ClassVar[str] = "procedure"

    ccam: Annotated[
        tuple[str, ...],
        Codes("ccam", "CCAM codes or their first letters", required=True, pattern=_CCAM, examples=("HHFA016", "HHFA")),
    ]

    def rows_of_tables(self, dialect: Dialect) -> list[EventRows]:
        done = status_not("status", "not-done", "entered-in-error", "preparation")
        return [EventRows("procedure", _DAY, _DAY, all_of(done, is_under(self.ccam, "code_ccam")))]
