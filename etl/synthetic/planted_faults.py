"""Faults that `--dirty` plants, each with the outcome that a load must have.

They draw from a random stream of their own, so that the other resources are those of a clean export.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import orjson

QUARANTINED, DUPLICATES, SUPERSEDED, WARNED = "quarantined", "duplicates", "superseded", "warned"
OUTCOMES = (QUARANTINED, DUPLICATES, SUPERSEDED, WARNED)

Line = dict[str, Any]


class Planted(NamedTuple):
    """One planted fault: its line, its name, and what a load must do with the line."""

    file: str
    line: int
    type: str
    id: str
    fault: str
    outcome: str


class Fault(NamedTuple):
    """A way to corrupt a line; `corrupt` returns the new line, or None for a resource to which it does not apply.

    With `keeps` the correct line is written before it.
    """

    name: str
    outcome: str
    corrupt: Callable[[Line, bytes], bytes | None]
    keeps: bool = False
    weight: int = 1


_DATES = {
    "Patient": "birthDate",
    "Observation": "effectiveDateTime",
    "Condition": "recordedDate",
    "MedicationRequest": "authoredOn",
    "Immunization": "occurrenceDateTime",
}
_FOREIGN: dict[str, tuple[str, object]] = {
    "Patient": ("animal", {"species": {"text": "chien"}}),
    "Encounter": ("actualPeriod", {"start": "2024-01-01"}),
    "Condition": ("assertedDate", "2024-01-01"),
    "Observation": ("comment", "valeur contrôlée"),
    "Procedure": ("notDone", False),
    "MedicationRequest": ("medication", {"concept": {"text": "paracétamol"}}),
    "Immunization": ("notGiven", False),
    "DiagnosticReport": ("codedDiagnosis", [{"text": "anémie"}]),
    "DocumentReference": ("indexed", "2024-01-01T10:00:00+01:00"),
}
"""An element of STU3 or R5 that R4 does not have, by type."""


def _with(resource: Line, **changes: object) -> bytes:
    return orjson.dumps(resource | changes)


def _wrong_kind(resource: Line, line: bytes) -> bytes | None:
    for element in ("subject", "patient"):
        if element in resource:
            return _with(resource, **{element: 42})
    return _with(resource, name="texte") if resource["resourceType"] == "Patient" else None


def _impossible_date(resource: Line, line: bytes) -> bytes | None:
    element = _DATES.get(resource["resourceType"])
    return _with(resource, **{element: "2023-02-30"}) if element else None


def _foreign_element(resource: Line, line: bytes) -> bytes | None:
    element = _FOREIGN.get(resource["resourceType"])
    return _with(resource, **dict([element])) if element else None


def _double_key(resource: Line, line: bytes) -> bytes:
    other: str = resource["id"][::-1]
    return line[:-1] + f',"id":"{other}"}}'.encode()


def _older(resource: Line, line: bytes) -> bytes:
    updated = resource["meta"]["lastUpdated"]
    older = resource["meta"] | {
        "versionId": "0",
        "lastUpdated": f"{int(updated[:4]) - 1}-01-15{updated[10:-6]}+01:00",
    }
    return _with(resource, meta=older, language="fr")


def _death_first(resource: Line, line: bytes) -> bytes | None:
    if resource["resourceType"] != "Patient" or len(resource["birthDate"]) < 10:
        return None
    resource = {key: value for key, value in resource.items() if key != "deceasedBoolean"}
    return _with(resource, deceasedDateTime=f"{int(resource['birthDate'][:4]) - 2}-01-01")


def _out_of_range(resource: Line, line: bytes) -> bytes | None:
    value = resource.get("valueQuantity")
    return _with(resource, valueQuantity=value | {"value": 99999}) if value else None


def _man_gives_birth(resource: Line, line: bytes) -> bytes | None:
    """For diagnoses of men only, which `plant_fault` sees to."""
    if resource["resourceType"] != "Condition" or "encounter" not in resource:
        return None
    coding = {
        "system": "http://hl7.org/fhir/sid/icd-10",
        "code": "O80.0",
        "display": "Accouchement spontané par présentation du sommet",
    }
    return _with(resource, code={"coding": [coding]})


FAULTS = (
    Fault("invalid-json", QUARANTINED, lambda _resource, line: line[: len(line) * 3 // 5]),
    Fault(
        "missing-id", QUARANTINED, lambda resource, _: orjson.dumps({k: v for k, v in resource.items() if k != "id"})
    ),
    Fault("illegal-id", QUARANTINED, lambda resource, _: _with(resource, id=f"{resource['id']} / illégal")),
    Fault("wrong-json-type", QUARANTINED, _wrong_kind),
    Fault("impossible-date", QUARANTINED, _impossible_date),
    Fault(
        "unknown-type",
        QUARANTINED,
        lambda resource, _: _with(resource, resourceType=f"{resource['resourceType']}Ancien"),
    ),
    Fault("unknown-element", QUARANTINED, _foreign_element),
    Fault("array-for-object", QUARANTINED, lambda _resource, line: b"[" + line + b"]"),
    Fault("duplicate-key", QUARANTINED, _double_key),
    Fault(
        "not-utf-8",
        QUARANTINED,
        lambda _resource, line: line[:-1] + b',"implicitRules":"http://example.org/r\xe9gles"}',
    ),
    Fault("duplicate-line", DUPLICATES, lambda _resource, line: line, keeps=True),
    Fault("older-version", SUPERSEDED, _older, keeps=True),
    Fault("death-before-birth", WARNED, _death_first, weight=6),
    Fault("value-out-of-range", WARNED, _out_of_range),
    Fault("male-pregnancy", WARNED, _man_gives_birth, weight=6),
)
MEN_ONLY = "male-pregnancy"
_WEIGHTS = [fault.weight for fault in FAULTS]


def plant_fault(rng: Random, resource: Line, line: bytes, is_female: bool) -> tuple[Fault, bytes]:
    """A random fault that applies to the resource, and the corrupted line."""
    while True:
        (fault,) = rng.choices(FAULTS, _WEIGHTS)
        if fault.name == MEN_ONLY and is_female:
            continue
        corrupted = fault.corrupt(resource, line)
        if corrupted is not None:
            return fault, corrupted
