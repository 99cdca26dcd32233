"""Types of columns: the DuckDB type of a column, the cast to it, and the checks of what cannot be cast."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

from etl.sql import literal
from etl.views import boundaries
from etl.views.definition import ColumnDefinition, Constant
from etl.views.fhirpath.expressions import DATES, INTEGERS, SQL_TYPES, STRINGS, Expr
from etl.views.rows import Value

_FORMS = {
    "integer": r"-?(0|[1-9]\d{0,9})",
    "positiveInt": r"[1-9]\d{0,9}",
    "unsignedInt": r"0|[1-9]\d{0,9}",
    "integer64": r"-?(0|[1-9]\d{0,18})",
    "decimal": r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?",
    "date": r"\d{4}(-\d\d(-\d\d)?)?",
    "dateTime": r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    "instant": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "time": r"\d\d:\d\d(:\d\d(\.\d+)?)?",
}
_ANSI = re.compile(r"([A-Z ]+?) ?(\(\d+(?:, ?\d+)?\))?")
ANSI_TYPES = {
    "BIGINT": "BIGINT",
    "BOOLEAN": "BOOLEAN",
    "CHAR": "VARCHAR",
    "CHARACTER": "VARCHAR",
    "CHARACTER VARYING": "VARCHAR",
    "DATE": "DATE",
    "DEC": "DECIMAL",
    "DECIMAL": "DECIMAL",
    "DOUBLE": "DOUBLE",
    "DOUBLE PRECISION": "DOUBLE",
    "FLOAT": "DOUBLE",
    "INT": "INTEGER",
    "INTEGER": "INTEGER",
    "NUMERIC": "DECIMAL",
    "REAL": "FLOAT",
    "SMALLINT": "SMALLINT",
    "TEXT": "VARCHAR",
    "TIME": "TIME",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMP WITHOUT TIME ZONE": "TIMESTAMP",
    "VARCHAR": "VARCHAR",
}
"""ISO/IEC 9075 type of the tag ``ansi/type`` → DuckDB's."""
_PREFIXES = ("http://hl7.org/fhir/StructureDefinition/", "http://hl7.org/fhirpath/System.")


def is_valid_constant(constant: Constant) -> bool:
    """Does the JSON value have the form of the constant's type? FHIR writes an integer64 as text."""
    if constant.type == "boolean":
        return isinstance(constant.value, bool)
    numeric = constant.type in INTEGERS or constant.type == "decimal"
    accepted = (int, float, Decimal, str) if numeric else (str,)
    if isinstance(constant.value, bool) or not isinstance(constant.value, accepted):
        return False
    return re.fullmatch(_FORMS.get(constant.type, r"[\s\S]*"), str(constant.value)) is not None


def is_compatible(declared: str, fhir_type: str) -> bool:
    """Can a column be declared as one type when its path gives the other? An integer can be declared a decimal."""
    families = (_family(declared), _family(fhir_type))
    return fhir_type == "empty" or families[0] == families[1] or families == ("decimal", "integer")


def _family(fhir_type: str) -> str:
    if fhir_type in STRINGS:
        return "string"
    return "integer" if fhir_type in INTEGERS else fhir_type


def declared_type(column: ColumnDefinition) -> str:
    """The FHIR type that a column declares, as a name; empty without one."""
    name = column.type or ""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name[:1].lower() + name[1:] if name != (column.type or "") and name in ("String", "Boolean") else name


def result_type(expr: Expr, declared: str) -> str:
    """The FHIR type that gives the SQL type: the declared one if the path gives none, or an integer to widen."""
    widened = expr.type in INTEGERS and declared in ("decimal", "integer64")
    return declared if declared and (expr.type == "empty" or widened) else expr.type


def cast_column(expr: Expr, ansi: str | None, sql_type: str) -> Expr:
    """The column's values, cast by FHIR type or as the tag ``ansi/type`` asks; NULL for a text that does not fit."""
    if expr.type == "empty":
        return replace(expr, sql=f"CAST(NULL AS {sql_type})", is_list=False, raw=False)
    if ansi is None and SQL_TYPES.get(expr.type, "VARCHAR") == sql_type:
        return expr.typed()
    is_date = expr.type in ("date", "dateTime", "instant")
    cast = _cast_date(sql_type) if is_date else f"TRY_CAST({{0}} AS {sql_type})"
    each = cast.replace("{0}", "v" if expr.is_list else expr.sql)
    sql = f"list_transform({expr.sql}, lambda v: {each})" if expr.is_list else each
    return replace(expr, sql=sql, raw=False)


