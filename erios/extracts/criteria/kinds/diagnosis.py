"""Diagnoses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from erios.extracts.criteria.fields import Codes
from erios.extracts.criteria.model import Event, EventRows
from erios.extracts.criteria.sql import Dialect, all_of, day, is_under, status_not

_CIM10 = r"[A-Z][0-9]{2}[0-9A-Z+]{0,5}|[A-Z][0-9]{2}-[A-Z][0-9]{2}"
_DAY = day("onset", "onset_period_start", "recorded_date")


@dataclass(frozen=True)
class Diagnosis(Event):
    """A condition under one of the CIM-10 codes: ``E11`` holds E11.9; ``I10-I15`` is a range of categories."""

    NAME: ClassVar[str] = "diagnosis"

    codes: Annotated[
        tuple[str, ...],
        Codes(
            "codes",
            "CIM-10 codes, each with all codes under it, or ranges of categories",
            required=True,
            pattern=_CIM10,
            examples=("E11", "E11.9", "I10-I15"),
            ranges=True,
        ),
    ]

    def rows_of_tables(self, dialect: Dialect) -> list[EventRows]:
        confirmed = status_not("verification_status", "refuted", "entered-in-error")
        condition = all_of(confirmed, is_under(self.codes, "code_icd10"))
        return [EventRows("condition", _DAY, _DAY, condition)]
