"""ViewDefinitions: read from JSON and checked for their form, without compiling them.

Follows the structure of SQL-on-FHIR v2 (https://sql-on-fhir.org/ig/, «StructureDefinition-ViewDefinition»).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

_SQL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ITERATIONS = ("forEach", "forEachOrNull", "repeat")


class ViewError(Exception):
    """A view that cannot be compiled; one sentence: the view, the JSON path of the fault, what is expected there."""


@dataclass(frozen=True)
class ColumnDefinition:
    """A column: FHIRPath, name, declared FHIR type, whether it may hold several values, its tags."""

    name: str
    path: str
    where: str
    type: str | None = None
    collection: bool = False
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Select:
    """One select: at most one of forEach, forEachOrNull and repeat, then columns, nested selects and a union."""

    where: str
    for_each: str | None = None
    or_null: bool = False
    repeat: tuple[str, ...] = ()
    columns: tuple[ColumnDefinition, ...] = ()
    selects: tuple[Select, ...] = ()
    union: tuple[Select, ...] = ()


@dataclass(frozen=True)
class Constant:
    """A named constant: its FHIR type and its JSON value."""

    name: str
    type: str
    value: Any


@dataclass(frozen=True)
class ViewDefinition:
    """A parsed view: resource type, selects, filters and constants."""

    name: str
    resource: str
    selects: tuple[Select, ...]
    filters: tuple[str, ...] = ()
    constants: Mapping[str, Constant] = field(default_factory=dict)


def load_view(path: Path) -> ViewDefinition:
    """The view of a file; ViewError if it cannot be read or does not have the form."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ViewError(f"cannot read the view {path}: {error.strerror}") from None
    except ValueError as error:
        raise ViewError(f"{path} is not JSON: {error}") from None
    return parse_view(data, default_name=Path(path).name.split(".")[0])


def parse_view(data: Any, default_name: str = "view") -> ViewDefinition:
    """A ViewDefinition from parsed JSON; ViewError if it does not have the form."""
    if not isinstance(data, Mapping):
        raise ViewError(f"{default_name}: a ViewDefinition is a JSON object")
    name = data.get("name") or default_name
    return _Parser(str(name)).view(data)


