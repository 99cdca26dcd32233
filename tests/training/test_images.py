"""Radiographs classified by their reports, trained on a small extract of DICOM; ``test_demo`` segments."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from erios.checkout import PROJECT
from erios.extracts.build import build
from erios.extracts.build_plan import BuildPlan
from erios.extracts.generalisation.columns import Terms
from erios.extracts.generalisation.dates import DatePolicy
from erios.extracts.specification import read_specification
from etl.privacy import PseudonymKey
from etl.synthetic import generate
from etl.tables import load_tables
from experiments.bundles import copy_bundle, open_bundle
from experiments.data_split import PARTS, part_of
from experiments.event_log import read_events
from experiments.images import load_series
from experiments.labels import load_labelled
from experiments.run_spec import RunSpec, write_spec
from tests.imaging import Imaging
from tests.inline import InlineRunner

pytestmark = pytest.mark.slow
TABLES: dict[str, dict[str, Any]] = {
    "dicom_series": {
        "series_uid_key": "relier",
        "labels_of_uid_key": "relier",
        "kind": "choisir",
        "body_part": "choisir",
        "voxels_sha256": {"why": "apprendre", "as": "images"},
    },
    "imaging_series": {"series_uid_key": "relier", "imaging_series_key": "relier"},
    "diagnostic_report": {"imaging_study_keys": "relier", "conclusion_code_all": "étiquette"},
    "patient": {"gender": "équité"},
}
PATIENTS = 24
RADIOGRAPH = "3"
"""The folder of a patient's radiograph in a generated hospital."""
WITHHELD: dict[str, Any] = {
    "patients": None,
    "min_cell": 11,
    "metrics": {},
    "baseline": {},
    "groups": {},
    "pictures": set[str](),
}
"""What is told where fewer than eleven patients are in the test part."""


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An extract with a radiograph and its report of each patient."""
    home = tmp_path_factory.mktemp("images")
    generate(home / "out", PATIENTS, 3, imaging=PATIENTS, workers=1)
    for path in home.glob("out/*.*json*"):
        if not path.name.startswith(("Patient", "ImagingStudy", "DiagnosticReport")):
            path.unlink()
    for folder in (home / "out" / "dicom").glob("*/*"):
        if folder.name != RADIOGRAPH:
            shutil.rmtree(folder)
    known = {table.name: table for table in load_tables(PROJECT / "conf" / "views") if table.name in TABLES}
    imaging = Imaging(home)
    imaging.plan = replace(imaging.plan, tables=tuple(known.values()))
    imaging.load(home / "out")
    raw = {"cohort": {"and": []}, "tables": TABLES}
    wanted, folder = read_specification(raw, PROJECT / "conf" / "views"), home / "extract"
    folder.mkdir()
    terms = Terms(DatePolicy.SHIFTED, 2026)
    plan = BuildPlan(folder, wanted, known, terms, 2, 512, lambda: PseudonymKey("k1", b"s" * 32))
    build(plan, imaging.release, InlineRunner())
    return folder


@pytest.fixture
def train(extract: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Trains a bundle on the extract; answers what was judged."""

    def train_it(name: str, **overrides: Any) -> dict[str, Any]:
        folder = tmp_path / name
        folder.mkdir()
        copy_bundle(open_bundle(PROJECT / "conf" / "bundles" / name), folder / "bundle")
        tracking, artifacts = f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts")
        spec = RunSpec("R1", folder, name, extract, tracking, artifacts, "S1", "person", overrides=overrides)
        write_spec(replace(spec, energy=False))
        command = [sys.executable, "-m", "tests.training.unguarded", str(folder)]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        judged: dict[str, Any] = json.loads((folder / "attempts" / "1" / "evaluation.json").read_text())
        told = [event for event, _offset in read_events(folder / "attempts" / "1") if "metrics" in event]
        validated = {event["step"] for event in told if any(name.startswith("valid") for name in event["metrics"])}
        pictures = {path.name for path in folder.glob("attempts/1/pictures/*")}
        return judged | {"pictures": pictures, "validated": validated}

    return train_it


def test_radiographs_are_told_apart_by_what_their_reports_conclude(extract: Path, train: Any) -> None:
    judged = train("radiograph_classification", epochs=3, validate_every=2, seed=_fair_seed(extract))

    assert judged.pop("validated") == {2}  # no epoch is told what an earlier one's validation found
    assert judged == WITHHELD


def _fair_seed(extract: Path) -> int:
    """The first seed with which each part of so few patients has both labels."""
    query = PROJECT / "conf" / "bundles" / "radiograph_classification" / "configs" / "nodules.sql"
    cases = load_labelled(load_series(str(extract), "radiograph"), str(extract), str(query))
    assert len(cases) == PATIENTS

    def labels(part: str, seed: int) -> set[float]:
        return {one.label for one in cases if part_of(one.series.patient, seed) == part}

    return next(seed for seed in count() if all(len(labels(part, seed)) == 2 for part in PARTS))
