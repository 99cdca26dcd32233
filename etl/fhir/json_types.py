"""The JSON types of FHIR R4 as typed structures: one decoder per resource type.

A decoder stops at the first element of another JSON type. Owns the description of the types, made from the FHIR model
and small enough to travel to every task, and the decoders that a task makes of it. What a decoder reads is discarded:
it only says that a text may be wrong, and ``etl.fhir.structure`` says what is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import msgspec
import numpy as np
import pyarrow as pa

from etl.fhir.element_types import Element, elements

Fields = tuple[tuple[str, str], ...]
"""(element name, annotation) of a type; an annotation names Python's type or another type of FHIR."""
_PYTHON = {"string": "str", "number": "float", "boolean": "bool"}
_PREFIX = "_Fhir"


@dataclass(frozen=True)
class JsonTypes:
    """The JSON types of a resource type's elements, and of those of every type below it, by name of the type."""

    resource: str
    types: Mapping[str, Fields]

    def suspects(self, texts: pa.Array) -> Iterator[int]:
        """Positions in ``texts``, an array of strings without NULLs, where a type may be wrong or the JSON is."""
        decode = _decoder(self).decode
        for position, text in enumerate(_views(texts)):
            try:
                decode(text)
            except (msgspec.DecodeError, RecursionError):
                yield position


def json_types(resource: str) -> JsonTypes:
    """The JSON types of a resource type; one that the models lack may hold anything."""
    types: dict[str, Fields] = {}
    waiting = [(resource, elements(resource))]
    while waiting:
        name, parts = waiting.pop()
        if name not in types:
            types[name] = _shared(tuple((label, _annotation(label, e)) for label, e in parts.items()))
            waiting += [(_type(e), e.parts()) for label, e in parts.items() if e.model and label != "contained"]
    return JsonTypes(resource, types)


@cache
def _shared(fields: Fields) -> Fields:
    """One object for equal fields: what resource types share is sent to a task once."""
    return fields


def _type(element: Element) -> str:
    return str(element.model.get_model_klass().__name__)


def _annotation(name: str, element: Element) -> str:
    """Contained resources are read on their own. An item of a list may be null, where its twin says why."""
    if name == "contained":
        return "list[dict[str, msgspec.Raw]]"
    kind = _PYTHON.get(element.kind) or _PREFIX + _type(element)
    return f"list[{kind} | None]" if element.is_list else kind


_decoders: dict[str, msgspec.json.Decoder[msgspec.Struct]] = {}


def _decoder(json_types: JsonTypes) -> msgspec.json.Decoder[msgspec.Struct]:
    """The decoder of a resource type, made once a process; types refer to each other by name, in this module."""
    if json_types.resource not in _decoders:
        for name, fields in json_types.types.items():
            globals().setdefault(_PREFIX + name, _structure(_PREFIX + name, fields))
        _decoders[json_types.resource] = msgspec.json.Decoder(globals()[_PREFIX + json_types.resource])
    return _decoders[json_types.resource]


def _structure(name: str, fields: Fields) -> type[msgspec.Struct]:
    """A structure whose fields are all optional and carry their FHIR names outside (some are words of Python)."""
    numbered = [(f"f{number}", annotation, None) for number, (_, annotation) in enumerate(fields)]
    rename = {f"f{number}": label for number, (label, _) in enumerate(fields)}
    return msgspec.defstruct(name, numbered, module=__name__, rename=rename, gc=False)


def _views(texts: pa.Array) -> Iterator[memoryview]:
    """Each string's bytes, where they lie."""
    wide = texts.cast(pa.large_binary())
    _, offsets, data = wide.buffers()
    ends = np.frombuffer(offsets, np.int64)[wide.offset : wide.offset + len(wide) + 1]
    whole = memoryview(data)
    return (whole[start:end] for start, end in pairwise(ends.tolist()))