class _Parser:
    def __init__(self, name: str) -> None:
        self._name = name

    def view(self, data: Mapping[str, Any]) -> ViewDefinition:
        self._name_for_sql(self._name, "name")
        self._check_spelling(data, ("resource", "select", "where", "constant", "name"), "view")
        resource = data.get("resource")
        if not isinstance(resource, str) or not resource:
            raise self._error("resource", "names the resource type of the view, and is missing")
        selects = self._selects(data.get("select"), "select")
        if not selects:
            raise self._error("select", "must be a list with at least one select")
        filters = tuple(self._filter(item, i) for i, item in enumerate(self._list(data.get("where"), "where")))
        constants = [self._constant(c, i) for i, c in enumerate(self._list(data.get("constant"), "constant"))]
        names = [constant.name for constant in constants]
        if duplicates := [name for name in names if names.count(name) > 1]:
            raise self._error("constant", f"defines '{duplicates[0]}' twice")
        return ViewDefinition(self._name, resource, selects, filters, {c.name: c for c in constants})

    def _name_for_sql(self, name: str, where: str) -> str:
        if not _SQL_NAME.fullmatch(name):
            raise self._error(f"{where} '{name}'", "must be letters, digits and underscores, a letter first")
        return name

    def _check_spelling(self, item: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
        """Refuse a key that differs from one of ``keys`` in upper and lower case only, because it would be ignored."""
        for key in item:
            expected = next((name for name in keys if name != key and name.casefold() == key.casefold()), None)
            if expected:
                raise self._error(f"{where}.{key}", f"must be written {expected}")

    def _error(self, where: str, problem: str) -> ViewError:
        return ViewError(f"{self._name}: {where} {problem}")

    def _list(self, value: Any, where: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._error(where, "must be a list")
        return value

    def _text(self, value: Any, where: str) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self._error(where, "must be a FHIRPath expression or a name, as text")
        return value

    def _filter(self, item: Any, number: int) -> str:
        where = f"where[{number}].path"
        return self._text(item.get("path") if isinstance(item, Mapping) else None, where)

    def _constant(self, item: Any, number: int) -> Constant:
        where = f"constant[{number}]"
        if not isinstance(item, Mapping):
            raise self._error(where, "must be an object with a name and a value[x]")
        values = [key for key in item if key.startswith("value") and key != "value"]
        if len(values) != 1:
            raise self._error(where, "must have exactly one value[x], such as valueString")
        fhir_type = values[0].removeprefix("value")
        name = self._name_for_sql(self._text(item.get("name"), f"{where}.name"), f"{where}.name")
        return Constant(name, fhir_type[0].lower() + fhir_type[1:], item[values[0]])

    def _selects(self, value: Any, where: str) -> tuple[Select, ...]:
        return tuple(self._select(item, f"{where}[{i}]") for i, item in enumerate(self._list(value, where)))

    def _select(self, item: Any, where: str) -> Select:
        if not isinstance(item, Mapping):
            raise self._error(where, "must be an object")
        self._check_spelling(item, (*_ITERATIONS, "column", "select", "unionAll"), where)
        iterations = [name for name in _ITERATIONS if item.get(name) is not None]
        if len(iterations) > 1:
            raise self._error(where, f"has {' and '.join(iterations)}; a select iterates over one of them")
        columns = self._list(item.get("column"), f"{where}.column")
        select = Select(
            where=where,
            for_each=self._iteration(item, iterations, where),
            or_null="forEachOrNull" in iterations,
            repeat=self._repeat(item, where),
            columns=tuple(self._column(c, f"{where}.column[{i}]") for i, c in enumerate(columns)),
            selects=self._selects(item.get("select"), f"{where}.select"),
            union=self._selects(item.get("unionAll"), f"{where}.unionAll"),
        )
        if not (select.columns or select.selects or select.union):
            raise self._error(where, "selects nothing; give it column, select or unionAll")
        return select

    def _iteration(self, item: Mapping[str, Any], iterations: list[str], where: str) -> str | None:
        name = next((n for n in iterations if n != "repeat"), None)
        return self._text(item[name], f"{where}.{name}") if name else None

    def _repeat(self, item: Mapping[str, Any], where: str) -> tuple[str, ...]:
        paths = self._list(item.get("repeat"), f"{where}.repeat")
        if item.get("repeat") == []:
            raise self._error(f"{where}.repeat", "must list at least one FHIRPath expression")
        return tuple(self._text(path, f"{where}.repeat[{i}]") for i, path in enumerate(paths))

    def _column(self, item: Any, where: str) -> ColumnDefinition:
        if not isinstance(item, Mapping):
            raise self._error(where, "must be an object with a name and a path")
        name = self._text(item.get("name"), f"{where}.name")
        self._name_for_sql(name, f"{where}.name")
        self._check_spelling(item, ("path", "type", "collection", "tag", "description"), where)
        if not isinstance(item.get("collection", False), bool):
            raise self._error(f"{where}.collection", "must be true or false")
        return ColumnDefinition(
            name=name,
            path=self._text(item.get("path"), f"{where}.path"),
            where=where,
            type=self._text(item["type"], f"{where}.type") if item.get("type") is not None else None,
            collection=item.get("collection") is True,
            description=item.get("description"),
            tags=self._tags(item, f"{where}.tag"),
        )

    def _tags(self, item: Mapping[str, Any], where: str) -> dict[str, str]:
        tags: dict[str, str] = {}
        for number, tag in enumerate(self._list(item.get("tag"), where)):
            if not isinstance(tag, Mapping) or not all(isinstance(tag.get(k), str) for k in ("name", "value")):
                raise self._error(f"{where}[{number}]", "must be an object with a name and a value, as text")
            tags[tag["name"]] = tag["value"]
        return tags
