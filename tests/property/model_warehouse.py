"""The warehouse in plain Python: what must stand after any sequence of batches, merges and objections.

Written from the rules alone (docs/design.md §3), with dictionaries and loops, and without a word of the real one's SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str]
Version = tuple[str, int]


@dataclass
class ModelWarehouse:
    """Every version that ever came, and the register of objections."""

    versions: dict[Key, list[tuple[Version, dict[str, Any] | None]]] = field(default_factory=dict)
    objectors: set[str] = field(default_factory=set)

    def load(self, resources: Iterable[Mapping[str, Any]], deletions: Iterable[Key], received: str) -> None:
        """Take in a batch; a deletion counts from the instant the batch was received."""
        for resource in resources:
            meta = resource["meta"]
            version = (meta["lastUpdated"], int(meta["versionId"]))
            self.versions.setdefault((resource["resourceType"], resource["id"]), []).append((version, dict(resource)))
        for key in deletions:
            self.versions.setdefault(key, []).append(((received, -1), None))

    def standing(self) -> Iterator[dict[str, Any]]:
        """The newest version of every resource that is not deleted."""
        for found in self.versions.values():
            newest = max(found, key=lambda pair: pair[0])[1]
            if newest is not None:
                yield newest

    def tables(self) -> dict[str, set[tuple[Any, ...]]]:
        """Rows of the tables as references, before pseudonyms."""
        alive = list(self.standing())
        named = _identifiers(alive)
        follows = _follows(alive)
        barred = {_last(named.get(o, o), follows) for o in self.objectors} | self.objectors
        rows: dict[str, set[tuple[Any, ...]]] = {"patient": set(), "encounter": set(), "practitioner": set()}
        for resource in alive:
            kind = resource["resourceType"]
            own = f"{kind}/{resource['id']}"
            if kind == "Practitioner":
                rows["practitioner"].add((own, resource["gender"]))
                continue
            recorded = own if kind == "Patient" else resource["subject"]["reference"]
            patient = _last(named.get(recorded, recorded), follows)
            if recorded in self.objectors or patient in barred or (kind == "Patient" and patient != own):
                continue
            if kind == "Patient":
                rows["patient"].add((own, resource["birthDate"]))
            else:
                doctor = resource["participant"][0]["individual"]["reference"]
                rows["encounter"].add((own, patient, named.get(doctor, doctor), resource["status"]))
        return rows


def _identifiers(alive: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Reference by identifier → the one resource that has it."""
    owners: dict[str, set[str]] = {}
    for resource in alive:
        for identifier in resource.get("identifier", ()):
            reference = f"{resource['resourceType']}?identifier={identifier['system']}|{identifier['value']}"
            owners.setdefault(reference, set()).add(f"{resource['resourceType']}/{resource['id']}")
    return {reference: next(iter(found)) for reference, found in owners.items() if len(found) == 1}


def _follows(alive: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    follows: dict[str, set[str]] = {}
    for resource in alive:
        for link in resource.get("link", ()):
            own, other = f"Patient/{resource['id']}", link["other"]["reference"]
            old, new = (own, other) if link["type"] == "replaced-by" else (other, own)
            follows.setdefault(old, set()).add(new)
    return follows


def _last(reference: str, follows: Mapping[str, set[str]]) -> str:
    """The end of a chain of replacements, which the generated data keep free of forks and rings."""
    while reference in follows:
        (reference,) = follows[reference]
    return reference
