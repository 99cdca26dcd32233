"""The forms in which a column may leave the warehouse: as it is, or generalised; each as SQL.

Owns the vocabulary of a specification's ``as`` and which column may take which. A pseudonym leaves only under the
study's own key, a birth date never finer than its year of birth unless the specification says ``month``, and years of
birth of people of ninety and over are one (HIPAA Safe Harbor, 45 CFR 164.514(b)(2)(i)(C)).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from erios.errors import InputError
from erios.extracts.generalisation.analytes import analyte_sql
from erios.extracts.generalisation.dates import ClockPrecision, DatePolicy, date_sql
from erios.extracts.generalisation.values import standard_groupings
from erios.extracts.generalisation.vocabulary import describe_level
from erios.extracts.stay_summary import forms_of_summary
from etl.privacy import CLOSED_RULES, LOCAL
from etl.sql import literal
from etl.warehouse.image_files import DIGEST, TABLE

if TYPE_CHECKING:
    from etl.tables import WarehouseTable
    from etl.views import Column

OLD_AGE = 90
OTHER = "autre"
"""What stands for values that too few patients share."""
IMAGES = (TABLE, DIGEST)
"""The column whose values name voxel files: it leaves only with the files themselves, under the study's pseudonyms."""
_DATES = {"date", "dateTime", "instant", "time"}


class Kind(StrEnum):
    """What a column is, as far as forms go."""

    KEY = "key"
    BIRTH = "birth"
    DATE = "date"
    AGE = "age"
    PLACE = "place"
    DIAGNOSIS = "diagnosis"
    TREATMENT = "treatment"
    NUMBER = "number"
    FLAG = "flag"
    IMAGES = "images"
    TEXT = "text"
    NOTHING = "nothing"


FORMS: Mapping[Kind, tuple[str, ...]] = {
    Kind.KEY: ("study-key",),
    Kind.BIRTH: ("year", "month", "years:5", "years:10"),
    Kind.DATE: ("policy", "month", "year"),
    Kind.AGE: ("keep", "band:5", "band:10"),
    Kind.PLACE: ("keep", "region", "rare"),
    Kind.DIAGNOSIS: ("keep", "category", "chapter", "rare", "commonest:20"),
    Kind.TREATMENT: ("keep", "atc:5", "atc:4", "atc:3", "atc:1", "rare", "commonest:20"),
    Kind.NUMBER: ("keep", "band:5", "band:10"),
    Kind.FLAG: ("keep",),
    Kind.IMAGES: ("images", "images:volume", "images:radiograph"),
    Kind.TEXT: ("keep", "rare", "commonest:20"),
    Kind.NOTHING: (),
}
"""Forms of each kind of column; the first is what stands where a specification names none."""


@dataclass(frozen=True)
class Terms:
    """What a form depends on besides its column: the date policy, the year of the release, for ages, and what shifted
    instants keep of the clock."""

    dates: DatePolicy
    year: int
    clock: ClockPrecision = ClockPrecision.DAY


def kind_of(table: str, column: Column) -> Kind:
    """The kind of a warehouse column."""
    if (table, column.name) == IMAGES:
        return Kind.IMAGES
    if column.privacy in ("pseudonym", "note"):
        return Kind.KEY if column.privacy == "pseudonym" else Kind.NOTHING
    if column.name in ("birth_date", "birth_on"):
        return Kind.BIRTH
    if column.fhir_type in _DATES:
        return Kind.DATE
    if column.privacy == "postcode:departement":
        return Kind.PLACE
    return _kind_by_name(column)


def _kind_by_name(column: Column) -> Kind:
    if column.name.endswith("icd10"):
        return Kind.DIAGNOSIS
    if column.name.endswith("atc"):
        return Kind.TREATMENT
    if column.name.endswith("age_value"):
        return Kind.AGE
    if column.sql_type.startswith(("DECIMAL", "INTEGER", "DOUBLE", "BIGINT")):
        return Kind.NUMBER
    return Kind.FLAG if column.sql_type == "BOOLEAN" else Kind.TEXT


_FORMER = {(Kind.BIRTH, "band:5"): "years:5", (Kind.BIRTH, "band:10"): "years:10"}
"""Forms that specifications of earlier versions have, and what they are now."""


def forms_of(table: str, column: Column) -> tuple[str, ...]:
    """The forms that a column may take, the first where none is named."""
    forms = forms_of_summary(table, column.name) or FORMS[kind_of(table, column)]
    if (table, column.name) == RESULTS:
        forms = (*forms, "analyte", "analyte:3")
    return tuple(form for form in forms if form not in ("rare", "commonest:20") or not column.collection)


RESULTS = ("observation", "value_quantity")
"""The column of results, which may be rounded by what matters of the analysis beside it."""


