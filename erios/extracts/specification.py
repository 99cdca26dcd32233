"""The specification of an extract: whom it is about, which columns leave and in what form, each with its reason.

Owns its JSON form (docs/extracts.md), its checks against the warehouse's tables, what of it lies beyond the approved
proposal, and the words of a difference between two versions. It knows no data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, StrictInt, ValidationError, model_validator
from pydantic_core import ErrorDetails

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


class _Entry(BaseModel, extra="forbid", str_strip_whitespace=True):
    """An object of the JSON form; the text of its first field may stand for all of it."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        name, field = next(iter(cls.model_fields.items()))
        return {field.alias or name: given} if isinstance(given, str) else given


class _Column(_Entry):
    why: str = Field(min_length=1)
    form: str = Field("", alias="as")


class _Clock(_Entry):
    precision: ClockPrecision = Field(ClockPrecision.DAY, alias="as")
    why: str = ""


class _Form(BaseModel, extra="forbid", str_strip_whitespace=True):
    """The JSON form of a specification, as far as no table of the warehouse decides on it."""

    cohort: Any
    tables: dict[str, dict[str, _Column]] = Field(min_length=1)
    dates: DatePolicy = DatePolicy.SHIFTED
    clock: _Clock = _Clock()
    stays: StrictInt | None = Field(None, ge=1, le=1000)
    sample: StrictInt | None = Field(None, ge=1, le=99)
    suppress_under: StrictInt | None = Field(None, ge=2, le=1_000_000)
    destination: str = Field("", max_length=200)


_ALLOWED = {
    "dates": f"one of {', '.join(DatePolicy)}",
    "clock": f"one of {', '.join(ClockPrecision)}, or an 'as' with its 'why'",
    "stays": "a whole number from 1 to 1000, or null for all",
    "sample": "a whole number from 1 to 99, or null for all of the patients",
    "suppress_under": "a whole number from 2 to 1000000, or null for no suppression",
    "destination": "a text of at most 200 characters",
}


def read_specification(raw: Any, views: Path) -> Specification:
    """A specification from its JSON form; InputError, one sentence, names the place and what is allowed."""
    try:
        form = _Form.model_validate_json(raw) if isinstance(raw, str | bytes) else _Form.model_validate(raw)
    except ValidationError as error:
        raise InputError(_sentence(error.errors(include_url=False)[0])) from None
    if form.clock.precision == ClockPrecision.HOUR and not form.clock.why:
        raise InputError("clock: the hour of an event leaves only with its 'why'; 'day' and 'part' need none")
    warehouse = extract_tables(views)
    tables = tuple(_table(name, columns, warehouse) for name, columns in form.tables.items())
    return Specification(
        parse(form.cohort, at="cohort"),
        tables,
        form.dates,
        form.destination,
        tuple(_exceptional(tables, warehouse)),
        form.clock.precision,
        form.clock.why,
        form.stays,
        form.sample,
        form.suppress_under,
    )


def _sentence(error: ErrorDetails) -> str:
    """The place of what is wrong, and what is allowed there."""
    first, *inner = [str(part)[:60] for part in error["loc"]] or [""]
    if error["type"] == "json_invalid":
        return "the specification is not JSON; docs/extracts.md shows the form"
    if first in _ALLOWED:
        return f"{first}: {_ALLOWED[first]}"
    if error["type"] in ("dict_type", "model_type") and first:
        return f"{'.'.join([first, *inner])}: must be an object"
    if inner:
        return f"{'.'.join([first, *inner[:2]])}: needs a 'why', and may have an 'as'"
    if error["type"] == "too_short":
        return "tables: an extract needs at least one table"
    return f"a specification has the fields {', '.join(sorted(_Form.model_fields))}; docs/extracts.md shows the form"


def _table(name: str, columns: Mapping[str, _Column], warehouse: Mapping[str, WarehouseTable]) -> TableChoice:
    if name not in warehouse:
        raise InputError(f"tables: no table '{name[:40]}' in the warehouse; tables: {', '.join(sorted(warehouse))}")
    table = warehouse[name]
    choices = tuple(_choice(table, column, wanted) for column, wanted in columns.items())
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


def _choice(table: WarehouseTable, name: str, wanted: _Column) -> Choice:
    column = next((column for column in table.view.columns if column.name == name), None)
    if column is None:
        raise InputError(f"tables.{table.name}.{name[:60]}: no such column; docs/warehouse.md lists them")
    return Choice(name, check_form(table, column, wanted.form), wanted.why)


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
