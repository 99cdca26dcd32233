"""Every family of failures through the command line: its exit code, one sentence, no traceback, nothing of a record."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from erios.checkout import PROJECT
from erios.errors import FAMILIES, TrainingFailed
from etl.warehouse.release import exclusive, release_ids

if TYPE_CHECKING:
    from erios.settings import Settings

CANARY = "camille.canari@chu.example"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def export(tmp_path_factory, write_ndjson, patient):
    """An export of one good patient."""
    return write_ndjson(tmp_path_factory.mktemp("in") / "good.ndjson", [patient("a")])


@pytest.fixture(scope="module")
def released(module_settings, load, export):
    """Settings of a home with one release."""
    load([export], module_settings)
    return module_settings


@pytest.fixture
def home(released, at_home):
    """That home, as the home of the commands of a test that leaves it as it is."""
    yield released
    assert release_ids(released.warehouse) == ["r000001"]


def sentence(answer: tuple[int, str, str], code: int) -> str:
    """The one sentence of a failure, after a look that it is one and shows nothing else."""
    got, out, said = answer
    *before, last = said.splitlines() or [""]
    assert (got, out, last.startswith("erios: ")) == (code, "", True), said
    assert [line for line in before if not line.endswith(": done")] == []
    assert ("Traceback" in said, CANARY in said) == (False, False)
    return last.removeprefix("erios: ")


class Cases:
    """One way into each family; the name of a method tells the code."""

    def of_2_setting(self, erios: Run, _home: Settings, patch: pytest.MonkeyPatch, _place: Path) -> None:
        patch.setenv("ERIOS_LOAD__BUCKETS", "3")
        assert sentence(erios("warehouse", "tables"), 2).endswith("must be a power of two")

    def of_2_view(self, erios: Run, _home: Settings, patch: pytest.MonkeyPatch, place: Path) -> None:
        (place / "broken.json").write_text(json.dumps({"resource": "Patient", "name": "broken", "select": 7}))
        patch.setenv("ERIOS_VIEWS_DIR", str(place))
        assert "broken" in sentence(erios("etl", "load", place), 2)

    def of_3_path(self, erios: Run, _home: Settings, _patch: pytest.MonkeyPatch, place: Path) -> None:
        assert sentence(erios("etl", "load", place / "gone"), 3) == f"no such file or folder: {place / 'gone'}"

    def of_3_release(self, erios: Run, _home: Settings, _patch: pytest.MonkeyPatch, _place: Path) -> None:
        assert sentence(erios("warehouse", "tables", "--release", "r9"), 3) == "no release 'r9'; releases: r000001"

    def of_4_missing(self, erios: Run, _home: Settings, patch: pytest.MonkeyPatch, place: Path) -> None:
        patch.setenv("ERIOS_HOME", str(place))
        assert sentence(erios("etl", "load", place), 4).startswith(f"no keyring at {place}/identity/keyring.json")

    def of_4_open_to_others(self, erios: Run, home: Settings, patch: pytest.MonkeyPatch, place: Path) -> None:
        shutil.copytree(home.identity, place / "identity")
        (place / "identity" / "keyring.json").chmod(0o644)
        patch.setenv("ERIOS_HOME", str(place))
        assert str(place) in sentence(erios("etl", "load", place), 4)

    def of_5_gate(self, erios: Run, _home: Settings, patch: pytest.MonkeyPatch, place: Path) -> None:
        suites = shutil.copytree(PROJECT / "conf" / "suites", place / "suites")
        suite = json.loads((suites / "patient.json").read_text())
        refusing = {"expectation": "expect_column_values_to_be_null", "column": "birth_date", "severity": "block"}
        suite["expectations"].append({**refusing, "sentence": "Patients with a birth date: {count}."})
        (suites / "patient.json").write_text(json.dumps(suite))
        patch.setenv("ERIOS_SUITES_DIR", str(suites))
        body = {"resourceType": "Patient", "id": "b", "birthDate": "1950-02-03", "maritalStatus": {"text": CANARY}}
        (place / "export").mkdir()
        (place / "export" / "b.ndjson").write_text(json.dumps(body) + "\n")
        said = sentence(erios("etl", "load", place / "export"), 5)
        assert "Patients with a birth date: 1" in said

    def of_6_zone_is_a_file(self, erios: Run, _home: Settings, patch: pytest.MonkeyPatch, place: Path) -> None:
        (place / "landing").write_text("")
        patch.setenv("ERIOS_LANDING", str(place / "landing"))
        assert sentence(erios("etl", "load", place), 6) == f"{place / 'landing'} is a file; it must be a folder"

    def of_7_two_loads(self, erios: Run, home: Settings, _patch: pytest.MonkeyPatch, place: Path) -> None:
        (place / "c.ndjson").write_text(json.dumps({"resourceType": "Patient", "id": "c"}) + "\n")
        with exclusive(home.warehouse):
            said = sentence(erios("etl", "load", place), 7)
        assert said.startswith(f"the warehouse is being written by process {os.getpid()} since ")

    def of_8_java(self, _erios: Run, _home: Settings, _patch: pytest.MonkeyPatch, place: Path) -> None:
        (place / "d.ndjson").write_text(json.dumps({"resourceType": "Patient", "id": "d"}) + "\n")
        said = sentence(in_subprocess("etl", "load", place, PATH=str(place), JAVA_HOME=""), 8)
        assert said.startswith("Spark needs Java 17")

    def of_1_training(self, erios: Run, _home: Settings, patch: pytest.MonkeyPatch, _place: Path) -> None:
        patch.setattr("erios.cli.runs._by", raising(TrainingFailed("run R1 failed: ValueError at loss.py:1")))
        assert sentence(erios("runs", "list"), 1) == "run R1 failed: ValueError at loss.py:1"

    def of_9_two_people(self, erios: Run, _home: Settings, patch: pytest.MonkeyPatch, _place: Path) -> None:
        patch.setattr("erios.cli.reidentify._ask_person", lambda: "dora")
        request = ("reidentify", "request", "0f" * 16, "--purpose", "chance-finding", "--reason", "a test", "--json")
        code, out, said = erios(*request)
        assert code == 0, said
        said = sentence(erios("reidentify", "approve", json.loads(out)["id"]), 9)
        assert "another person must decide it; the attempt is in the audit chain" in said

    def of_70_unknown(self, erios: Run, home: Settings, patch: pytest.MonkeyPatch, _place: Path) -> None:
        patch.setattr("erios.workflows.warehouse.open_stored_release", raising(ValueError(CANARY)))
        said = sentence(erios("warehouse", "tables"), 70)
        (log,) = (home.home / "logs").iterdir()
        assert said.startswith("internal error (ValueError); report the code locations in ")
        assert (CANARY in log.read_text(), "test_exit_codes.py:" in log.read_text()) == (False, True)

    def of_130_stopped(self, erios: Run, _home: Settings, patch: pytest.MonkeyPatch, _place: Path) -> None:
        patch.setattr("erios.workflows.warehouse.open_stored_release", raising(KeyboardInterrupt()))
        assert sentence(erios("warehouse", "tables"), 130) == "interrupted; the last release is untouched"


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_arguments: object, **_named: object) -> None:
        raise error

    return fail


def in_subprocess(*arguments: object, before: tuple[str, ...] = (), **variables: str) -> tuple[int, str, str]:
    """The command in a process of its own: for what the running session would hide."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "erios", *map(str, arguments)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


