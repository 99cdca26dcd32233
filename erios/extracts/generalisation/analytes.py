"""Results rounded to what matters of their analysis, as SQL: by its step, or to low, normal and high.

Owns the reading of conf/hierarchies/analytes.toml, which says what matters and whence.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache

from erios.checkout import PROJECT
from etl.sql import literal

_DIGITS = 2


@cache
def analytes() -> Mapping[str, tuple[float, float, float]]:
    """LOINC code → step, lower and upper end of the reference interval."""
    text = (PROJECT / "conf" / "hierarchies" / "analytes.toml").read_text("utf-8")
    return {code: (step, low, high) for code, (step, low, high) in tomllib.loads(text).items()}


def analyte_sql(value: str, code: str, form: str) -> str:
    """SQL of a result rounded to its analysis's step (``analyte``), or -1, 0, 1: low, normal, high (``analyte:3``)."""
    if form == "analyte":
        cases = (f"WHEN {literal(loinc)} THEN round({value} / {step}) * {step}" for loinc, (step, _, _) in _entries())
        unit = f"pow(10, floor(log10(greatest(abs({value}), 1e-9))) - {_DIGITS - 1})"
        return f"CASE {code} {' '.join(cases)} ELSE round({value} / {unit}) * {unit} END"
    cases = (
        f"WHEN {literal(loinc)} THEN CASE WHEN {value} < {low} THEN -1 WHEN {value} > {high} THEN 1"
        f" WHEN {value} IS NOT NULL THEN 0 END"
        for loinc, (_, low, high) in _entries()
    )
    return f"CASE {code} {' '.join(cases)} END"


def _entries() -> list[tuple[str, tuple[float, float, float]]]:
    return list(analytes().items())
