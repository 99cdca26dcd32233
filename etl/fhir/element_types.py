"""The types of FHIR R4 as the compiler and the structure checks need them: elements, kinds, cardinalities.

Owns the reading of the models that ``fhir.resources`` carries (R4B, which for the resources of R4 differs in a few
definitional types only). Nothing else in ``etl`` reads types from those models.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

_PRIMITIVES = {bool: "boolean", int: "integer", Decimal: "decimal", str: "string"}
_TYPE_NAMES = {"Uuid": "uuid", "UuidVersion": "uuid", "Xhtml": "xhtml"}


@dataclass(frozen=True)
class Element:
    """One element of a type: FHIR type, JSON kind (string, number, boolean, object), list or not.

    ``choice`` is the name before ``[x]`` (``value`` of ``valueQuantity``); ``model`` makes the parts' model class.
    """

    type: str
    kind: str
    is_list: bool
    choice: str | None = None
    targets: tuple[str, ...] = ()
    model: Any = None

    def parts(self) -> Mapping[str, Element]:
        """Elements of the element's own type; none for a primitive."""
        return elements_of(self.model.get_model_klass()) if self.model is not None else {}


@cache
def elements(type_name: str, version: str = "R4B") -> Mapping[str, Element]:
    """JSON name → element of a resource or data type, ``_name`` twins included; empty for an unknown type."""
    try:
        model = importlib.import_module(f"fhir.resources.{version}").get_fhir_model_class(type_name)
    except (ValueError, ImportError, AttributeError):
        return {}
    return elements_of(model)


@cache
def elements_of(model: Any) -> Mapping[str, Element]:
    """The elements of a model class by JSON name."""
    elements_by_name: dict[str, Element] = {}
    for field in model.model_fields.values():
        name = field.alias or ""
        if name == "fhir_comments":
            continue
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        elements_by_name[name] = _element(field.annotation, extra)
    return elements_by_name


def _element(annotation: Any, extra: Mapping[str, Any]) -> Element:
    parts = [part for part in _union(annotation) if part is not type(None)]
    is_list = any(get_origin(part) is list for part in parts)
    inner = [item for part in parts for item in (_union(get_args(part)[0]) if get_origin(part) is list else [part])]
    part = next(item for item in inner if item is not type(None))
    targets = tuple(extra.get("enum_reference_types") or ())
    choice = extra.get("one_of_many")
    if hasattr(part, "get_model_klass"):
        return Element(_complex_name(part), "object", is_list, choice, targets, part)
    name = _primitive_name(part)
    return Element(name, _kind(name), is_list, choice)


def _union(annotation: Any) -> tuple[Any, ...]:
    is_union = get_origin(annotation) is Union or type(annotation).__name__ == "UnionType"
    return get_args(annotation) if is_union else (annotation,)


def _complex_name(part: Any) -> str:
    return (
        type(part).__name__.removesuffix("Type") if not isinstance(part, type) else part.__name__.removesuffix("Type")
    )


def _primitive_name(part: Any) -> str:
    if get_origin(part) is not Annotated:
        return _PRIMITIVES.get(part, "string")
    label = type(get_args(part)[-1]).__name__
    return _TYPE_NAMES.get(label, label[0].lower() + label[1:])


def _kind(name: str) -> str:
    if name == "boolean":
        return "boolean"
    numbers = ("integer", "decimal", "positiveInt", "unsignedInt", "integer64")
    return "number" if name in numbers else "string"
