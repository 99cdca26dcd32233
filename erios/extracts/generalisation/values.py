"""Generalisations of the text of a value, as SQL: the risk search puts them on what the build has written.

A value that is already as coarse as a level, or of another form, stays as it is, so a level may be put on what was
generalised before; null stays null until everything is suppressed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

from erios.checkout import PROJECT
from erios.errors import UsageError
from erios.extracts.generalisation.vocabulary import GENERALISATIONS, split_level
from etl.sql import literal

_DAY, _MONTH = r"^\d{4}-\d{2}-\d{2}", r"^\d{4}-\d{2}(-|$)"
_YEAR, _YEARS = r"^\d{4}($|-\d{2}($|-))", r"^(\d{4})-(\d{4})$"
_NUMBER, _BAND = r"^\d+(\.\d+)?$", r"^(\d+)-(\d+)$"
_CODE = r"^[A-Za-z]+\d[A-Za-z0-9.+]*$"


@dataclass(frozen=True)
class Groupings:
    """Values that stand together. ``maps``: name → value → label; ``ranges``: name → (label, first, last) of codes."""

    maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[tuple[str, str, str], ...]] = field(default_factory=dict)

    @staticmethod
    def parse(maps: Mapping[str, Any], ranges: Mapping[str, Any], at: str) -> Groupings:
        """Those of conf/hierarchies, and those of TOML: a map lists the values under each label; a range is the first
        and last category of a label. UsageError names the one that is not as it must be."""
        standard = standard_groupings()
        labels = {name: _labels_by_value(groups, f"{at}: map {name}") for name, groups in maps.items()}
        bounds = {name: _bounds(of_label, f"{at}: ranges {name}") for name, of_label in ranges.items()}
        return Groupings({**standard.maps, **labels}, {**standard.ranges, **bounds})


@cache
def standard_groupings() -> Groupings:
    """Régions and chapters of CIM-10, which the build uses too."""
    regions, chapters = (_read_toml(name) for name in ("regions.toml", "icd10_chapters.toml"))
    return Groupings({"region": _labels_by_value(regions, "regions")}, {"chapter": _bounds(chapters, "chapters")})


def _read_toml(name: str) -> dict[str, Any]:
    return tomllib.loads((PROJECT / "conf" / "hierarchies" / name).read_text("utf-8"))


def _labels_by_value(groups: Mapping[str, Any], at: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for label, values in groups.items():
        for value in values:
            if value in labels:
                raise UsageError(f"{at}: '{value}' stands under two labels")
            labels[value] = label
    return labels


def _bounds(of_label: Mapping[str, Any], at: str) -> tuple[tuple[str, str, str], ...]:
    bounds = []
    for label, ends in of_label.items():
        if len(ends) != 2 or not all(re.fullmatch(r"[A-Z]\d\d", str(end)) for end in ends):
            raise UsageError(f"{at}: '{label}' must be two categories such as A00 and B99")
        bounds.append((label, ends[0], ends[1]))
    return tuple(bounds)


def check_level(level: Any, groupings: Groupings, at: str) -> None:
    """UsageError for a level that the risk search cannot put on a value."""
    generalisation, argument = split_level(str(level))
    name = generalisation.name if generalisation else ""
    is_known = name in _SQL and (
        (name != "steps" or _edges(argument) == sorted(_edges(argument)))
        and (name != "map" or argument in groupings.maps)
        and (name != "ranges" or argument in groupings.ranges)
    )
    if not is_known:
        raise UsageError(f"{at}: unknown generalisation '{level}'; known are {', '.join(map(_form, _SQL))}")


def _form(name: str) -> str:
    of_argument = {"map": ":NAME", "ranges": ":NAME", "steps": ":A,B,…"}
    return name + (of_argument.get(name, ":N") if GENERALISATIONS[name].argument else "")


def _edges(argument: str) -> list[int]:
    return [int(edge) for edge in argument.split(",")]


def level_sql(level: str, value: str, groupings: Groupings) -> str:
    """SQL of ``value`` (an SQL expression of type VARCHAR) on this level."""
    generalisation, argument = split_level(level)
    if generalisation is None:
        raise ValueError(level)
    return _SQL[generalisation.name](value, argument, groupings)


def _cut(form: str, length: int) -> Callable[[str, str, Groupings], str]:
    return lambda value, _argument, _groupings: _when(form, value, f"left({value}, {length})")


def _prefix(value: str, length: str, _groupings: Groupings) -> str:
    return _when(_CODE, value, f"left(replace({value}, '.', ''), {length})")


def _when(form: str, value: str, then: str) -> str:
    return f"CASE WHEN regexp_matches({value}, {literal(form)}) THEN {then} ELSE {value} END"


def _banded(value: str, width: int, number: str, single: str, band: str) -> str:
    """A number, or a narrower band, as the band of ``width`` that its lower end lies in."""
    low, high = (f"TRY_CAST(regexp_extract({value}, {literal(band)}, {group}) AS BIGINT)" for group in (1, 2))
    start = f"CAST(floor(TRY_CAST({{}} AS DOUBLE) / {width}) * {width} AS BIGINT)"
    label = f"{{0}} || '-' || ({{0}} + {width - 1})"
    banded = label.format(f"({start.format(number)})")
    wider = label.format(f"({start.format(low)})")
    narrow = f"regexp_matches({value}, {literal(band)}) AND {high} - {low} + 1 < {width}"
    alone = f"regexp_matches({value}, {literal(single)})"
    return f"CASE WHEN {alone} THEN {banded} WHEN {narrow} THEN {wider} ELSE {value} END"


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


_SQL: Mapping[str, Callable[[str, str, Groupings], str]] = {
    "keep": lambda value, _argument, _groupings: value,
    "day": _cut(_DAY, 10),
    "month": _cut(_MONTH, 7),
    "year": _cut(_YEAR, 4),
    "years": lambda value, width, _groupings: _banded(value, int(width), f"left({value}, 4)", _YEAR, _YEARS),
    "band": lambda value, width, _groupings: _banded(value, int(width), value, _NUMBER, _BAND),
    "top": lambda value, least, _groupings: _topped(value, int(least)),
    "steps": lambda value, edges, _groupings: _stepped(value, _edges(edges)),
    "prefix": _prefix,
    "atc": _prefix,
    "category": lambda value, _argument, groupings: _prefix(value, "3", groupings),
    "region": lambda value, _argument, groupings: _mapped(value, groupings.maps["region"]),
    "chapter": lambda value, _argument, groupings: _ranged(value, groupings.ranges["chapter"]),
    "map": lambda value, name, groupings: _mapped(value, groupings.maps[name]),
    "ranges": lambda value, name, groupings: _ranged(value, groupings.ranges[name]),
    "suppress": lambda _value, _argument, _groupings: "'*'",
}
"""SQL of a generalisation by its name: of a value, its argument, and the groupings."""
