"""The examples of a release on the page of the Python interface, run on a small warehouse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.examples import run_examples
from tests.inline import load_inline

PATIENTS = [{"resourceType": "Patient", "id": f"p{n}", "gender": "female" if n < 2 else "male"} for n in range(3)]
STAY = {
    "resourceType": "Encounter",
    "id": "e1",
    "status": "finished",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
    "subject": {"reference": "Patient/p2"},
}


def test_every_example_of_a_release_runs(spark: Any, tmp_path: Path) -> None:
    export = tmp_path / "export.ndjson"
    export.write_text("".join(f"{json.dumps(record)}\n" for record in [*PATIENTS, STAY]), encoding="utf-8")
    load_inline([export])

    assert run_examples("docs/api.md", "A release", {"session": spark}) > 10
