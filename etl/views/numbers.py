"""Decimals as they were written: FHIR gives the digits of a decimal a meaning, and JSON readers drop them.

Owns the one rewriting of a record's text that happens before DuckDB parses it: numbers that a binary double cannot
hold, or whose zeros at the end say how precise they are, are put in quotes. It must never touch a string: only a
number behind the name of an element is a number, because inside a string every quotation mark is escaped.
"""

from __future__ import annotations

_NAME = r'([A-Za-z]"\s*:\s*)'
_NUMBER = r"(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
_LONG = r'"\s*:\s*-?[0-9.]{16}|"\s*:\s*-?[0-9.]+[eE]'
_WRITTEN = rf'{_LONG}|"\s*:\s*-?[0-9]+\.[0-9]*0[^0-9]'


def exact_text(text: str, *, precision: bool = False) -> str:
    """SQL of a record's JSON text with the numbers in quotes, wherever their value would suffer otherwise.

    ``text`` is SQL of the text. With ``precision`` also zeros at the end survive (``1.10``), which matters to
    ``lowBoundary()`` and ``highBoundary()`` alone. Texts without such a number pass untouched.
    """
    pattern = _WRITTEN if precision else _LONG
    quoted = f"regexp_replace({text}, '{_NAME}{_NUMBER}', '\\1\"\\2\"', 'g')"
    return f"CASE WHEN regexp_matches({text}, '{pattern}') THEN {quoted} ELSE {text} END"