def check_form(table: WarehouseTable, column: Column, form: str) -> str:
    """The form to apply, the column's first where none is named; InputError names what the column may take."""
    kind = kind_of(table.name, column)
    allowed, form = forms_of(table.name, column), _FORMER.get((kind, form), form)
    if not allowed:
        raise InputError(
            f"{table.name}.{column.name} holds free text, of which the warehouse keeps nothing: leave it out"
        )
    if form and form not in allowed:
        raise InputError(f"{table.name}.{column.name} cannot be had as '{form}'; forms: {', '.join(allowed)}")
    return form or allowed[0]


def column_sql(table: str, column: Column, form: str, terms: Terms) -> str:
    """SQL of a column in its form, over the aliases ``t`` (the table's rows), ``m`` (the cohort: study_key, shift)."""
    expression = _scalar(kind_of(table, column), column, form, terms)
    name = f't."{column.name}"'
    if not column.collection:
        return expression(of_study(column, name))
    return f"list_transform({name}, lambda entry: {expression(of_study(column, 'entry'))})"


def of_study(column: Column, value: str) -> str:
    """SQL of a value in which the pseudonym of a local code is the study's own, so that extracts share none."""
    if column.privacy not in CLOSED_RULES:
        return value
    return f"CASE WHEN starts_with({value}, '{LOCAL}') THEN '{LOCAL}' || pseudonym({value}) ELSE {value} END"


def _scalar(kind: Kind, column: Column, form: str, terms: Terms) -> Callable[[str], str]:
    is_text = column.sql_type.removesuffix("[]") == "VARCHAR"
    match kind:
        case Kind.KEY if column.name == "patient_key":
            return lambda _: "m.study_key"
        case Kind.KEY:
            return lambda value: f"pseudonym({value})"
        case Kind.BIRTH:
            return lambda value: _birth(value, form, terms.year, is_text=is_text)
        case Kind.DATE:
            policy = terms.dates if form == "policy" else DatePolicy(form)
            sql_type = column.sql_type.removesuffix("[]")
            return lambda value: date_sql(value, policy, terms.clock, sql_type, column.fhir_type)
        case Kind.AGE:
            return lambda value: _number(f"least({value}, {OLD_AGE})", form)
        case Kind.NUMBER:
            return lambda value: _number(value, form)
        case Kind.PLACE if form == "region":
            return _region
        case Kind.DIAGNOSIS if form in ("category", "chapter"):
            return _category if form == "category" else _chapter
        case Kind.TREATMENT if form.startswith("atc:"):
            return lambda value: f"left({value}, {form.removeprefix('atc:')})"
    return lambda value: value


def _birth(value: str, form: str, year: int, *, is_text: bool) -> str:
    oldest = year - OLD_AGE
    of = f"CAST(left({value}, 4) AS INTEGER)" if is_text else f"year({value})"
    if form == "month":
        exact = f"left({value}, 7)" if is_text else f"CAST(date_trunc('month', {value}) AS DATE)"
        top = f"'{oldest}'" if is_text else f"make_date({oldest}, 1, 1)"
        return f"CASE WHEN {of} <= {oldest} THEN {top} ELSE {exact} END"
    width = int(form.removeprefix("years:")) if form.startswith("years:") else 1
    first = f"greatest({of}, {oldest})"
    first = f"({first} - {first} % {width})" if width > 1 else first
    return f"CAST({first} AS VARCHAR)" if is_text else f"make_date(CAST({first} AS INTEGER), 1, 1)"


def _number(value: str, form: str) -> str:
    """A band is named by its lower end."""
    if form == "keep":
        return value
    if form.startswith("steps:"):
        edges = form.removeprefix("steps:").split(",")
        return f"CASE {' '.join(f'WHEN {value} >= {edge} THEN {edge}' for edge in reversed(edges))} END"
    if form.startswith("analyte"):
        return analyte_sql(value, "t.code_loinc", form)
    width = form.removeprefix("band:")
    return f"floor({value} / {width}) * {width}"


def _region(value: str) -> str:
    regions: dict[str, list[str]] = {}
    for departement, region in standard_groupings().maps["region"].items():
        regions.setdefault(region, []).append(departement)
    rows = (
        f"WHEN {value} IN ({', '.join(map(literal, codes))}) THEN {literal(region)}"
        for region, codes in regions.items()
    )
    return f"CASE {' '.join(rows)} END"


def _category(value: str) -> str:
    return f"left({value}, 3)"


def _chapter(value: str) -> str:
    rows = (
        f"WHEN left({value}, 3) BETWEEN {literal(first)} AND {literal(last)} THEN {literal(chapter)}"
        for chapter, first, last in standard_groupings().ranges["chapter"]
    )
    return f"CASE {' '.join(rows)} END"


def say_form(form: str, dates: DatePolicy, language: str = "fr") -> str:
    """A form in words, for people."""
    return describe_level(f"dates:{dates}" if form == "policy" else form, language)
