"""Common paths of the columns of a SELECT, computed once in a subquery.

A path is ``struct_extract`` and ``list_extract`` around a name and nothing else, so that computing it where no column
reads it can neither fail nor cost. DuckDB binds every occurrence of a path anew, and a wide view has up to twenty
occurrences of one: in small batches that was most of the time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

_NAME = re.compile(r"[A-Za-z_«][A-Za-z0-9_»]*")
_CALL = re.compile(r"(?<![A-Za-z0-9_])(?:struct|list)_extract\(")
_STEP = re.compile(r", (?:'[A-Za-z0-9_]+'|\d+)\)")


def share_paths(columns: Sequence[str], source: str, roots: Collection[str]) -> tuple[list[str], str]:
    """The columns with a name in place of each path that occurs twice, and the source that defines the names.

    Paths begin at one of ``roots``.
    """
    counts = Counter(column[start:end] for column in columns for start, end in _paths(column, roots))
    names = {path: f"_p{number}" for number, path in enumerate(p for p, count in counts.items() if count > 1)}
    if not names:
        return list(columns), source
    definitions = ", ".join(f"{path} AS {name}" for path, name in names.items())
    return [_renamed(column, names, roots) for column in columns], f"(SELECT *, {definitions} FROM {source})"


def _renamed(sql: str, names: Mapping[str, str], roots: Collection[str]) -> str:
    parts, done = [], 0
    for start, end in _paths(sql, roots):
        parts += [sql[done:start], names.get(sql[start:end], sql[start:end])]
        done = end
    return "".join([*parts, sql[done:]])


def _paths(sql: str, roots: Collection[str]) -> Iterator[tuple[int, int]]:
    """Start and end of each path from one of ``roots``, without the paths inside it."""
    done = 0
    for call in _CALL.finditer(sql):
        if call.start() >= done and (path := _path(sql, call.start())) and path[1] in roots:
            done = path[0]
            yield call.start(), done


def _path(sql: str, start: int) -> tuple[int, str] | None:
    """The end of the path that begins at ``start``, and its root; None if there is no path."""
    if not (call := _CALL.match(sql, start)):
        name = _NAME.match(sql, start)
        return (name.end(), name[0]) if name else None
    inner = _path(sql, call.end())
    step = _STEP.match(sql, inner[0]) if inner else None
    return (step.end(), inner[1]) if inner and step else None
