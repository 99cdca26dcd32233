"""A day after: new stays of some patients of an export, and corrections of what was sent before.

Made from the export's own lines: every resource of the chosen patients comes again under a new id (a stay of today),
the patients themselves come in a newer version, and a twentieth of their observations comes corrected. One file a
type: the many files of the export would hold a few lines each.
"""

from __future__ import annotations

from pathlib import Path

import orjson

TODAY = "2031-01-01T03:00:00Z"
_CORRECTED = 20


def write_increment(export: Path, target: Path, patients: int) -> int:
    """Write the day after for the first ``patients`` patients of ``export``; answers how many resources it has."""
    target.mkdir()
    chosen = _chosen(export, patients)
    count = 0
    for path in sorted(export.glob("*.ndjson")):
        with path.open("rb") as source, (target / f"{path.name.split('.')[0]}.ndjson").open("ab") as out:
            for line in source:
                for resource in _again(line, chosen):
                    out.write(orjson.dumps(resource) + b"\n")
                    count += 1
    return count


def _chosen(export: Path, patients: int) -> frozenset[str]:
    chosen: list[str] = []
    for path in sorted(export.glob("Patient*.ndjson")):
        with path.open("rb") as source:
            chosen += [f"Patient/{orjson.loads(line)['id']}" for line in source]
    return frozenset(sorted(chosen)[:: max(1, len(chosen) // patients)][:patients])


def _again(line: bytes, chosen: frozenset[str]) -> list[dict[str, object]]:
    """The resources of the day that come from one line of the export."""
    resource = orjson.loads(line)
    if f"{resource['resourceType']}/{resource['id']}" in chosen:
        return [_newer(resource)]
    subject = resource.get("subject") or resource.get("patient") or {}
    if subject.get("reference") not in chosen:
        return []
    today = {**_newer(resource), "id": f"{resource['id'][:60]}-d2"}
    corrected = resource["resourceType"] == "Observation" and sum(resource["id"].encode()) % _CORRECTED == 0
    return [today, _newer(resource)] if corrected else [today]


def _newer(resource: dict[str, object]) -> dict[str, object]:
    meta = resource.get("meta")
    return {**resource, "meta": {**(meta if isinstance(meta, dict) else {}), "lastUpdated": TODAY, "versionId": "2"}}