def _cast_date(ansi: str) -> str:
    if ansi == "DATE":
        filled = "CASE length({0}) WHEN 4 THEN {0} || '-01-01' WHEN 7 THEN {0} || '-01' ELSE left({0}, 10) END"
        return f"TRY_CAST({filled} AS DATE)"
    if ansi == "VARCHAR":
        return "{0}"
    instant = boundaries.instant("{0}")
    return instant if ansi == "TIMESTAMP WITH TIME ZONE" else f"TRY_CAST(timezone('UTC', {instant}) AS {ansi})"


def duckdb_type(ansi: str) -> str | None:
    """DuckDB's type for an ISO/IEC 9075 type such as ``CHARACTER VARYING`` or ``DECIMAL(10, 2)``; None if unknown."""
    match = _ANSI.fullmatch(" ".join(ansi.upper().split()))
    name, size = (match[1], match[2]) if match else ("", "")
    if name not in ANSI_TYPES:
        return None
    sql_type = ANSI_TYPES[name]
    return f"{sql_type}{(size or '(18,3)').replace(' ', '')}" if sql_type == "DECIMAL" else sql_type


def null_column(column: ColumnDefinition, sql_type: str) -> str:
    """SQL of a column without a value."""
    return f"CAST([] AS {sql_type}[])" if column.collection else f"CAST(NULL AS {sql_type})"


def column_value(column: ColumnDefinition, typed: Expr, sql_type: str) -> Value:
    """SQL of a column: a list for a collection, else one value."""
    if column.collection:
        as_list = typed.sql if typed.is_list else f"CASE WHEN {typed.sql} IS NOT NULL THEN [{typed.sql}] ELSE [] END"
        sql = f"CAST(coalesce({as_list}, []) AS {sql_type}[])"
        return Value(sql, sql)
    if not typed.is_list:
        return Value(typed.sql, typed.sql)
    first = f"list_extract({typed.sql}, 1)"
    message = literal(f"column {column.name} ({column.path}) has more than one value; use first() or collection")
    return Value(first, f"CASE WHEN len({typed.sql}) > 1 THEN error({message}) ELSE {first} END")


def column_checks(column: ColumnDefinition, expr: Expr, typed: Expr, checked: set[str]) -> list[str]:
    """SQL of NULL or the reason why a value cannot be used; ``checked`` holds the tests made already."""
    checks = []
    if typed.is_list and not column.collection:
        reason = literal(f"column {column.name}: more than one value at {column.path}")
        checks.append(f"CASE WHEN len({typed.sql}) > 1 THEN {reason} END")
    if tests := [test for test in _invalid_tests(expr, typed) if test not in checked]:
        checked.update(tests)
        any_test = " OR ".join(tests)
        invalid = any_test if expr.is_list else f"{expr.sql} IS NOT NULL AND ({any_test})"
        checks.append(f"CASE WHEN {invalid} THEN {literal(f'column {column.name}: not a valid {expr.type}')} END")
    return checks


def _invalid_tests(expr: Expr, typed: Expr) -> list[str]:
    """SQL conditions, each of which finds texts that are no values of the column's type."""
    if not expr.raw or (typed.sql == expr.sql and expr.type not in DATES):
        return []
    invalid = _invalid_text(expr.type, "v" if expr.is_list else expr.sql)
    if expr.is_list:
        tests = [f"len(list_filter({expr.sql}, lambda v: {invalid})) > 0"] if invalid else []
        not_cast = f"len(list_filter({typed.sql}, lambda v: v IS NULL)) > 0"
    else:
        tests, not_cast = [invalid] if invalid else [], f"{typed.sql} IS NULL"
    return [*tests, not_cast] if typed.sql != expr.sql else tests


def _invalid_text(fhir_type: str, text: str) -> str:
    """SQL condition: SQL would cast the text, and it is no value of the FHIR type. Empty if the cast is as strict."""
    if fhir_type in DATES:
        return f"NOT {boundaries.is_valid(text, fhir_type)}"
    if fhir_type in INTEGERS:
        return f"contains({text}, '.')"
    if fhir_type == "boolean":
        return f"{text} NOT IN ('true', 'false')"
    if fhir_type == "decimal":
        tiny = f"contains(lower({text}), 'e-') AND TRY_CAST({text} AS {SQL_TYPES[fhir_type]}) = 0 AND {text}[1] <> '0'"
        return f"(length({text}) > 24 AND length(split_part({text}, '.', 2)) > 22) OR ({tiny})"
    return ""
