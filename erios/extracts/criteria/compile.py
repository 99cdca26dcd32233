"""From criteria to one SQL query, in DuckDB's dialect or Spark's, over the tables of a release."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from erios.extracts.criteria.model import And, Criterion, Leaf, Not, Or, leaves
from erios.extracts.criteria.sql import DUCKDB, Dialect, Query, join


def cohort_query(criterion: Criterion, dialect: Dialect = DUCKDB) -> Query:
    """One query for the pseudonyms of a cohort: patient_key."""
    distinct = list(dict.fromkeys(leaves(criterion)))
    flags = _flags(distinct, dialect)
    return "SELECT patient_key FROM (" + flags + f") flags WHERE {_boolean(criterion, distinct)}"


def leaves_query(distinct: Sequence[Leaf], dialect: Dialect = DUCKDB) -> Query:
    """One query for the patients whom at least one leaf holds: record_key, then a flag for each leaf in order."""
    names = [f"leaf_{n}" for n in range(len(distinct))]
    flags = _flags(distinct, dialect)
    return f"SELECT record_key, {', '.join(names)} FROM (" + flags + f") flags WHERE {' OR '.join(names)}"


def tables(distinct: Iterable[Leaf]) -> set[str]:
    """Names of the tables that the leaves read."""
    return {"patient"}.union(*(leaf.tables() for leaf in distinct))


def _flags(distinct: Sequence[Leaf], dialect: Dialect) -> Query:
    """SELECT of every patient with a flag a leaf: patient_key, record_key, leaf_0, leaf_1, …"""
    own = {n: leaf.patient_condition() for n, leaf in enumerate(distinct)}
    joined = [n for n, condition in own.items() if condition is None]
    members = [f"leaf_{n} AS (" + distinct[n].members(dialect) + ")" for n in joined]
    columns = [(condition or Query(f"j{n}.patient_key IS NOT NULL")) + f" AS leaf_{n}" for n, condition in own.items()]
    key = dialect.record_key.format(key="p.patient_key")
    select = join(", ", [Query("p.patient_key"), Query(f"{key} AS record_key"), *columns])
    joins = " ".join(f"LEFT JOIN leaf_{n} j{n} ON j{n}.patient_key = p.patient_key" for n in joined)
    opening = "WITH " + join(", ", members) + " " if members else Query("")
    return opening + "SELECT " + select + f" FROM patient p {joins}"


def _boolean(criterion: Criterion, distinct: Sequence[Leaf]) -> str:
    """The criterion as a condition on the flags leaf_0, leaf_1, … of the leaves."""
    match criterion:
        case And(parts):
            return "(" + " AND ".join(_boolean(part, distinct) for part in parts) + ")" if parts else "TRUE"
        case Or(parts):
            return "(" + " OR ".join(_boolean(part, distinct) for part in parts) + ")"
        case Not(inner):
            return f"(NOT {_boolean(inner, distinct)})"
        case Leaf():
            return f"leaf_{distinct.index(criterion)}"
