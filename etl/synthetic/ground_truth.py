"""Identifying values of a generated export, for the tests that none of them gets past pseudonymisation.

A load never imports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from etl.synthetic.export import MANIFEST

SHORTEST_NAME = 4
_PERSONS = ("Patient", "Practitioner")
_NUMBERED = ("Patient", "Practitioner", "Encounter", "Specimen", "DocumentReference", "ImagingStudy")


def identifying_values(out: Path) -> Iterator[str]:
    """Every identifying text of a generated export: names, INS-NIR, IPP, RPPS, stay numbers, phones, e-mails,
    street lines, resource ids. Names under four letters are left out, phones come also as bare digits.

    Values repeat; lines that are no JSON object (planted faults) are skipped.
    """
    for path in sorted(out.iterdir()):
        if path.suffix in (".ndjson", ".json") and path.name != MANIFEST:
            for resource in _resources(path):
                yield from _of_resource(resource)


def _resources(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".json":
        yield from (entry["resource"] for entry in orjson.loads(path.read_bytes())["entry"])
        return
    with path.open("rb") as lines:
        for line in lines:
            try:
                resource = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(resource, dict):
                yield resource


def _of_resource(resource: dict[str, Any]) -> Iterator[str]:
    if "id" in resource:
        yield resource["id"]
    for each in (resource, *resource.get("contained", ())):
        if each["resourceType"] in _PERSONS:
            yield from _of_person(each)
        if each["resourceType"] in _NUMBERED:
            yield from (identifier["value"] for identifier in each.get("identifier", ()))


def _of_person(person: dict[str, Any]) -> Iterator[str]:
    for who in (person, *person.get("contact", ())):
        names = who.get("name", ())
        for name in names if isinstance(names, list) else (names,):
            if isinstance(name, dict):
                yield from _of_name(name)
        yield from _of_telecoms(who.get("telecom", ()))
    for address in person.get("address", ()):
        yield from address.get("line", ())


def _of_name(name: dict[str, Any]) -> Iterator[str]:
    texts = (name.get("family", ""), *name.get("given", ()), name.get("text", ""))
    yield from (text for text in texts if len(text) >= SHORTEST_NAME)


def _of_telecoms(telecoms: list[dict[str, Any]]) -> Iterator[str]:
    for telecom in telecoms:
        value = telecom["value"]
        yield value
        if telecom["system"] == "phone":
            digits = "".join(filter(str.isdigit, value))
            yield digits if len(digits) == 10 else "0" + digits.removeprefix("33")
