"""Suites: data files that say what a table must be.

Owns their form (docs/how-to-add-an-expectation.md) and every sentence about a wrong one. It must never look at
a row, and never import Great Expectations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from string import Formatter
from typing import Any, get_args

from validation.errors import SuiteError
from validation.report import Severity

EVERY_TABLE = "every_table.json"
"""The suite that each table gets besides its own; in it ``$key`` stands for ``<table>_key``."""

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
_PLACES = {"count", "evaluated", "names"}
_TEXT = "VARCHAR"


@dataclass(frozen=True)
class Check:
    """One expectation to run; ``naming``: its column says in words where the fault is, which may be shown."""

    expectation: str
    arguments: Mapping[str, Any]
    severity: Severity
    sentence: str
    columns: tuple[str, ...]
    naming: bool = False


@dataclass(frozen=True)
class Suite:
    """What to run on one table: ``derived`` columns (name → SQL over a row) and the checks."""

    table: str
    joins: Mapping[str, tuple[str, ...]]
    derived: Mapping[str, str]
    checks: tuple[Check, ...]
    skipped: tuple[str, ...] = ()


@dataclass
class _Draft:
    """One suite file while it is read against the columns of its table."""

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
    """The suite of ``table``: what every table gets, and its own file if there is one.

    ``columns`` maps the table's columns to their DuckDB types; ``tables`` are the tables of the release: what
    needs another one is left out and named in ``skipped``. ``few``: rows are so few that SQL which is prepared
    quickly is faster than SQL which runs quickly. Raises SuiteError.
    """
    if not (folder / EVERY_TABLE).is_file():
        raise SuiteError(f"no {EVERY_TABLE} in {folder}: the rules that every table must keep would go unchecked")
    here = frozenset(tables)
    paths = [path for path in (folder / EVERY_TABLE, folder / f"{table}.json") if path.is_file()]
    parts = [_suite(_Draft(path, table, columns, _read(path), few), here) for path in paths]
    return Suite(
        table,
        {name: join for part in parts for name, join in part.joins.items()},
        {name: sql for part in parts for name, sql in part.derived.items()},
        tuple(check for part in parts for check in part.checks),
        tuple(sentence for part in parts for sentence in part.skipped),
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
    known = {rule["known"]: () for rule in rules.values() if isinstance(rule, dict) and "known" in rule}
    joins = known | {name: tuple(wanted) for name, wanted in draft.raw.get("join", {}).items()}
    derived = {name: _derive(draft, name, rule) for name, rule in rules.items()}
    missing = {name: gone for name, sql in derived.items() if (gone := needed_tables(sql, joins) - tables)}
    idle = {name for name, sql in derived.items() if not sql}
    checks = [_check(draft, place, raw, derived) for place, raw in enumerate(draft.raw["expectations"], 1)]
    return Suite(
        draft.table,
        {name: join for name, join in joins.items() if name in tables},
        {name: sql for name, sql in derived.items() if not {name} & (missing.keys() | idle)},
        tuple(check for check in checks if not named_columns(check) & (missing.keys() | idle)),
        tuple(
            f"{draft.table}: expectations on '{name}' left out: no table {', '.join(sorted(gone))} here"
            for name, gone in missing.items()
        ),
    )


def needed_tables(sql: str, joins: Mapping[str, Any]) -> set[str]:
    """Other tables that a derived column reads: ``staged.<table>``, or ``<joined table>.<column>`` or its key."""
    found = set(re.findall(r"\bstaged\.(\w+)", sql)) | {name for name in joins if joined_key(name) in sql}
    return found | {name for name in joins if re.search(rf"\b{name}\.", sql)}


def may_read_joined(sql: str, joins: Mapping[str, Any]) -> bool:
    """Does SQL over a row name a joined table in any way, or its key?"""
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
        return _known(draft, f"derived '{name}'", rule["known"])
    if "concatenate" in rule:
        chosen = _select(draft, rule["concatenate"])
        return f"concat_ws('|', {', '.join(map(_quoted, chosen))})"
    draft.naming.add(name)
    if "ranges" in rule:
        return _first_out_of_range(draft, f"derived '{name}'", rule)
    return _first_mistyped(draft, rule["types"]) if "types" in rule else _first_text(draft, rule)


def _known(draft: _Draft, where: str, other: Any) -> str:
    """SQL that says whether the row's key of another table is there."""
    _check_column(draft, where, f"{other}_key", {})
    return f"CASE WHEN {_quoted(f'{other}_key')} IS NOT NULL THEN {joined_key(other)} IS NOT NULL END"


def joined_key(table: str) -> str:
    """SQL name of a joined table's own key: NULL in a row that has none of its rows."""
    return _quoted(f"{table} join")


def _first_out_of_range(draft: _Draft, where: str, rule: Mapping[str, Any]) -> str:
    """SQL for the name of the range that a row's code and unit call for and its value leaves."""
    for column in (rule["of"], rule["code"], rule["unit"]):
        _check_column(draft, where, column, {})
    value, code, unit = (_quoted(rule[word]) for word in ("of", "code", "unit"))
    whens = []
    for limits in rule["ranges"]:
        if not _is_range(limits):
            raise draft.fail(where, f"a range has {', '.join(_RANGE)}: texts, a list of texts, two numbers")
        units = ", ".join(map(_literal, limits["units"]))
        outside = f"{value} NOT BETWEEN {float(limits['from'])} AND {float(limits['to'])}"
        whens.append(f"WHEN {code} = {_literal(limits['code'])} AND {unit} IN ({units}) AND {outside}")
    names = (_literal(limits["name"]) for limits in rule["ranges"])
    return f"CASE {' '.join(f'{when} THEN {name}' for when, name in zip(whens, names, strict=True))} END"


