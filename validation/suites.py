"""Suites: data files with the expectations of a table.

Checks their form (docs/how-to-add-an-expectation.md) against the columns of the table. It reads no row and does not
import Great Expectations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from string import Formatter
from typing import Any

from validation.errors import SuiteError
from validation.report import Severity
from validation.sql import identifier, literal

EVERY_TABLE = "every_table.json"
"""The suite that applies to every table besides its own; in it ``$key`` stands for ``<table>_key``."""

_SUITE = {"derived", "join", "expectations"}
_RULES = (
    frozenset({"known"}),
    frozenset({"concatenate"}),
    frozenset({"types"}),
    frozenset({"columns", "except", "unless", "matches"}),
    frozenset({"columns", "except", "unless", "lacks"}),
    frozenset({"of", "code", "unit", "ranges"}),
)
_OPTIONAL = {"except", "unless"}
_RANGE = ["name", "code", "units", "from", "to"]
_PLACEHOLDERS = {"count", "evaluated", "names"}
_TEXT = "VARCHAR"


@dataclass(frozen=True)
class Check:
    """One expectation to run; ``naming``: the values of its column are names of faults, which may be shown."""

    expectation: str
    arguments: Mapping[str, Any]
    severity: Severity
    sentence: str
    columns: tuple[str, ...]
    naming: bool = False


@dataclass(frozen=True)
class Suite:
    """The checks of one table and the columns that they need: ``derived`` (name → SQL over a row), ``joins``."""

    table: str
    joins: Mapping[str, tuple[str, ...]]
    derived: Mapping[str, str]
    checks: tuple[Check, ...]
    skipped: tuple[str, ...] = ()


@dataclass
class _Draft:
    """A suite file that is being checked against the columns of its table."""

    path: Path
    table: str
    columns: Mapping[str, str]
    raw: Mapping[str, Any]
    few: bool = False
    naming: set[str] = field(default_factory=set)

    def fail(self, where: str, what: str) -> SuiteError:
        return SuiteError(f"{self.path.name}: {where}: {what}")


def load_suite(
    folder: Path, table: str, columns: Mapping[str, str], tables: Iterable[str], *, few: bool = False
) -> Suite:
    """The suite of ``table``: the one of every table, and its own file if there is one.

    ``columns`` maps the table's columns to their DuckDB types; ``tables`` are the tables of the release: checks that
    need another one are left out and named in ``skipped``. ``few``: the table has so few rows that SQL which is
    planned quickly is faster than SQL which runs quickly. Raises SuiteError.
    """
    if not (folder / EVERY_TABLE).is_file():
        raise SuiteError(f"no {EVERY_TABLE} in {folder}: the rules that every table must keep would go unchecked")
    present = frozenset(tables)
    paths = [path for path in (folder / EVERY_TABLE, folder / f"{table}.json") if path.is_file()]
    suites = [_suite(_Draft(path, table, columns, _read(path), few), present) for path in paths]
    return Suite(
        table,
        {name: join for suite in suites for name, join in suite.joins.items()},
        {name: sql for suite in suites for name, sql in suite.derived.items()},
        tuple(check for suite in suites for check in suite.checks),
        tuple(sentence for suite in suites for sentence in suite.skipped),
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SuiteError(f"{path.name}: not JSON ({error}): correct the file") from error
    if not isinstance(raw, dict) or not set(raw) <= _SUITE or not isinstance(raw.get("expectations"), list):
        raise SuiteError(f"{path.name}: a suite is an object with 'expectations' and optionally 'derived', 'join'")
    return raw


def _suite(draft: _Draft, tables: frozenset[str]) -> Suite:
    rules = draft.raw.get("derived", {})
    looked_up = {rule["known"]: () for rule in rules.values() if isinstance(rule, dict) and "known" in rule}
    joins = looked_up | {name: tuple(fields) for name, fields in draft.raw.get("join", {}).items()}
    derived = {name: _derive(draft, name, rule) for name, rule in rules.items()}
    missing = {name: absent for name, sql in derived.items() if (absent := needed_tables(sql, joins) - tables)}
    idle = {name for name, sql in derived.items() if not sql}
    checks = [_check(draft, number, raw, derived) for number, raw in enumerate(draft.raw["expectations"], 1)]
    return Suite(
        draft.table,
        {name: join for name, join in joins.items() if name in tables},
        {name: sql for name, sql in derived.items() if not {name} & (missing.keys() | idle)},
        tuple(check for check in checks if not named_columns(check) & (missing.keys() | idle)),
        tuple(
            f"{draft.table}: expectations on '{name}' left out: no table {', '.join(sorted(absent))} here"
            for name, absent in missing.items()
        ),
    )


def needed_tables(sql: str, joins: Mapping[str, Any]) -> set[str]:
    """Other tables that a derived column reads: ``staged.<table>``, or ``<joined table>.<column>`` or its key."""
    named = set(re.findall(r"\bstaged\.(\w+)", sql)) | {name for name in joins if joined_key(name) in sql}
    return named | {name for name in joins if re.search(rf"\b{name}\.", sql)}


def may_read_joined(sql: str, joins: Mapping[str, Any]) -> bool:
    """Does SQL over a row mention a joined table or its key?"""
    return any(joined_key(name) in sql or re.search(rf"\b{name}\b", sql, re.IGNORECASE) for name in joins)


def _derive(draft: _Draft, name: str, rule: Any) -> str:
    if name.casefold() in map(str.casefold, [*draft.columns, *draft.raw.get("join", {})]):
        raise draft.fail(f"derived '{name}'", "the table has a column of that name, or joins one: choose another name")
    if isinstance(rule, str):
        return rule
    if not isinstance(rule, dict) or not any(words - _OPTIONAL <= set(rule) <= words for words in _RULES):
        forms = "; ".join(", ".join(sorted(words)) for words in _RULES)
        raise draft.fail(f"derived '{name}'", f"is SQL text or an object with the words of one of: {forms}")
    if "known" in rule:
        return _has_row(draft, f"derived '{name}'", rule["known"])
    if "concatenate" in rule:
        chosen = _select(draft, rule["concatenate"])
        return f"concat_ws('|', {', '.join(map(identifier, chosen))})"
    draft.naming.add(name)
    if "ranges" in rule:
        return _first_out_of_range(draft, f"derived '{name}'", rule)
    return _first_mistyped(draft, rule["types"]) if "types" in rule else _first_text(draft, rule)


def _has_row(draft: _Draft, where: str, other: Any) -> str:
    """SQL: does the other table have the row's key of it? NULL for a row without such a key."""
    _check_column(draft, where, f"{other}_key", {})
    return f"CASE WHEN {identifier(f'{other}_key')} IS NOT NULL THEN {joined_key(other)} IS NOT NULL END"


