"""The specification of an extract: whom it is about, which columns leave and in what form, each with its reason.

Owns its JSON form (docs/extracts.md), its checks against the warehouse's tables, what of it lies beyond the approved
proposal, and the words of a difference between two versions. It knows no data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erios.errors import InputError
from erios.extracts.criteria import Criterion, canonical_json, describe, dump, parse
from erios.extracts.generalisation.columns import check_form, say_form
from erios.extracts.generalisation.dates import ClockPrecision, DatePolicy
from erios.extracts.generalisation.vocabulary import describe_level
from erios.extracts.stay_summary import needs_of, summary_tables
from erios.translation import gettext, mark, using

if TYPE_CHECKING:
    from etl.tables import WarehouseTable

PATIENT_KEY = "patient_key"
_FIELDS = {"cohort", "tables", "dates", "clock", "stays", "sample", "suppress_under", "destination"}


@dataclass(frozen=True)
class Choice:
    """A column of the extract: its form, and why it is needed."""

    name: str
    form: str
    why: str


@dataclass(frozen=True)
class TableChoice:
    """A table of the extract; ``patient_key`` comes with every table that has it."""

    name: str
    columns: tuple[Choice, ...]

    def names(self) -> tuple[str, ...]:
        return tuple(choice.name for choice in self.columns)


@dataclass(frozen=True)
class Specification:
    """What an extract is to hold; ``clock``: what shifted instants keep of the time of day, and ``clock_why`` what for;
    ``stays``: at most so many of a patient's stays, drawn with the study's key, are in the summaries (None: all);
    ``sample``: so many percent of the cohort's patients, drawn with the study's key (None: all); ``suppress_under``:
    rows of events that fewer patients share are left out (None: none); ``exceptional``: columns that leave on the DPO's
    explicit decision only."""

    cohort: Criterion
    tables: tuple[TableChoice, ...]
    dates: DatePolicy
    destination: str
    exceptional: tuple[str, ...] = ()
    clock: ClockPrecision = ClockPrecision.DAY
    clock_why: str = ""
    stays: int | None = None
    sample: int | None = None
    suppress_under: int | None = None

    def table(self, name: str) -> TableChoice:
        """The choice of this table, which is in it."""
        return next(table for table in self.tables if table.name == name)

    def columns(self) -> dict[str, Choice]:
        """``table.column`` → choice."""
        return {f"{table.name}.{choice.name}": choice for table in self.tables for choice in table.columns}


@cache
def warehouse_tables(views: Path) -> Mapping[str, WarehouseTable]:
    """The tables of a views folder by name."""
    from etl.tables import load_tables

    return {table.name: table for table in load_tables(views)}


@cache
def extract_tables(views: Path) -> Mapping[str, WarehouseTable]:
    """All that an extract may hold: the warehouse's tables, and the summaries of stays that are made of them."""
    return {**warehouse_tables(views), **summary_tables()}


def read_specification(raw: Any, views: Path) -> Specification:
    """A specification from its JSON form; InputError, one sentence, names the place and what is allowed."""
    if isinstance(raw, str | bytes):
        try:
            raw = json.loads(raw)
        except ValueError:
            raise InputError("the specification is not JSON; docs/extracts.md shows the form") from None
    if not isinstance(raw, Mapping) or set(raw) - _FIELDS or not {"cohort", "tables"} <= set(raw):
        raise InputError(
            f"a specification has the fields {', '.join(sorted(_FIELDS))}; docs/extracts.md shows the form"
        )
    warehouse = extract_tables(views)
    tables = tuple(_table(name, value, warehouse) for name, value in _object(raw["tables"], "tables").items())
    if not tables:
        raise InputError("tables: an extract needs at least one table")
    return Specification(
        parse(raw["cohort"], at="cohort"),
        tables,
        _dates(raw),
        _destination(raw),
        tuple(_exceptional(tables, warehouse)),
        *_clock(raw),
        *(_whole_number(raw, name) for name in _NUMBERS),
    )


