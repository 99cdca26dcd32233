"""Rows of a select, as SQL that is not yet a query: values, lists of rows to be crossed with them, and checks.

``narrowed`` removes what is empty in records that lack most elements: a column that is a path is NULL without the
path's first element, and an iteration over a path has no rows, so neither has to be computed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

RESOURCE = "«resource»"
"""Placeholder of the record in the SQL of a view."""
PROBLEM = "_problem"
"""The column of a row's problem: NULL, or the column at fault and what is wrong with it."""
_ELEMENT = re.compile(rf"struct_extract\({RESOURCE}, '([A-Za-z0-9_]+)'\)")


def elements_read(sql: str) -> frozenset[str] | None:
    """The top-level elements of the record that SQL reads; None if it also uses the record itself."""
    names = _ELEMENT.findall(sql)
    return frozenset(names) if len(names) == sql.count(RESOURCE) else None


@dataclass(frozen=True)
class Value:
    """SQL of a column: for loads, which collect problems, and one that raises an error for several values.

    ``empty`` is SQL of its value when the first element of its path is missing; "" if its expression is no path.
    """

    sql: str
    raising: str
    empty: str = ""

    def mapped(self, change: Callable[[str], str]) -> Value:
        """The same with its SQL changed."""
        return Value(change(self.sql), change(self.raising), self.empty)

    def guarded(self, missing: str) -> Value:
        """The same, and NULL if ``missing`` (SQL) holds."""
        return self.mapped(lambda sql: f"CASE WHEN NOT ({missing}) THEN {sql} END")

    def narrowed(self, present: Collection[str]) -> Value:
        """The same for records without top-level elements other than ``present``."""
        return Value(self.empty, self.empty) if self.empty and _lacks(self.sql, present) else self


@dataclass(frozen=True)
class Check:
    """SQL of NULL or a problem; ``of_path``: the checked value is a path, so NULL where the path is empty."""

    sql: str
    of_path: bool = False

    def mapped(self, change: Callable[[str], str]) -> Check:
        return replace(self, sql=change(self.sql))


@dataclass
class Rows:
    """Rows of a select for one focus: values of one row, and lists of rows to be crossed with it.

    ``order`` is the order of the columns in the definition.
    """

    values: dict[str, Value] = field(default_factory=dict)
    lists: list[Iteration | Union] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def mapped(self, change: Callable[[str], str]) -> Rows:
        """The same rows with every SQL text changed."""
        values = {name: value.mapped(change) for name, value in self.values.items()}
        lists = [part.mapped(change) for part in self.lists]
        return Rows(values, lists, [check.mapped(change) for check in self.checks], self.order)

    def texts(self) -> Iterator[str]:
        """Every SQL text of the rows, those of their lists included."""
        for value in self.values.values():
            yield from (value.sql, value.raising)
        yield from (check.sql for check in self.checks)
        for part in self.lists:
            yield from part.texts()

    def narrowed(self, present: Collection[str]) -> Rows | None:
        """The rows of records without top-level elements other than ``present``; None if they have none."""
        lists = [kept for part in self.lists if (kept := part.narrowed(present))]
        if len(lists) < len(self.lists):
            return None
        values = {name: value.narrowed(present) for name, value in self.values.items()}
        checks = [check for check in self.checks if not (check.of_path and _lacks(check.sql, present))]
        return Rows(values, lists, checks, self.order)


@dataclass
class Iteration:
    """The rows of every item of a list; ``body`` refers to the item and its index by the names ``item``, ``index``.

    ``of_path``: the items are given by a path, so there are none without its first element.
    """

    items: str
    item: str
    index: str
    body: Rows
    of_path: bool = False

    @property
    def order(self) -> list[str]:
        return self.body.order

    def mapped(self, change: Callable[[str], str]) -> Iteration:
        return replace(self, items=change(self.items), body=self.body.mapped(change))

    def texts(self) -> Iterator[str]:
        yield self.items
        yield from self.body.texts()

    def narrowed(self, present: Collection[str]) -> Iteration | None:
        return None if self.of_path and _lacks(self.items, present) else self


@dataclass
class Union:
    """The rows of several branches, one after the other."""

    branches: list[Rows]

    @property
    def order(self) -> list[str]:
        return self.branches[0].order

    def mapped(self, change: Callable[[str], str]) -> Union:
        return Union([branch.mapped(change) for branch in self.branches])

    def texts(self) -> Iterator[str]:
        for branch in self.branches:
            yield from branch.texts()

    def narrowed(self, present: Collection[str]) -> Union | None:
        branches = [kept for branch in self.branches if (kept := branch.narrowed(present))]
        return Union(branches) if branches else None


def _lacks(sql: str, present: Collection[str]) -> bool:
    """Does the SQL read elements of the record, but none of those present?"""
    read = elements_read(sql) or frozenset()
    return bool(read) and read.isdisjoint(present)