def joined_key(table: str) -> str:
    """SQL name of a joined table's own key; NULL in a row that joins none of its rows."""
    return identifier(f"{table} join")


def _first_out_of_range(draft: _Draft, where: str, rule: Mapping[str, Any]) -> str:
    """SQL of the name of the range that applies to a row's code and unit and does not hold its value."""
    for column in (rule["of"], rule["code"], rule["unit"]):
        _check_column(draft, where, column, {})
    value, code, unit = (identifier(rule[word]) for word in ("of", "code", "unit"))
    whens = []
    for limits in rule["ranges"]:
        if not _is_range(limits):
            raise draft.fail(where, f"a range has {', '.join(_RANGE)}: texts, a list of texts, two numbers")
        units = ", ".join(map(literal, limits["units"]))
        outside = f"{value} NOT BETWEEN {float(limits['from'])} AND {float(limits['to'])}"
        whens.append(f"WHEN {code} = {literal(limits['code'])} AND {unit} IN ({units}) AND {outside}")
    names = (literal(limits["name"]) for limits in rule["ranges"])
    return f"CASE {' '.join(f'{when} THEN {name}' for when, name in zip(whens, names, strict=True))} END"


def _is_range(limits: Any) -> bool:
    if not isinstance(limits, dict) or set(limits) != set(_RANGE) or not isinstance(limits["units"], list):
        return False
    texts = (limits["name"], limits["code"], *limits["units"])
    numbers = (limits["from"], limits["to"])
    return all(isinstance(t, str) for t in texts) and all(isinstance(n, int | float) for n in numbers)


