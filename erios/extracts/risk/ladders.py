"""Generalisations as SQL over the text of a value: cut a date, band a number, a code's prefix, a hierarchy.

Owns the kinds of rung and their meaning. A value that is already as coarse as a rung, or of another form, stays as it
is, so a rung may be put on what the build has generalised before; null stays null until everything is suppressed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from erios.errors import UsageError
from etl.sql import literal

SUPPRESS = "suppress"
EXACT = "exact"
_PLAIN = (EXACT, "day", "month", "year", SUPPRESS)
_NUMBERED = ("years", "band", "top", "prefix")
_FORMS = "exact, day, month, year, years:N, band:N, top:N, steps:A,B,…, prefix:N, map:NAME, ranges:NAME, suppress"
_DAY, _MONTH = r"^\d{4}-\d{2}-\d{2}", r"^\d{4}-\d{2}(-|$)"
_YEAR, _YEARS = r"^\d{4}($|-\d{2}($|-))", r"^(\d{4})-(\d{4})$"
_NUMBER, _BAND = r"^\d+(\.\d+)?$", r"^(\d+)-(\d+)$"
_CUT = {"day": (_DAY, 10), "month": (_MONTH, 7), "year": (_YEAR, 4)}
_CODE = r"^[A-Za-z]+\d[A-Za-z0-9.+]*$"


@dataclass(frozen=True)
class Hierarchies:
    """``maps``: name → value → what stands above it; ``ranges``: name → (label, first, last) of codes."""

    maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[tuple[str, str, str], ...]] = field(default_factory=dict)

    @staticmethod
    def parse(maps: Mapping[str, Any], ranges: Mapping[str, Any], at: str) -> Hierarchies:
        """From TOML: a map lists the values under each label; a range is the first and last category of a label."""
        turned = {name: _turned(groups, f"{at}: map {name}") for name, groups in maps.items()}
        cut = {name: _cut(labels, f"{at}: ranges {name}") for name, labels in ranges.items()}
        return Hierarchies(turned, cut)


def _turned(groups: Mapping[str, Any], at: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for label, values in groups.items():
        for value in values:
            if value in found:
                raise UsageError(f"{at}: '{value}' stands under two labels")
            found[value] = label
    return found


def _cut(labels: Mapping[str, Any], at: str) -> tuple[tuple[str, str, str], ...]:
    found = []
    for label, ends in labels.items():
        if len(ends) != 2 or not all(re.fullmatch(r"[A-Z]\d\d", str(end)) for end in ends):
            raise UsageError(f"{at}: '{label}' must be two categories such as A00 and B99")
        found.append((label, ends[0], ends[1]))
    return tuple(found)


def check_rung(rung: Any, hierarchies: Hierarchies, at: str) -> None:
    """UsageError for a generalisation that is not known."""
    kind, _, argument = str(rung).partition(":")
    known = (
        (kind in _PLAIN and not argument)
        or (kind in _NUMBERED and re.fullmatch(r"[1-9]\d{0,3}", argument))
        or (kind == "steps" and re.fullmatch(r"\d+(,\d+)*", argument) and _edges(argument) == sorted(_edges(argument)))
        or (kind == "map" and argument in hierarchies.maps)
        or (kind == "ranges" and argument in hierarchies.ranges)
    )
    if not known:
        raise UsageError(f"{at}: unknown generalisation '{rung}'; known are {_FORMS}")


def _edges(argument: str) -> list[int]:
    return [int(edge) for edge in argument.split(",")]


def rung_sql(rung: str, value: str, hierarchies: Hierarchies) -> str:
    """SQL of ``value`` (an SQL expression of type VARCHAR) on this rung."""
    kind, _, argument = rung.partition(":")
    if kind in _CUT:
        form, length = _CUT[kind]
        return _when(form, value, f"left({value}, {length})")
    if kind in _NUMBERED:
        return _numbered(kind, value, int(argument))
    match kind:
        case "steps":
            return _stepped(value, _edges(argument))
        case "map":
            return _mapped(value, hierarchies.maps[argument])
        case "ranges":
            return _ranged(value, hierarchies.ranges[argument])
        case "suppress":
            return "'*'"
    return value


def _numbered(kind: str, value: str, number: int) -> str:
    match kind:
        case "years":
            return _banded(value, number, f"left({value}, 4)", _YEAR, _YEARS)
        case "band":
            return _banded(value, number, value, _NUMBER, _BAND)
        case "top":
            return _topped(value, number)
    return _when(_CODE, value, f"left(replace({value}, '.', ''), {number})")


def _when(form: str, value: str, then: str) -> str:
    return f"CASE WHEN regexp_matches({value}, {literal(form)}) THEN {then} ELSE {value} END"


def _banded(value: str, width: int, number: str, single: str, band: str) -> str:
    """A number, or a narrower band, as the band of ``width`` that its lower end lies in."""
    low, high = (f"TRY_CAST(regexp_extract({value}, {literal(band)}, {group}) AS BIGINT)" for group in (1, 2))
    start = f"CAST(floor(TRY_CAST({{}} AS DOUBLE) / {width}) * {width} AS BIGINT)"
    label = f"{{0}} || '-' || ({{0}} + {width - 1})"
    one = label.format(f"({start.format(number)})")
    wider = label.format(f"({start.format(low)})")
    narrow = f"regexp_matches({value}, {literal(band)}) AND {high} - {low} + 1 < {width}"
    alone = f"regexp_matches({value}, {literal(single)})"
    return f"CASE WHEN {alone} THEN {one} WHEN {narrow} THEN {wider} ELSE {value} END"


def _topped(value: str, top: int) -> str:
    low = f"TRY_CAST(regexp_extract({value}, '^(\\d+)', 1) AS BIGINT)"
    form = f"(regexp_matches({value}, {literal(_NUMBER)}) OR regexp_matches({value}, {literal(_BAND)}))"
    return f"CASE WHEN {form} AND {low} >= {top} THEN '{top}+' ELSE {value} END"


def _stepped(value: str, edges: list[int]) -> str:
    """A number, or a band that lies within one step, as that step."""
    low = f"TRY_CAST(regexp_extract({value}, '^(\\d+)', 1) AS DOUBLE)"
    last = f"coalesce(TRY_CAST(regexp_extract({value}, {literal(_BAND)}, 2) AS DOUBLE), {low})"
    form = rf"regexp_matches({value}, '^\d+(\.\d+|-\d+|\+)?$')"
    steps = [f"WHEN {low} >= {edges[-1]} THEN '{_step(edges[-1], None)}'"]
    for start, end in pairwise(edges):
        within = f"{low} >= {start} AND {last} < {end} AND NOT ends_with({value}, '+')"
        steps.append(f"WHEN {within} THEN '{_step(start, end)}'")
    return f"CASE WHEN NOT {form} THEN {value} {' '.join(steps)} ELSE {value} END"


def _step(low: int, high: int | None) -> str:
    if high is None:
        return f"{low}+"
    return str(low) if high == low + 1 else f"{low}-{high - 1}"


def _mapped(value: str, pairs: Mapping[str, str]) -> str:
    keys, labels = (", ".join(map(literal, texts)) for texts in (pairs.keys(), pairs.values()))
    return f"coalesce(map_extract_value(MAP([{keys}], [{labels}]), {value}), {value})"


def _ranged(value: str, ranges: tuple[tuple[str, str, str], ...]) -> str:
    code = f"upper(left({value}, 3))"
    cases = " ".join(
        f"WHEN {code} BETWEEN {literal(first)} AND {literal(last)} THEN {literal(label)}"
        for label, first, last in ranges
    )
    return f"CASE WHEN NOT regexp_matches({value}, {literal(_CODE)}) THEN {value} {cases} ELSE {value} END"
