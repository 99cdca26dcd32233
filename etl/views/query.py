"""The SELECT of a view, from its rows: values, iterations and unions.

One iteration is one UNNEST, a union is UNION ALL, and only what is nested deeper or crossed with a sibling goes
through lists of structs, whose field ``_problem`` holds the problem of a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from etl.sql import identifier, literal
from etl.views.common_paths import share_paths
from etl.views.fhirpath.expressions import Names
from etl.views.rows import PROBLEM, RESOURCE, Iteration, Rows, Union, Value


class _OuterNames(Names):
    """Lambda variables of the query itself; those of the view's own expressions begin otherwise."""

    def fresh(self) -> str:
        return "_o" + super().fresh()


@dataclass(frozen=True)
class Query:
    """Writes the SELECT of a view.

    ``carry`` are columns of the source that the result keeps. With ``problems`` a row that cannot be used has its
    reason in ``_problem``; without, the query raises.
    """

    carry: tuple[str, ...]
    problems: bool
    names: Names = field(default_factory=_OuterNames)

    def sql(self, rows: Rows, source: str, inherited: tuple[str, ...] = ()) -> str:
        """SELECT of ``carry``, the columns ``inherited`` from the source, the rows' own and the problem."""
        if not rows.lists:
            return self._flat(rows, source, inherited)
        if len(rows.lists) > 1:
            return self._through_lists(rows, source, inherited)
        if isinstance(only := rows.lists[0], Iteration):
            return self._unnested(rows, only, source, inherited)
        branches = (self.sql(_joined(rows, branch), source, inherited) for branch in only.branches)
        return " UNION ALL BY NAME ".join(branches)

    def _value(self, value: Value) -> str:
        return value.sql if self.problems else value.raising

    def _columns(self, rows: Rows, inherited: tuple[str, ...]) -> list[str]:
        """The columns of a SELECT over the source, the problem among them."""
        values = [f"{self._value(value)} AS {identifier(name)}" for name, value in rows.values.items()]
        checks = [*([identifier(PROBLEM)] if PROBLEM in inherited else []), *(check.sql for check in rows.checks)]
        return [*self.carry, *_identifiers(inherited), *values, f"{_first_problem(checks)} AS {identifier(PROBLEM)}"]

    def _flat(self, rows: Rows, source: str, inherited: tuple[str, ...]) -> str:
        columns, source = _share(self._columns(rows, inherited), source, inherited)
        return f"SELECT {', '.join(columns)} FROM {source}"

    def _unnested(self, rows: Rows, iteration: Iteration, source: str, inherited: tuple[str, ...]) -> str:
        """The items as rows first; then the body's columns are computed on them like any others."""
        body, items = iteration.body, iteration.items
        resource = [f"{RESOURCE} AS {RESOURCE}"] if _mentions(body, RESOURCE) else []
        unnested = [f"unnest({items}) AS {identifier(iteration.item)}"]
        if _mentions(body, iteration.index):
            unnested.append(f"unnest(range(1, len({items}) + 1)) AS {identifier(iteration.index)}")
        columns = [*self._columns(rows, inherited), *resource, *unnested]
        not_empty = f"(SELECT * FROM {source}) WHERE len({items}) > 0"  # before the columns are computed
        columns, not_empty = _share(columns, not_empty, inherited)
        inner = f"(SELECT {', '.join(columns)} FROM {not_empty})"
        outer = filter(_is_variable, inherited)
        variables = (name for name in (iteration.item, iteration.index) if _mentions_below(body, name))
        kept = dict.fromkeys((*outer, *inherited, *rows.values, PROBLEM, *variables))
        return self.sql(body, inner, tuple(kept))

    def _through_lists(self, rows: Rows, source: str, inherited: tuple[str, ...]) -> str:
        """The cross product of the lists, unnested once."""
        crossed, names = _crossed(rows.lists, self.names)
        unnested = [*self._columns(rows, inherited), f'unnest({crossed}) AS "_row"']
        inner = f"(SELECT {', '.join(unnested)} FROM {source})"
        kept = [*self.carry, *_identifiers((*inherited, *rows.values))]
        columns = [f"{sql} AS {identifier(name)}" for name, sql in _fields('"_row"', names).items()]
        nested = _field('"_row"', PROBLEM)
        problem = f'coalesce("{PROBLEM}", {nested}) AS "{PROBLEM}"'
        check = "" if self.problems else f" WHERE {_raising(nested)}"
        return f"SELECT {', '.join([*kept, *columns, problem])} FROM {inner}{check}"


