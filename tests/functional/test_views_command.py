"""``erios views`` as a person calls it: exit codes, standard output and files."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VIEW = {
    "resource": "Patient",
    "name": "families",
    "select": [
        {"column": [{"name": "id", "path": "id"}]},
        {"forEach": "name", "column": [{"name": "given", "path": "given", "collection": True}]},
    ],
}
PATIENTS = [
    {"resourceType": "Patient", "id": "a", "name": [{"given": ["J", "K"]}]},
    {"resourceType": "Observation", "id": "a"},
    {"resourceType": "Patient", "id": "b", "name": [{"given": ["L"]}, {"family": "M"}]},
]
ROWS = [{"id": "a", "given": ["J", "K"]}, {"id": "b", "given": ["L"]}, {"id": "b", "given": []}]


def erios(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from erios.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture
def view(tmp_path: Path) -> Path:
    file = tmp_path / "families.json"
    file.write_text(json.dumps(VIEW))
    return file


def written(folder: Path, kind: str) -> Path:
    """The three records as NDJSON, gzip, a Bundle or a folder."""
    lines = "\n".join(map(json.dumps, PATIENTS)).encode()
    folder.mkdir()
    if kind == "gzip":
        (folder / "export.ndjson.gz").write_bytes(gzip.compress(lines))
    elif kind == "bundle":
        entries = [{"resource": record} for record in PATIENTS]
        (folder / "bundle.json").write_text(json.dumps({"resourceType": "Bundle", "entry": entries}, indent=1))
    elif kind == "resources":
        for number, record in enumerate(PATIENTS):
            (folder / f"{number}.json").write_text(json.dumps(record, indent=1))
    else:
        (folder / "export.ndjson").write_bytes(lines)
    return folder


@pytest.mark.parametrize("kind", ["ndjson", "gzip", "bundle", "resources"])
def test_run_writes_the_rows_of_every_kind_of_export(tmp_path: Path, view: Path, kind: str) -> None:
    done = erios("views", "run", view, written(tmp_path / "export", kind), "--format", "ndjson")

    assert done.returncode == 0, done.stderr
    assert sorted(map(json.loads, done.stdout.splitlines()), key=str) == sorted(ROWS, key=str)


def test_run_writes_parquet_to_a_file(tmp_path: Path, view: Path) -> None:
    import pyarrow.parquet as pq

    out = tmp_path / "rows.parquet"
    done = erios("views", "run", view, written(tmp_path / "export", "ndjson"), "--format", "parquet", "--out", out)

    assert done.returncode == 0, done.stderr
    assert sorted(pq.read_table(out).to_pylist(), key=str) == sorted(ROWS, key=str)


def test_run_of_a_missing_path_exits_3(tmp_path: Path, view: Path) -> None:
    done = erios("views", "run", view, tmp_path / "nowhere")

    assert done.returncode == 3
    assert "no such file or folder" in done.stderr


def test_check_of_a_faulty_view_exits_2_with_its_place(tmp_path: Path) -> None:
    broken = {**VIEW, "select": [{"column": [{"name": "id", "path": "idd"}]}]}
    (tmp_path / "families.json").write_text(json.dumps(broken))

    done = erios("views", "check", tmp_path)

    assert done.returncode == 2
    assert "select[0].column[0].path 'idd'" in done.stdout


def test_check_of_the_warehouse_views_exits_0() -> None:
    assert erios("views", "check", "conf/views").returncode == 0


def test_conformance_of_the_standard_passes(shared: Path, tmp_path: Path) -> None:
    folder = shared / "conformance" / "sql-on-fhir"
    if not folder.is_dir():
        pytest.skip(f"no conformance tests at {folder}")
    report = tmp_path / "report.json"

    done = erios("views", "conformance", folder, "--report", report)

    assert done.returncode == 0, done.stderr
    tests = [test for file in json.loads(report.read_text()).values() for test in file["tests"]]
    assert len(tests) >= 89
    assert all(test["result"] == {"passed": True} for test in tests)


def test_conformance_with_a_failing_test_exits_1_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    test = {"title": "wrong", "view": {**VIEW, "select": VIEW["select"][:1]}, "expect": [{"id": "other"}]}
    (tmp_path / "suite" / "one.json").write_text(json.dumps({"resources": PATIENTS[:1], "tests": [test]}))
    report = tmp_path / "report.json"

    done = erios("views", "conformance", tmp_path / "suite", "--report", report)

    assert done.returncode == 1
    result = json.loads(report.read_text())["one.json"]["tests"][0]
    assert result["name"] == "wrong"
    assert result["result"]["passed"] is False
    assert result["result"]["reason"]