NAMES = [name for name in vars(Cases) if name.startswith("of_")]


@pytest.mark.parametrize("name", NAMES)
def test_a_failure_is_one_sentence_and_the_code_of_its_family(name, in_process, home, monkeypatch, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    getattr(Cases(), name)(in_process, home, monkeypatch, place)


def test_every_family_has_a_case():
    codes = {int(name.split("_")[1]) for name in NAMES}
    assert codes == {130, *(family.exit_code for family in FAMILIES)}


# Without permission. Root may do everything, so it lays that power down first and keeps its name.


@pytest.fixture
def powerless(home):
    """The command in a process that file permissions bind, whoever runs the tests."""
    if os.getuid() != 0:
        return in_subprocess
    if shutil.which("setpriv") is None:
        pytest.skip("root passes every permission; setpriv (util-linux) would take that power away, and is not here")
    powers = "-dac_override,-dac_read_search,-fowner"
    before = ("setpriv", "--inh-caps", powers, "--bounding-set", powers)
    return lambda *arguments, **variables: in_subprocess(*arguments, before=before, **variables)


@pytest.fixture
def closed(tmp_path):
    """A folder that its owner may read and not write, and back at the end."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    yield folder
    folder.chmod(0o700)


def test_a_zone_that_cannot_be_made_is_code_6(powerless, closed):
    said = sentence(powerless("keys", "init", ERIOS_HOME=str(closed)), 6)
    assert said == f"cannot make the folder {closed / 'landing'}: Permission denied"


@pytest.mark.slow
def test_a_landing_zone_that_refuses_writing_is_code_6(powerless, closed, export):
    said = sentence(powerless("etl", "load", export, ERIOS_LANDING=str(closed)), 6)
    assert said.startswith("cannot write the landing zone: permission denied; give the service account write access")
    assert list(closed.iterdir()) == []


def test_a_keyring_of_another_user_is_code_4(powerless, home):
    home.identity.chmod(0o000)
    try:
        said = sentence(powerless("etl", "load", home.home), 4)
    finally:
        home.identity.chmod(0o700)
    assert said == f"no permission to read the keyring {home.keyring}: run as its owner"


def test_a_warehouse_that_may_not_be_read_is_code_6(powerless, home):
    releases = home.warehouse / "releases"
    mode = releases.stat().st_mode
    releases.chmod(0o000)
    try:
        said = sentence(powerless("warehouse", "tables"), 6)
    finally:
        releases.chmod(mode)
    assert "permission" in said


def test_an_export_of_another_user_is_code_3(powerless, home, tmp_path, write_ndjson, patient):
    path = write_ndjson(tmp_path / "theirs" / "p.ndjson", [patient("a")])
    path.chmod(0o000)
    said = sentence(powerless("views", "inventory", path.parent), 3)
    assert said == f"cannot read {path}: Permission denied"
