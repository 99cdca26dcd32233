"""Forms of codes that leave no room for an identifier of a hospital, as SQL conditions.

Owns the grammar of each named form. A form is used where a code system has no loaded list, and only for systems whose
codes are short and built from letters and digits in fixed places, carry a check digit, or are made of named parts.
Sources: CIM-10 of ATIH, ICD-10-CM, ATC of the WHO, CCAM, LOINC Users' Guide (check digit, mod 10), UCUM (tables 2 to
7), BCP 47.
"""

from __future__ import annotations

from collections.abc import Mapping

from etl.sql import literal

_PREFIX = "(?:da|[YZEPTGMkhdcmunpfazy])"
_METRIC = (
    r"(?:m\[H2O\]|m\[Hg\]|\[iU\]|\[IU\]|\[arb'U\]|\[CFU\]|\[PFU\]|mol|osm|cal|rad|bar|eq|cd|Hz|Pa|Ohm|Wb|lm|lx|Bq|Gy|Sv"
    "|kat|Cel|eV|Np|sr|m|s|g|C|K|L|l|N|J|W|A|V|F|S|T|H|U|u|t|B)"
)
_OTHER = (
    r"(?:%|\[ppth\]|\[ppm\]|\[ppb\]|\[pH\]|\[in_i\]|\[ft_i\]|\[lb_av\]|\[oz_av\]|\[degF\]|\[HPF\]|\[hpf\]|\[LPF\]|\[lpf\]"
    r"|\[drp\]|\[fr\]|\[diop\]|deg|min|wk|mo|h|d|a)"
)
_PART = rf"(?:(?:{_PREFIX}?{_METRIC}|{_OTHER})(?:-?[1-4])?)"
_POWER = r"10[*^]-?[0-9]{1,2}"
_FACTOR = rf"(?:{_POWER}|1|2|4|5|6|8|10|12|24|48|72|100|1000)"
_UCUM = rf"/?(?:{_FACTOR}|{_PART})(?:[./](?:{_PART}|{_POWER})){{0,3}}"

_LETTER_DIGITS = "[A-Z][0-9]{2}(?:[.]?[0-9]{1,4}(?:[+][0-9]{1,2})?)?"
_CLINICAL = "[A-Z][0-9][0-9AB](?:[.]?[0-9X]{1,4})?[0-9A-Z]?"

PATTERNS: Mapping[str, str] = {
    "cim-10": f"{_LETTER_DIGITS}|{_CLINICAL}|[A-Z][0-9]{{2}}-[A-Z][0-9]{{2}}",
    "icd-10-cm": _CLINICAL,
    "atc": "[A-Z](?:[0-9]{2}(?:[A-Z](?:[A-Z](?:[0-9]{2})?)?)?)?",
    "ccam": "[A-Z]{4}[0-9]{3}(?:[-. ]?[0-9]{1,2})?",
    "loinc": "(?:L[AP])?[1-9][0-9]{0,5}-[0-9]",
    "ucum": _UCUM,
    "language": "[a-z]{2}-[A-Z]{2}",
    "digest": "[0-9a-f]{64}",
}
"""Form → regular expression that the whole code matches."""


def condition(form: str, code: str) -> str:
    """SQL: has the code this form?"""
    matches = f"regexp_full_match({code}, {literal(PATTERNS[form])})"
    return f"({matches} AND {_check_digit(code)})" if form == "loinc" else matches


def _check_digit(code: str) -> str:
    """LOINC's check digit: from the right, digits in odd places are doubled, and all digits are added (Luhn)."""
    digits = f"string_split(regexp_replace(regexp_extract({code}, '[0-9]+-'), '-', ''), '')"
    digit = "coalesce(TRY_CAST(x AS INTEGER), 0)"
    doubled = f"({digit} * 2) // 10 + ({digit} * 2) % 10"
    odd = f"(len({digits}) - i) % 2 = 0"
    total = f"list_sum(list_transform({digits}, lambda x, i: CASE WHEN {odd} THEN {doubled} ELSE {digit} END))"
    return f"(10 - {total} % 10) % 10 = TRY_CAST(right({code}, 1) AS INTEGER)"
