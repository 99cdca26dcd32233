"""No pseudonym of one extract may be found in another: every pair of key-like text columns is tried.

Owns what looks like a key: a column named as one, or one whose values are long, without spaces, with digits, and mostly
different. A join on several columns needs each of them to be equal, so where no single pair has a value in common,
no combination joins. Also tried are the last characters, since a prefix a study would hide an equal rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from erios.extracts.risk.extract_tables import Extract
from erios.extracts.risk.report import SharedKey
from etl.sql import identifier, literal

_ENDING = 16
_NAMED = r"(^|_)(key|keys|uid|uids|id|ids|hash)$"
_FORM = r"[0-9A-Za-z_.:|/+=-]{16,}"
_DAY = r"^\d{4}-\d{2}-\d{2}([T ]|$)"
_SAMPLE = 2000


@dataclass(frozen=True)
class _Column:
    """A key-like column; ``select`` is SQL of its distinct values v."""

    table: str
    name: str
    select: str


def shared_keys(a: Extract, b: Extract) -> tuple[SharedKey, ...]:
    """The pairs of key-like columns that have values in common; none is what must be."""
    columns = [(side, column) for side, extract in enumerate((a, b)) for column in _key_columns(extract)]
    if not columns:
        return ()
    parts = (f"SELECT {side} AS side, {n} AS c, v FROM ({column.select})" for n, (side, column) in enumerate(columns))
    a.run(
        f"CREATE TABLE key_value AS SELECT side, c, v, right(lower(regexp_replace(v, '[^0-9A-Za-z]', '', 'g')),"
        f" {_ENDING}) AS ending FROM ({' UNION ALL '.join(parts)})"
    )
    rows = a.rows(_matches("v = y.v", "equal") + " UNION ALL " + _matches(_ENDS, "ending") + " ORDER BY 1, 2, 3")
    named = [column for _, column in columns]
    return tuple(
        SharedKey(named[x].table, named[x].name, named[y].table, named[y].name, how, int(values))
        for x, y, how, values in rows
    )


_ENDS = f"ending = y.ending AND x.v <> y.v AND length(x.ending) = {_ENDING}"


def _matches(same: str, how: str) -> str:
    return (
        f"SELECT x.c, y.c, '{how}', count(DISTINCT x.v) FROM key_value x JOIN key_value y ON x.{same}"
        " AND x.side = 0 AND y.side = 1 GROUP BY x.c, y.c"
    )


def _key_columns(extract: Extract) -> list[_Column]:
    columns = []
    for table in extract.tables.values():
        for name, kind in table.types.items():
            if kind in ("VARCHAR", "VARCHAR[]"):
                value = f"unnest({identifier(name)})" if kind.endswith("[]") else identifier(name)
                values = f"FROM (SELECT {value} AS v FROM {table.view}) WHERE v IS NOT NULL"
                if _is_key(extract, name, values):
                    columns.append(_Column(table.name, name, f"SELECT DISTINCT v {values} AND v <> ''"))
    return columns


def _is_key(extract: Extract, name: str, values: str) -> bool:
    """By its name, or by the form and variety of a bounded sample of its rows."""
    named = f"regexp_matches({literal(name)}, '{_NAMED}')"
    rows = f"SELECT v {values} LIMIT {_SAMPLE}"
    formed = f"regexp_full_match(v, '{_FORM}') AND regexp_matches(v, '[0-9]') AND NOT regexp_matches(v, '{_DAY}')"
    return bool(
        extract.scalar(
            f"SELECT {named} OR coalesce(avg(CASE WHEN {formed} AND NOT contains(v, '://') THEN 1 ELSE 0 END) > 0.5"
            f" AND count(DISTINCT v) > 0.1 * count(*), FALSE) FROM ({rows})"
        )
    )