def _identifiers(names: Iterable[str]) -> list[str]:
    """Names of columns in SQL, without the problem's."""
    return [identifier(name) for name in names if name != PROBLEM]


def _share(columns: Sequence[str], source: str, inherited: Iterable[str]) -> tuple[list[str], str]:
    return share_paths(columns, source, {RESOURCE, *filter(_is_variable, inherited)})


def _joined(rows: Rows, branch: Rows) -> Rows:
    """A branch of a union together with the row that the union belongs to."""
    return Rows(
        {**rows.values, **branch.values}, branch.lists, [*rows.checks, *branch.checks], [*rows.order, *branch.order]
    )


def _mentions(rows: Rows, name: str) -> bool:
    """Does any SQL of the rows use a name?"""
    use = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])")
    return any(use.search(text) for text in rows.texts())


def _mentions_below(rows: Rows, name: str) -> bool:
    """Does SQL that is evaluated after a further unnesting use a name?"""
    inner = [item.body for item in rows.lists if isinstance(item, Iteration)]
    inner += [branch for item in rows.lists if isinstance(item, Union) for branch in item.branches if branch.lists]
    return any(_mentions(body, name) for body in inner)


def _is_variable(name: str) -> bool:
    return re.fullmatch(r"_x\d+", name) is not None


def _raising(problem: str) -> str:
    """SQL of a filter that passes every row, and raises for several values where a column allows one."""
    several = f"contains({problem}, 'more than one value')"
    return f"CASE WHEN {several} THEN error({problem}) ELSE true END"


def _first_problem(checks: Sequence[str]) -> str:
    return f"coalesce({', '.join(checks)}, NULL)" if checks else "CAST(NULL AS VARCHAR)"


def _field(struct: str, name: str) -> str:
    return f"struct_extract({struct}, {literal(name)})"


def _fields(struct: str, names: Iterable[str]) -> dict[str, str]:
    """Name → SQL of some fields of a struct."""
    return {name: _field(struct, name) for name in names}


def _pack(values: Mapping[str, str], checks: Sequence[str]) -> str:
    """A row as a struct, its problem included."""
    fields = {**values, PROBLEM: _first_problem(checks)}
    return f"struct_pack({', '.join(f'{identifier(name)} := {sql}' for name, sql in fields.items())})"


def _row_list(rows: Rows, names: Names) -> tuple[str, bool]:
    """SQL of a focus's rows, and whether it is a list of rows rather than one row."""
    values = {name: value.sql for name, value in rows.values.items()}
    checks = [check.sql for check in rows.checks]
    if not rows.lists:
        return _pack(values, checks), False
    crossed, crossed_names = _crossed(rows.lists, names)
    if not values and not checks:
        return crossed, True
    y = names.fresh()
    row = _pack(values | _fields(y, crossed_names), [*checks, _field(y, PROBLEM)])
    return f"list_transform({crossed}, lambda {y}: {row})", True


def _list_sql(part: Iteration | Union, names: Names) -> str:
    """SQL of a list of rows."""
    if isinstance(part, Iteration):
        row, is_nested = _row_list(part.body, names)
        body = f"list_transform({part.items}, lambda {part.item}, {part.index}: {row})"
        return f"flatten({body})" if is_nested else body
    lists = [_branch_list(branch, part.order, names) for branch in part.branches]
    return reduce(lambda left, right: f"list_concat({left}, {right})", lists)


def _crossed(parts: Sequence[Iteration | Union], names: Names) -> tuple[str, list[str]]:
    """SQL of the cross product of lists of rows, and the names of its columns."""
    sql, columns = _list_sql(parts[0], names), parts[0].order
    for part in parts[1:]:
        a, b = names.fresh(), names.fresh()
        row = _pack(_fields(a, columns) | _fields(b, part.order), [_field(a, PROBLEM), _field(b, PROBLEM)])
        inner = f"list_transform({_list_sql(part, names)}, lambda {b}: {row})"
        sql = f"flatten(list_transform({sql}, lambda {a}: {inner}))"
        columns = [*columns, *part.order]
    return sql, columns


def _branch_list(rows: Rows, order: Sequence[str], names: Names) -> str:
    """A branch of a union as a list of rows whose fields have the order of the first branch."""
    row, is_list = _row_list(rows, names)
    sql = row if is_list else f"[{row}]"
    if list(rows.values) == list(order):
        return sql
    z = names.fresh()
    return f"list_transform({sql}, lambda {z}: {_pack(_fields(z, order), [_field(z, PROBLEM)])})"