def _object(value: Any, at: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InputError(f"{at}: must be an object")
    return value


def _dates(raw: Mapping[str, Any]) -> DatePolicy:
    wanted = raw.get("dates", DatePolicy.SHIFTED)
    if wanted not in list(DatePolicy):
        raise InputError(f"dates: one of {', '.join(DatePolicy)}")
    return DatePolicy(wanted)


def _clock(raw: Mapping[str, Any]) -> tuple[ClockPrecision, str]:
    """What shifted instants keep, and why; the hour takes a reason."""
    given = raw.get("clock", ClockPrecision.DAY)
    given = {"as": given} if isinstance(given, str) else _object(given, "clock")
    precision, why = given.get("as", ClockPrecision.DAY), given.get("why", "")
    if set(given) - {"as", "why"} or precision not in list(ClockPrecision) or not isinstance(why, str):
        raise InputError(f"clock: one of {', '.join(ClockPrecision)}, or an 'as' with its 'why'")
    if precision == ClockPrecision.HOUR and not why.strip():
        raise InputError("clock: the hour of an event leaves only with its 'why'; 'day' and 'part' need none")
    return ClockPrecision(precision), why.strip()


_NUMBERS = {
    "stays": (1, 1000, "all"),
    "sample": (1, 99, "all of the patients"),
    "suppress_under": (2, 1_000_000, "no suppression"),
}
"""Fields that are whole numbers: least, most, and what null stands for."""


def _whole_number(raw: Mapping[str, Any], name: str) -> int | None:
    value, (least, most, otherwise) = raw.get(name), _NUMBERS[name]
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most):
        raise InputError(f"{name}: a whole number from {least} to {most}, or null for {otherwise}")
    return value


def _destination(raw: Mapping[str, Any]) -> str:
    text = raw.get("destination", "")
    if not isinstance(text, str) or len(text) > 200:
        raise InputError("destination: a text of at most 200 characters")
    return text.strip()


def _table(name: str, value: Any, warehouse: Mapping[str, WarehouseTable]) -> TableChoice:
    if name not in warehouse:
        raise InputError(f"tables: no table '{name[:40]}' in the warehouse; tables: {', '.join(sorted(warehouse))}")
    table = warehouse[name]
    choices = tuple(_choice(table, column, entry) for column, entry in _object(value, f"tables.{name}").items())
    own = {column.name for column in table.view.columns}
    if PATIENT_KEY in own and PATIENT_KEY not in {choice.name for choice in choices}:
        choices = (Choice(PATIENT_KEY, "study-key", "relier les tables"), *choices)
    _check_twins(table, choices)
    return TableChoice(name, choices)


def _check_twins(table: WarehouseTable, choices: tuple[Choice, ...]) -> None:
    """What one column hides, another must not tell."""
    paths = {column.name: column.path for column in table.view.columns}
    forms = {choice.name: choice.form for choice in choices}
    for name, form in forms.items():
        twins = [other for other in forms if paths[other] == paths[name] and forms[other] != form]
        stem = name.removesuffix("_icd10").removesuffix("_atc")
        endings = [f"{stem}{ending}" for ending in _TELLING if stem != name and form != "keep"]
        if telling := [*twins, *(other for other in endings if other in forms)]:
            raise InputError(
                f"tables.{table.name}: {telling[0]} tells what {name} as '{form}' hides: give both the same form, or"
                f" leave {telling[0]} out"
            )


_TELLING = ("", "_display", "_text", "_all", "_snomed", "_ucd")
"""Endings of the columns that say the same as a coded one."""


def _choice(table: WarehouseTable, name: str, value: Any) -> Choice:
    column = next((column for column in table.view.columns if column.name == name), None)
    at = f"tables.{table.name}.{name[:60]}"
    if column is None:
        raise InputError(f"{at}: no such column; docs/warehouse.md lists them")
    given = _object({"why": value} if isinstance(value, str) else value, at)
    why, form = given.get("why", ""), given.get("as", "")
    if set(given) - {"why", "as"} or not isinstance(why, str) or not isinstance(form, str) or not why.strip():
        raise InputError(f"{at}: needs a 'why', and may have an 'as'")
    return Choice(name, check_form(table, column, form), why.strip())