def _is_range(limits: Any) -> bool:
    if not isinstance(limits, dict) or set(limits) != set(_RANGE) or not isinstance(limits["units"], list):
        return False
    texts = (limits["name"], limits["code"], *limits["units"])
    numbers = (limits["from"], limits["to"])
    return all(isinstance(t, str) for t in texts) and all(isinstance(n, int | float) for n in numbers)


def _first_text(draft: _Draft, rule: Mapping[str, Any]) -> str:
    """SQL for the name of the first text column that matches (or lacks) a pattern; none without such columns."""
    left_out = set(_select(draft, rule.get("except", [])))
    chosen = [name for name in _select(draft, rule["columns"]) if name not in left_out]
    texts = [name for name in chosen if draft.columns[name].removesuffix("[]") == _TEXT]
    if not texts:
        return ""
    if draft.few and "select" not in rule.get("unless", "").lower():
        # a pattern is made once, not for each column, and then asked of each value, also of missing ones
        tested = f"list_transform([{', '.join(map(_quoted, texts))}], lambda one_text: {_text_test('one_text', rule)})"
        return f"list_extract([{', '.join(map(_literal, texts))}], list_position({tested}, true))"
    whens = [f"WHEN {_text_test(_quoted(name), rule)} THEN {_literal(name)}" for name in texts]
    return f"CASE {' '.join(whens)} END"


def _text_test(column: str, rule: Mapping[str, Any]) -> str:
    """SQL that finds a fault in a text; ``unless`` is a cheap test that spares most rows the pattern."""
    pattern, negation = (rule["matches"], "") if "matches" in rule else (rule["lacks"], "NOT ")
    spared = f"NOT ({rule['unless'].replace('{column}', column)}) AND " if "unless" in rule else ""
    return f"{spared}{negation}regexp_matches({column}, {_literal(pattern)})"


def _first_mistyped(draft: _Draft, types: Mapping[str, str]) -> str:
    """SQL for the name of the first column that has not its type; the first selector that fits a name counts."""
    for name, actual in draft.columns.items():
        wanted = next((kind for selector, kind in types.items() if fnmatchcase(name, selector)), actual)
        if wanted != actual:
            return _literal(name)
    return f"CAST(NULL AS {_TEXT})"


def _select(draft: _Draft, selectors: Iterable[str]) -> list[str]:
    wanted = [selector.replace("$key", f"{draft.table}_key") for selector in selectors]
    return [name for selector in wanted for name in draft.columns if fnmatchcase(name, selector)]


def _check(draft: _Draft, place: int, raw: Any, derived: Mapping[str, str]) -> Check:
    where = f"expectation {place}"
    arguments = dict(raw) if isinstance(raw, dict) else {}
    try:
        expectation, severity, sentence = (arguments.pop(k) for k in ("expectation", "severity", "sentence"))
    except KeyError as error:
        raise draft.fail(where, f"has no {error}: it needs expectation, severity, sentence") from error
    _check_words(draft, where, severity, sentence)
    if isinstance(arguments.get("column"), str):
        arguments["column"] = arguments["column"].replace("$key", f"{draft.table}_key")
    check = Check(expectation, arguments, severity, sentence, ())
    for name in named_columns(check):
        _check_column(draft, where, name, derived)
    columns = tuple(dict.fromkeys(c for name in named_columns(check) for c in _sources(draft, name, derived)))
    return Check(expectation, arguments, severity, sentence, columns, bool(named_columns(check) & draft.naming))


def _check_words(draft: _Draft, where: str, severity: Any, sentence: Any) -> None:
    if severity not in get_args(Severity):
        raise draft.fail(where, f"severity '{severity}' is unknown: use block or warn")
    places = {place for _, place, _, _ in Formatter().parse(str(sentence)) if place is not None}
    if not isinstance(sentence, str) or not places <= _PLACES:
        raise draft.fail(where, f"the sentence may only use {', '.join(f'{{{p}}}' for p in sorted(_PLACES))}")


def _check_column(draft: _Draft, where: str, name: str, derived: Mapping[str, str]) -> None:
    if name not in draft.columns and name not in derived:
        known = ", ".join([*draft.columns, *derived])
        raise draft.fail(where, f"table {draft.table} has no column '{name}'; it has {known}")


def _sources(draft: _Draft, name: str, derived: Mapping[str, str]) -> Iterator[str]:
    """The table's own columns behind a name; none where the answer tells which."""
    words = set(re.findall(r"\w+", derived[name])) if name in derived else {name}
    if name in draft.naming:
        words = {draft.raw["derived"][name].get(word) for word in ("of", "code", "unit")}
    yield from (column for column in draft.columns if column in words)


def named_columns(check: Check) -> set[str]:
    """The columns that an expectation's arguments name."""
    single = {check.arguments[k] for k in ("column", "column_A", "column_B") if k in check.arguments}
    return single | set(check.arguments.get("column_list", ()))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
