"""The commands of a warehouse that lives, as a data manager runs them one after the other on one warehouse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from tests.portal.conftest import close_database, point_to

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from erios.settings import Settings

pytestmark = pytest.mark.slow
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def erios(spark: SparkSession, capfd: pytest.CaptureFixture[str], settings: Settings, keyring: Path) -> Iterator[Run]:
    """The command line in this process, with the tests' Spark session: exit code, output, messages."""
    point_to(settings)
    from erios.cli import app
    from erios.cli.exits import run

    def call(*arguments: str) -> tuple[int, str, str]:
        command = get_command(app)
        capfd.readouterr()
        code = run(lambda prog_name: command(list(arguments), prog_name=prog_name))
        return code, *capfd.readouterr()

    yield call
    close_database()


def _observation(id: str, patient: str, value: float) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2024-03-01T08:00:00+01:00",
        "valueQuantity": {"value": value, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
    }


def _patient(id: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, "gender": "female", "birthDate": "1980-05-01"}


def _rows(erios: Run) -> dict[str, int]:
    code, out, _ = erios("warehouse", "tables", "--json")
    assert code == 0
    return {table["table"]: table["rows"] for table in json.loads(out)["tables"] if table["rows"]}


def test_a_warehouse_lives(erios: Run, settings: Settings, tmp_path: Path) -> None:
    export = tmp_path / "in" / "day1"
    export.mkdir(parents=True)
    resources = [
        _patient("a"),
        _patient("b"),
        *(_observation(f"o{n}", "a" if n < 3 else "b", 12 + n) for n in range(5)),
    ]
    (export / "all.ndjson").write_text("".join(json.dumps(resource) + "\n" for resource in resources))
    (export / "_SUCCESS").touch()

    code, said, _ = erios("etl", "watch", str(tmp_path / "in"), "--once")
    assert (code, "7 in, 7 written; release r000001" in said) == (0, True), said
    assert _rows(erios) == {"patient": 2, "observation": 5}

    code, out, _ = erios("etl", "delete", "Observation/o0", "--json")
    assert (code, json.loads(out)["totals"]["deleted"]) == (0, 1)
    assert _rows(erios) == {"patient": 2, "observation": 4}

    assert erios("objections", "add", "Patient/b")[0] == 0
    code, said, _ = erios("etl", "watch", str(tmp_path / "in"), "--once")
    assert (code, "objections of today applied" in said) == (0, True), said
    assert _rows(erios) == {"patient": 1, "observation": 2}

    assert erios("objections", "remove", "Patient/b")[0] == 0
    assert erios("etl", "refresh", "--json")[0] == 0
    assert _rows(erios) == {"patient": 2, "observation": 4}

    assert erios("warehouse", "keep", "r000001", "--reason", "a study")[0] == 0
    code, out, said = erios("warehouse", "vacuum", "--last", "1", "--json")
    assert code == 0, said
    assert json.loads(out)["forgotten"] == ["r000002", "r000003"]

    assert erios("keys", "rotate")[0] == 0
    code, _, said = erios("etl", "delete", "Observation/o1")
    assert (code, "run `erios etl rebuild`" in said) == (3, True), said
    assert erios("etl", "rebuild", "--json")[0] == 0
    assert _rows(erios) == {"patient": 2, "observation": 4}

    code, out, said = erios("etl", "erase", "--patient", "a", "--reason", "article 17", "--landing", "--yes", "--json")
    assert code == 0, said
    done = json.loads(out)
    assert (done["found_before"] > 0, done["found_after"], done["extracts"]) == (True, 0, [])
    assert _rows(erios) == {"patient": 1, "observation": 2}
    assert json.loads(Path(done["report"]).read_text())["after"]["found"] == {}
    landed = b"".join(path.read_bytes() for path in settings.landing.glob("*/0*"))
    assert b"Patient/b" in landed
    assert b"Patient/a" not in landed

    code, said, _ = erios("audit", "verify")
    assert (code, "whole" in said) == (0, True)
    code, out, _ = erios("audit", "export")
    actions = [json.loads(line)["action"] for line in out.splitlines()]
    assert {"warehouse.load", "warehouse.refresh", "warehouse.rebuild", "warehouse.erase", "keys.rotate"} <= {*actions}


def test_erasing_somebody_unknown_is_one_sentence(erios: Run, tmp_path: Path) -> None:
    (tmp_path / "one.ndjson").write_text(json.dumps(_patient("a")) + "\n")
    assert erios("etl", "load", str(tmp_path / "one.ndjson"), "--json")[0] == 0

    code, out, said = erios("etl", "erase", "--patient", "nobody", "--reason", "test", "--yes")

    assert (code, out) == (3, "")
    assert said.startswith("erios: no kept release has a row of this patient")
