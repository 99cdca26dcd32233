"""Decimals with all their digits, which have a meaning in FHIR and which JSON parsers drop.

Before DuckDB parses a record, numbers that a binary double cannot hold, or whose trailing zeros give their precision,
are quoted in its text. Strings are never changed: a number follows the quoted name of an element, and within a string
every quotation mark is escaped.
"""

from __future__ import annotations

_NAME = r'([A-Za-z]"\s*:\s*)'
_NUMBER = r"(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
_LONG = r'"\s*:\s*-?[0-9.]{16}|"\s*:\s*-?[0-9.]+[eE]'
_WRITTEN = rf'{_LONG}|"\s*:\s*-?[0-9]+\.[0-9]*0[^0-9]'


def exact_text(text: str, *, precision: bool = False) -> str:
    """SQL of the JSON text ``text`` (SQL) with those numbers quoted that would lose digits otherwise.

    With ``precision`` trailing zeros (``1.10``) are kept too, which only ``lowBoundary()`` and ``highBoundary()``
    use. Texts without such a number are unchanged.
    """
    pattern = _WRITTEN if precision else _LONG
    quoted = f"regexp_replace({text}, '{_NAME}{_NUMBER}', '\\1\"\\2\"', 'g')"
    return f"CASE WHEN regexp_matches({text}, '{pattern}') THEN {quoted} ELSE {text} END"
