"""Specifications that tell less: of the whole specification a coarser one, by one technique or several.

Owns what each technique does to a specification; it knows no data, and what a remedy brings is measured elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from erios.extracts.generalisation.columns import RESULTS, Kind, forms_of, kind_of
from erios.extracts.generalisation.dates import ClockPrecision, DatePolicy
from erios.extracts.risk.summary_search import SummaryChoice
from erios.extracts.specification import PATIENT_KEY, Choice, Specification, TableChoice
from erios.extracts.stay_summary import COLUMNS, LABORATORY, STAYS, needs_of

if TYPE_CHECKING:
    from etl.tables import WarehouseTable
    from etl.views import Column

Tables = Mapping[str, "WarehouseTable"]
_COMMONEST = "commonest:20"
_FINER = (DatePolicy.EXACT, DatePolicy.SHIFTED)
_SAMPLE = 50


def coarser(
    specification: Specification, tables: Tables, threshold: int, *, each: bool
) -> Iterator[tuple[str, Specification]]:
    """Remedies that keep most tables: rounding, coarser time, fewer codes, results by stay, rare events left out, a
    sample of the patients; ``each`` by itself, then all together but the sample, which coarsens nothing."""
    steps: Mapping[str, Callable[[Specification], Specification]] = {
        "round": lambda wanted: _formed(wanted, tables, _rounded),
        "codes": lambda wanted: _formed(wanted, tables, _fewer_codes),
        "times": _coarser_times,
        "rare": lambda wanted: replace(wanted, suppress_under=max(threshold, wanted.suppress_under or 0)),
        "laboratory": _results_by_stay,
    }
    for name, step in steps.items():
        if each:
            yield name, step(specification)
    if each and not specification.sample:
        yield "sample", replace(specification, sample=_SAMPLE)
    both = specification
    for step in steps.values():
        both = step(both)
    yield "all", _formed(both, tables, _coarsest)


def _results_by_stay(specification: Specification) -> Specification:
    """Mean, least and greatest of each analysis and stay in the place of results, where it asks for these."""
    columns = laboratory_columns(specification)
    if len(columns) < 2:
        return specification
    others = tuple(table for table in specification.tables if table.name not in ("observation", LABORATORY))
    return replace(specification, tables=(*others, _laboratory(columns, "analyte")))


def laboratory_columns(specification: Specification) -> tuple[str, ...]:
    """The columns of the summary of results that may be made of what the specification asks for."""
    asked = set(specification.columns())
    return tuple(column.name for column in COLUMNS[LABORATORY] if set(column.needs) <= asked)


def _laboratory(columns: tuple[str, ...], form: str) -> TableChoice:
    forms = {"code_loinc": "rare"}
    why = "moyenne, minimum et maximum par séjour, proposés par le rapport de risque"
    choices = (Choice(name, forms.get(name, form), why) for name in columns)
    return TableChoice(LABORATORY, (Choice(PATIENT_KEY, "study-key", "relier les tables"), *choices))


def summarised(specification: Specification, choice: SummaryChoice) -> Specification:
    """The tables replaced by the summary of stays, in the forms that were chosen."""
    why = "résumé par séjour, proposé par le rapport de risque"
    columns = [Choice(name, form, why) for name, form in choice.forms.items()]
    table = TableChoice(STAYS, (Choice(PATIENT_KEY, "study-key", "relier les tables"), *columns))
    return replace(specification, tables=(table,), stays=choice.stays, clock=ClockPrecision.DAY, exceptional=())


def summary_columns(specification: Specification) -> frozenset[str]:
    """The columns of the summary of stays that may be made of what the specification asks for; none without stays."""
    asked = set(specification.columns())
    wanted = {f"{STAYS}.{column.name}" for column in COLUMNS[STAYS] if set(needs_of(STAYS, column.name)) <= asked}
    return frozenset(name.removeprefix(f"{STAYS}.") for name in wanted)


def _formed(specification: Specification, tables: Tables, form: Callable[[str, Column, str], str]) -> Specification:
    """Every column in the form that ``form`` gives it, from table, column and its form of now."""
    changed = []
    for table in specification.tables:
        columns = {column.name: column for column in tables[table.name].view.columns}
        choices = tuple(
            replace(choice, form=form(table.name, columns[choice.name], choice.form)) for choice in table.columns
        )
        changed.append(replace(table, columns=choices))
    return replace(specification, tables=tuple(changed))


def _allowed(table: str, column: Column, wanted: str, form: str) -> str:
    """The wanted form where the column may take it and it is coarser than the one of now."""
    forms = forms_of(table, column)
    return wanted if wanted in forms and forms.index(wanted) > forms.index(form) else form


def _rounded(table: str, column: Column, form: str) -> str:
    return _allowed(table, column, "analyte" if (table, column.name) == RESULTS else "band:10", form)


def _fewer_codes(table: str, column: Column, form: str) -> str:
    wanted = {Kind.DIAGNOSIS: "chapter", Kind.TREATMENT: "atc:3", Kind.TEXT: _COMMONEST, Kind.PLACE: "region"}
    return _allowed(table, column, wanted.get(kind_of(table, column), form), form)


def _coarsest(table: str, column: Column, form: str) -> str:
    wanted = {Kind.BIRTH: "years:10", Kind.TREATMENT: "atc:1"}
    form = _allowed(table, column, wanted.get(kind_of(table, column), form), form)
    return "analyte:3" if (table, column.name) == RESULTS else form


def _coarser_times(specification: Specification) -> Specification:
    dates = DatePolicy.BLOCKS if specification.dates in _FINER else specification.dates
    return replace(specification, dates=dates, clock=ClockPrecision.DAY, clock_why="")