def _exceptional(tables: tuple[TableChoice, ...], warehouse: Mapping[str, WarehouseTable]) -> Iterator[str]:
    for table in tables:
        rules = {column.name: column.privacy for column in warehouse[table.name].view.columns}
        yield from (f"{table.name}.{name}" for name in table.names() if rules[name] == "drop-unless-extract")


def dump_specification(specification: Specification) -> dict[str, Any]:
    """The JSON form; what it reads back to is equal."""
    return {
        "cohort": dump(specification.cohort),
        "dates": str(specification.dates),
        "clock": {"as": str(specification.clock), "why": specification.clock_why},
        "stays": specification.stays,
        "sample": specification.sample,
        "suppress_under": specification.suppress_under,
        "destination": specification.destination,
        "tables": {
            table.name: {choice.name: {"why": choice.why, "as": choice.form} for choice in table.columns}
            for table in specification.tables
        },
    }


def from_proposal(content: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of what an approved proposal asks for, to start a specification from."""
    tables = {
        str(wanted["table"]): {str(column["name"]): {"why": column["why"]} for column in wanted.get("columns", [])}
        for wanted in content.get("data", [])
    }
    return {"cohort": content.get("cohort", {"and": []}), "dates": "shifted", "destination": "", "tables": tables}


def beyond(specification: Specification, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns wanted that the approved proposal does not name, and "cohort" where it differs."""
    approved = {
        f"{wanted['table']}.{column['name']}" for wanted in content.get("data", []) for column in wanted["columns"]
    }
    own = [name for name in specification.columns() if not name.endswith(f".{PATIENT_KEY}")]
    more = [name for name in own if not set(needs_of(*name.split(".", 1)) or {name}) <= approved]
    same = canonical_json(parse(content.get("cohort", {"and": []}))) == canonical_json(specification.cohort)
    return tuple(more if same else ["cohort", *more])


def difference(old: Specification | None, new: Specification, language: str = "fr") -> list[str]:
    """What changed between two versions, a line each, in words."""
    if old is None:
        return []
    with using(language):
        cohort, dates, destination, clock = map(gettext, _PARTS)
        every, *numbers = map(gettext, (_ALL, *_COUNTED.values()))
    lines = []
    if canonical_json(old.cohort) != canonical_json(new.cohort):
        lines.append(f"{cohort}: {describe(old.cohort, language)} → {describe(new.cohort, language)}")
    if old.dates != new.dates:
        lines.append(f"{dates}: {_form('policy', old, language)} → {_form('policy', new, language)}")
    if old.clock != new.clock:
        old_clock, new_clock = (describe_level(f"clock:{one.clock}", language) for one in (old, new))
        lines.append(f"{clock}: {old_clock} → {new_clock}")
    for field, words in zip(_COUNTED, numbers, strict=True):
        if getattr(old, field) != getattr(new, field):
            lines.append(f"{words}: {getattr(old, field) or every} → {getattr(new, field) or every}")
    if old.destination != new.destination:
        lines.append(f"{destination}: {old.destination} → {new.destination}")
    return [*lines, *_columns_changed(old, new, language)]


def _columns_changed(old: Specification, new: Specification, language: str) -> Iterator[str]:
    before, after = old.columns(), new.columns()
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield f"− {name}"
        elif name not in before:
            yield f"+ {name} ({_form(after[name].form, new, language)}) : {after[name].why}"
        elif before[name].form != after[name].form:
            yield f"{name} : {_form(before[name].form, old, language)} → {_form(after[name].form, new, language)}"
        elif before[name].why != after[name].why:
            yield f"{name} : « {before[name].why} » → « {after[name].why} »"


def _form(form: str, specification: Specification, language: str) -> str:
    return say_form(form, specification.dates, language)


_PARTS = (
    mark("cohorte"),
    mark("dates"),
    mark("destination"),
    mark("heures"),
)
_ALL = mark("tous")
_COUNTED = {
    "stays": mark("séjours par patient"),
    "sample": mark("patients tirés au sort, en pour cent"),
    "suppress_under": mark("patients au moins pour qu'un événement sorte"),
}
