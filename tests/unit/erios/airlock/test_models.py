"""Models at the airlock: what our export and XGBoost write passes, and what is put beside the weights is seen."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from erios.airlock.check import check_file
from erios.airlock.findings import Form, Verdict
from erios.airlock.models import check_graph, check_xgboost
from erios.settings_sections import AirlockSettings
from tests.airlock.planted import Planted, predictions, safetensors

PSEUDONYM = "0f3c9a7be1d24856b7a9c0de12f4a6b8"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network as our export writes it."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    shape = {0: torch.export.Dim.AUTO}
    program = torch.export.export(network, (torch.zeros(2, 3),), dynamic_shapes=[shape])
    program._example_inputs = None  # as ``experiments.exported_model`` leaves them out
    path = tmp_path_factory.mktemp("graph") / "model.pt2"
    torch.export.save(program, path)
    return path


def checks(path: Path) -> set[str]:
    return {finding.check for finding in check_graph(path)}


def test_what_our_export_writes_passes_as_a_model(graph: Path) -> None:
    assert checks(graph) == set()
    assert check_file(graph).form == Form.MODEL


def with_entry(graph: Path, folder: Path, name: str, content: bytes) -> Path:
    path = folder / "model.pt2"
    shutil.copy(graph, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model/extra/rows.csv", b"ipp,age\n" * 60),
        ("model/data/weights/evil.pt", b"\x80\x02cos\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03."),
        ("model/models/more.json", json.dumps({"note": PSEUDONYM}).encode()),
        ("../model.json", b"{}"),
    ],
)
def test_what_is_put_beside_the_weights_is_seen(name: str, content: bytes, graph: Path, tmp_path: Path) -> None:
    assert checks(with_entry(graph, tmp_path, name, content)) != set()


@pytest.mark.parametrize("place", ["before", "after", "comment"])
def test_bytes_around_the_archive_are_seen(place: str, graph: Path, tmp_path: Path) -> None:
    path, content = tmp_path / "model.pt2", graph.read_bytes()
    path.write_bytes(b"rows" * 99 + content if place == "before" else content + (b"rows" * 99) * (place == "after"))
    if place == "comment":
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = b"rows" * 99
    assert checks(path) != set()


def forest(hessians: list[float], objective: str = "reg:squarederror", **more: Any) -> dict[str, Any]:
    """A model of XGBoost with one tree of so many leaves."""
    tree = {"left_children": [1, *[-1] * len(hessians)], "sum_hessian": [sum(hessians), *hessians]}
    learner = {"objective": {"name": objective}, "gradient_booster": {"model": {"trees": [tree]}}, **more}
    return {"version": [3, 0, 0], "learner": learner}


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (forest([40.0, 60.0]), set()),
        (forest([4.0, 60.0]), {"small-leaf"}),
        (forest([4.0, 60.0], "binary:logistic"), set()),
        (forest([2.0, 60.0], "binary:logistic"), {"small-leaf"}),
        (forest([40.0, 60.0], attributes={"rows": "1,2,3"}), {"model-extra"}),
        (forest([40.0, 60.0], rows=[[1, 2], [3, 4]]), {"model-extra"}),
        (forest([40.0, 60.0]) | {"rows": []}, {"model-extra"}),
        (forest([40.0, 60.0], feature_names=[PSEUDONYM]), {"hash"}),
    ],
)
def test_leaves_of_few_patients_and_what_xgboost_does_not_write_are_seen(value: Any, seen: set[str]) -> None:
    assert {finding.check for finding in check_xgboost(value, AirlockSettings())} == seen


def test_too_few_patients_are_not_measurable_and_left_to_the_checkers(tmp_path: Path) -> None:
    random = Random(3)
    answers = {"predictions.csv": predictions(random, 0.05, people_=150)}
    report = check_file(*Planted("model.safetensors", safetensors(random), answers).write(tmp_path))
    assert not report.held
    assert Verdict.UNMEASURED in {finding.verdict for finding in report.findings}
