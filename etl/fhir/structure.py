"""The structure that a resource of FHIR R4 must have: its element names and the JSON type of each.

Owns the thorough check. A typed decoder per resource type (``etl.fhir.json_types``) reads every text to its depth
and flags any element of the wrong JSON type; what it flags, and any new set of top-level names, is checked here and
gets a reason.
Reasons name elements, never values.
"""

from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from etl.fhir.element_types import Element, elements, elements_of
from etl.fhir.json_types import JsonTypes, json_types


@dataclass(frozen=True)
class ResourceStructure:
    """Checks of one resource type; ``json_types`` finds the texts that ``check_text`` should look at."""

    resource: str
    names: frozenset[str]
    json_types: JsonTypes

    def check_keys(self, names: Sequence[str]) -> str | None:
        """A reason when top-level names repeat or are none of the type's, else None."""
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            return f"{_named(twice[0])} appears twice in one object"
        unknown = [n for n in names if self.names and n != "resourceType" and n not in self.names]
        return _unknown(self.resource, unknown[0]) if unknown else None

    def check_text(self, text: str) -> str | None:
        """A reason when the text is not strict JSON or an element has the wrong JSON type, else None."""
        try:
            data = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
            return next(_wrong_types(elements(self.resource), data, self.resource), None)
        except _Twice as error:
            return f"{error} appears twice in one object"
        except RecursionError:
            return "the JSON is nested too deeply"
        except ValueError:
            return "the line is not valid JSON"


class _Twice(Exception):  # noqa: N818 - a finding
    pass


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Twice(_named(next(n for n, c in Counter(n for n, _ in pairs).items() if c > 1)))
    return members


def _refuse_constant(_name: str) -> None:
    raise ValueError("not JSON")


def _named(name: str) -> str:
    """Quote an element name, unless it may be text of somebody's."""
    return f"'{name}'" if re.fullmatch(r"_?[A-Za-z][A-Za-z0-9]{0,63}", name) else "an element"


def _unknown(resource: str, name: str) -> str:
    others = [version for version, package in _OTHERS.items() if name in _elements_in(package, resource)]
    hint = f"; {' and '.join(others)} has it: export as FHIR R4" if others else ""
    return f"{_named(name)} is not an element of {resource} in FHIR R4{hint}"


_OTHERS = {"STU3": "fhir.resources.STU3", "R5": "fhir.resources"}
"""The versions a foreign element may come from → the package of their models; R5 is the packages' root."""


def _elements_in(package: str, resource: str) -> Mapping[str, Element]:
    """The elements of a type in another version of FHIR; empty for a type it lacks."""
    try:
        return elements_of(importlib.import_module(package).get_fhir_model_class(resource))
    except (ValueError, ImportError, AttributeError, LookupError):
        return {}


@cache
def resource_structure(resource: str) -> ResourceStructure:
    """The structure of a resource type; a type the models lack (a few of R4) has no elements and passes."""
    return ResourceStructure(resource, frozenset(elements(resource)), json_types(resource))


def _wrong_types(allowed: Mapping[str, Element], data: object, path: str) -> Iterator[str]:
    if not isinstance(data, dict):
        yield f"{path} must be a JSON object"
        return
    for name, value in data.items():
        if element := allowed.get(name):
            yield from _wrong_type(element, value, f"{path}.{name}")


def _wrong_type(element: Element, value: object, path: str) -> Iterator[str]:
    if element.is_list and not isinstance(value, list):
        yield f"{path} must be a JSON array"
        return
    for item in value if element.is_list and isinstance(value, list) else [value]:
        if item is None and element.is_list:
            continue
        if _json_type(item) != element.kind:
            yield f"{path} must be a JSON {element.kind}"
        elif element.kind == "object" and not path.endswith("contained"):
            yield from _wrong_types(element.parts(), item, path)


def _json_type(value: object) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", dict: "object", list: "list"}
    return kinds.get(type(value), "null")


def patient_links(resource: str) -> tuple[str, ...]:
    """FHIRPath of the references to the resource's patient, the most specific first."""
    elements_by_name = elements(resource)
    names = ("subject", "patient", "beneficiary", "individual", "for")
    return tuple(
        f"{'`for`' if name == 'for' else name}.getReferenceKey(Patient)"
        for name in names
        if name in elements_by_name
        and not elements_by_name[name].is_list
        and "Patient" in elements_by_name[name].targets
    )