def _first_text(draft: _Draft, rule: Mapping[str, Any]) -> str:
    """SQL of the name of the first text column that matches (or lacks) a pattern; "" if no column is of text."""
    excluded = set(_select(draft, rule.get("except", [])))
    chosen = [name for name in _select(draft, rule["columns"]) if name not in excluded]
    texts = [name for name in chosen if draft.columns[name].removesuffix("[]") == _TEXT]
    if not texts:
        return ""
    if draft.few and "select" not in rule.get("unless", "").lower():
        # the pattern is compiled once, not for each column, and then applied to each value, NULLs included
        tests = (
            f"list_transform([{', '.join(map(identifier, texts))}], lambda one_text: {_text_test('one_text', rule)})"
        )
        return f"list_extract([{', '.join(map(literal, texts))}], list_position({tests}, true))"
    whens = [f"WHEN {_text_test(identifier(name), rule)} THEN {literal(name)}" for name in texts]
    return f"CASE {' '.join(whens)} END"


def _text_test(column: str, rule: Mapping[str, Any]) -> str:
    """SQL: does a text break the rule? ``unless`` is a cheap test after which most rows need no pattern."""
    pattern, negation = (rule["matches"], "") if "matches" in rule else (rule["lacks"], "NOT ")
    spared = f"NOT ({rule['unless'].replace('{column}', column)}) AND " if "unless" in rule else ""
    return f"{spared}{negation}regexp_matches({column}, {literal(pattern)})"


def _first_mistyped(draft: _Draft, types: Mapping[str, str]) -> str:
    """SQL of the name of the first column of a wrong type; the first selector that matches a name counts."""
    for name, actual in draft.columns.items():
        expected = next((sql_type for selector, sql_type in types.items() if fnmatchcase(name, selector)), actual)
        if expected != actual:
            return literal(name)
    return f"CAST(NULL AS {_TEXT})"


def _select(draft: _Draft, selectors: Iterable[str]) -> list[str]:
    patterns = [selector.replace("$key", f"{draft.table}_key") for selector in selectors]
    return [name for selector in patterns for name in draft.columns if fnmatchcase(name, selector)]


def _check(draft: _Draft, number: int, raw: Any, derived: Mapping[str, str]) -> Check:
    where = f"expectation {number}"
    arguments = dict(raw) if isinstance(raw, dict) else {}
    try:
        expectation, severity, sentence = (arguments.pop(k) for k in ("expectation", "severity", "sentence"))
    except KeyError as error:
        raise draft.fail(where, f"has no {error}: it needs expectation, severity, sentence") from error
    _check_severity(draft, where, severity)
    _check_sentence(draft, where, sentence)
    if isinstance(arguments.get("column"), str):
        arguments["column"] = arguments["column"].replace("$key", f"{draft.table}_key")
    check = Check(expectation, arguments, Severity(severity), sentence, ())
    for name in named_columns(check):
        _check_column(draft, where, name, derived)
    columns = tuple(dict.fromkeys(c for name in named_columns(check) for c in _sources(draft, name, derived)))
    return replace(check, columns=columns, naming=bool(named_columns(check) & draft.naming))


def _check_severity(draft: _Draft, where: str, severity: Any) -> None:
    if severity not in list(Severity):
        raise draft.fail(where, f"severity '{severity}' is unknown: use {' or '.join(Severity)}")


def _check_sentence(draft: _Draft, where: str, sentence: Any) -> None:
    used = {name for _, name, _, _ in Formatter().parse(str(sentence)) if name is not None}
    if not isinstance(sentence, str) or not used <= _PLACEHOLDERS:
        raise draft.fail(where, f"the sentence may only use {', '.join(f'{{{p}}}' for p in sorted(_PLACEHOLDERS))}")


def _check_column(draft: _Draft, where: str, name: str, derived: Mapping[str, str]) -> None:
    if name not in draft.columns and name not in derived:
        columns = ", ".join([*draft.columns, *derived])
        raise draft.fail(where, f"table {draft.table} has no column '{name}'; it has {columns}")


def _sources(draft: _Draft, name: str, derived: Mapping[str, str]) -> Iterator[str]:
    """The table's own columns that a named column is derived from; those of a range if it names ranges."""
    words = set(re.findall(r"\w+", derived[name])) if name in derived else {name}
    if name in draft.naming:
        words = {draft.raw["derived"][name].get(word) for word in ("of", "code", "unit")}
    yield from (column for column in draft.columns if column in words)


def named_columns(check: Check) -> set[str]:
    """The columns that an expectation's arguments name."""
    single = {check.arguments[k] for k in ("column", "column_A", "column_B") if k in check.arguments}
    return single | set(check.arguments.get("column_list", ()))
