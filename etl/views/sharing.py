"""A path that several columns of a SELECT read is named once, below them.

Owns the recognition of paths in compiled SQL: ``struct_extract`` and ``list_extract`` around a name, nothing else, so
that reading one where no column asked for it can neither fail nor cost. DuckDB binds every mention of a path anew, and
a wide view mentions some of them twenty times: for a small batch that was most of the work.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

_NAME = re.compile(r"[A-Za-z_«][A-Za-z0-9_»]*")
_CALL = re.compile(r"(?<![A-Za-z0-9_])(?:struct|list)_extract\(")
_STEP = re.compile(r", (?:'[A-Za-z0-9_]+'|\d+)\)")


def share_paths(columns: Sequence[str], source: str, roots: Collection[str]) -> tuple[list[str], str]:
    """The columns with a name for each path from one of ``roots`` that they read twice, and the source of the names."""
    found = Counter(column[start:end] for column in columns for start, end in _paths(column, roots))
    names = {path: f"_p{number}" for number, path in enumerate(p for p, count in found.items() if count > 1)}
    if not names:
        return list(columns), source
    named = ", ".join(f"{path} AS {name}" for path, name in names.items())
    return [_renamed(column, names, roots) for column in columns], f"(SELECT *, {named} FROM {source})"


def _renamed(sql: str, names: Mapping[str, str], roots: Collection[str]) -> str:
    parts, done = [], 0
    for start, end in _paths(sql, roots):
        parts += [sql[done:start], names.get(sql[start:end], sql[start:end])]
        done = end
    return "".join([*parts, sql[done:]])


def _paths(sql: str, roots: Collection[str]) -> Iterator[tuple[int, int]]:
    """Where the paths from ``roots`` begin and end, none inside another."""
    done = 0
    for call in _CALL.finditer(sql):
        if call.start() >= done and (found := _path(sql, call.start())) and found[1] in roots:
            done = found[0]
            yield call.start(), done


def _path(sql: str, start: int) -> tuple[int, str] | None:
    """Where the path that begins at ``start`` ends, and the name that it starts from; None if there is none."""
    if not (call := _CALL.match(sql, start)):
        name = _NAME.match(sql, start)
        return (name.end(), name[0]) if name else None
    inner = _path(sql, call.end())
    step = _STEP.match(sql, inner[0]) if inner else None
    return (step.end(), inner[1]) if inner and step else None
