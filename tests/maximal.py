"""Maximal resources: every element of every R4 type that can hold text, each with a token that nobody can guess.

Owns the generator, made from the structure model, and the search for the tokens in bytes in the forms that a careless
program gives to text: as it is, in lower case, without accents, in Base64, in hexadecimal, backwards.
"""

from __future__ import annotations

import base64
import json
import random
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from etl.fhir.element_types import Element, elements
from etl.fhir.resource_types import RESOURCE_TYPES

_LETTERS = "bcdfghjklmnpqrstvwxzBCDFGHJKLMNPQRSTVWXZ"
_FIXED = {
    "date": "2023-04-05",
    "dateTime": "2023-04-05T06:07:08+02:00",
    "instant": "2023-04-05T06:07:08.000+02:00",
    "time": "06:07:08",
}
_NUMBERS = {"decimal": 7.5}
_DEEPEST = 3
_WIDTH, _CHECKED = 8, 12
"""Bytes that the first look compares, and those that are checked then: hexadecimal digits agree by chance otherwise."""


@dataclass
class Generator:
    """Makes resources, and keeps the tokens that it planted by the resource that holds them."""

    seed: int = 1
    planted: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._tokens: list[str] = []

    def resource(self, name: str, variant: int) -> dict[str, Any]:
        """A resource of a type with all its elements; ``variant`` chooses among the types of each ``value[x]``."""
        self._tokens = []
        parts = {part: element for part, element in elements(name).items() if part != "id"}
        made = {"resourceType": name, **self._object(parts, 0, variant), "id": self._token("id")}
        made["meta"]["lastUpdated"] = _FIXED["instant"]
        self.planted[f"{name}/{variant}"] = self._tokens
        return made

    def _object(self, parts: Mapping[str, Element], depth: int, variant: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, element in parts.items():
            if name in ("resourceType", "contained") or self._is_other_choice(parts, element, variant):
                continue
            if name.startswith("_"):
                if depth == 0 and name.removeprefix("_") in made and not element.is_list:
                    made[name] = {"extension": [self._extension(variant)]}
            elif (value := self._value(name, element, depth, variant)) is not None:
                made[name] = [value] if element.is_list else value
        return made

    def _is_other_choice(self, parts: Mapping[str, Element], element: Element, variant: int) -> bool:
        if element.choice is None:
            return False
        choices = [e for n, e in parts.items() if e.choice == element.choice and not n.startswith("_")]
        return choices[variant % len(choices)] is not element

    def _value(self, name: str, element: Element, depth: int, variant: int) -> Any:
        if element.kind == "object":
            if element.type in ("Extension", "Resource", "ResourceList") or name in ("extension", "modifierExtension"):
                return self._extension(variant) if depth < 2 else None
            return self._object(element.parts(), depth + 1, variant) or None if depth < _DEEPEST else None
        if element.kind == "boolean":
            return True
        if element.kind == "number":
            return _NUMBERS.get(element.type, 7)
        return _FIXED.get(element.type) or self._text(name, element)

    def _text(self, name: str, element: Element) -> str:
        token = self._token(element.type)
        if element.type == "xhtml":
            return f'<div xmlns="http://www.w3.org/1999/xhtml">{token}</div>'
        return f"Patient/{token}" if name == "reference" else token

    def _extension(self, variant: int) -> dict[str, Any]:
        return {
            "url": f"http://{self._token('uri')}",
            "valueString" if variant % 2 else "valueCode": self._token("code"),
        }

    def _token(self, kind: str) -> str:
        """Eighteen letters, for free text one of them with an accent."""
        token = "".join(self._random.choices(_LETTERS, k=18))
        token = f"{token[:9]}é{token[9:]}" if kind in ("string", "markdown") else token
        self._tokens.append(token)
        return token


def write_export(folder: Path, variants: int) -> Generator:
    """Write maximal resources of every type: a third by themselves, a third in Bundles, a third contained."""
    generator = Generator()
    folder.mkdir(parents=True)
    for number, name in enumerate(sorted(RESOURCE_TYPES - {"Bundle", "Parameters", "Binary"})):
        if not elements(name):
            continue
        made = [generator.resource(name, variant) for variant in range(variants)]
        with (folder / f"{name}.ndjson").open("w", encoding="utf-8") as out:
            for variant, resource in enumerate(made):
                out.write(json.dumps(_wrapped(resource, (number + variant) % 3), ensure_ascii=False) + "\n")
    return generator


def _wrapped(resource: dict[str, Any], how: int) -> dict[str, Any]:
    if how == 1:
        return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": resource}]}
    if how == 2 and resource["resourceType"] not in ("Patient", "Encounter"):
        inner = {**resource, "id": resource["id"][:20]}
        inner.pop("contained", None)
        meta = {"lastUpdated": _FIXED["instant"]}
        return {"resourceType": "Basic", "id": f"b-{resource['id']}", "meta": meta, "code": {}, "contained": [inner]}
    return resource


def forms(token: str) -> Iterator[bytes]:
    """What a careless program may make of a token."""
    plain = "".join(c for c in unicodedata.normalize("NFD", token) if not unicodedata.combining(c))
    for text in dict.fromkeys((token, token.lower(), token.upper(), plain, plain.lower(), token[::-1], plain[::-1])):
        yield text.encode()
    for text in dict.fromkeys((token, token.lower(), plain)):
        yield text.encode().hex().encode()
        yield text.encode().hex().upper().encode()
        for shift in range(3):
            yield base64.b64encode(b"\0" * shift + text.encode())[4 if shift else 0 : -4]


class TokenScanner:
    """Finds the first or last twelve bytes of any form of any token in bytes, at every place at once."""

    def __init__(self, tokens: list[str]) -> None:
        ends: dict[int, set[tuple[str, bytes]]] = {}
        for token in tokens:
            for form in forms(token):
                for part in (form[:_CHECKED], form[-_CHECKED:]):
                    ends.setdefault(int.from_bytes(part[:_WIDTH], "little"), set()).add((token, part))
        self._ends = ends
        self._wanted = np.array(sorted(ends), np.uint64)

    def find(self, data: bytes) -> set[str]:
        """The tokens of which ``data`` holds a form."""
        if len(data) < _WIDTH:
            return set()
        found: set[str] = set()
        for start in range(_WIDTH):
            windows = np.unique(np.frombuffer(data, np.uint64, (len(data) - start) // _WIDTH, start))
            places = np.searchsorted(self._wanted, windows)
            places[places == len(self._wanted)] = 0
            hits = [self._ends[int(hit)] for hit in windows[self._wanted[places] == windows]]
            found |= {token for hit in hits for token, part in hit if part in data}
        return found
