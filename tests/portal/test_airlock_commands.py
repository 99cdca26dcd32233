"""``erios airlock``: a request goes its whole way by commands, by the login in force."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from erios.governance.study import State
from erios.settings import Settings
from erios.studies.airlock_models import AirlockRequest
from tests.functional.conftest import in_process  # noqa: F401 - a fixture
from tests.portal.airlock_stories import SMALL, TABLE
from tests.portal.stories import at
from tests.portal.test_commands import Run, erios, events, good  # noqa: F401 - erios is a fixture

pytestmark = pytest.mark.parametrize(
    "template", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True, scope="session"
)
SAID = ("--context", "patients by sex", "--controls", "counts from 11 on")
BECAUSE = ("--reason", "because")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_bytes(TABLE)
    (tmp_path / "held.csv").write_bytes(SMALL)
    return tmp_path


def digest(erios: Run, number: str, name: str) -> str:  # noqa: F811
    details = json.loads(good(erios("ada", "airlock", "show", number, "--json")))
    return str(next(file["digest"] for file in details["files"] if file["name"] == name))


def test_a_request_goes_its_whole_way_by_commands(database: Settings, erios: Run, files: Path) -> None:  # noqa: F811
    study = at(State.ACTIVE).study.number
    number = f"{study}-S01"
    asked = good(erios("ada", "airlock", "request", study, files / "table.csv", *SAID, "--column", "patients=count"))
    assert f"{number} is draft" in asked
    assert "small-cell" not in asked
    good(erios("ada", "airlock", "add", number, files / "held.csv", *SAID))
    code, _out, said = erios("ada", "airlock", "submit", number)
    assert (code, said.count("\n")) == (9, 1)
    good(erios("ada", "airlock", "ask-exception", number, "held.csv", *BECAUSE))
    held = digest(erios, number, "held.csv")
    good(erios("dpo", "airlock", "grant-exception", number, "held.csv", "--digest", held, *BECAUSE))
    good(erios("ada", "airlock", "remove", number, "held.csv"))
    assert "is submitted. It waits for: checker" in good(erios("ada", "airlock", "submit", number))
    good(erios("chk1", "airlock", "return", number, "--point", "which patients?"))
    good(erios("ada", "airlock", "answer", number, "1", "all of the cohort"))
    good(erios("ada", "airlock", "comment", number, "nothing else changed"))
    good(erios("ada", "airlock", "submit", number))
    read = digest(erios, number, "table.csv")
    for login in ("chk1", "chk2"):
        good(erios(login, "airlock", "vote", number, "table.csv", "approve", "--digest", read))
    shown = good(erios("bob", "airlock", "show", number))
    assert "a checker approve" in shown
    assert "is released" in good(erios("chk1", "airlock", "release", number))
    assert "1 files as signed" in good(erios("bob", "airlock", "verify", number))
    assert "table.csv" in json.loads(good(erios("bob", "airlock", "verify", number, "--json")))["files"]
    assert "table.csv" in good(erios("bob", "airlock", "export", number, files / "out"))
    assert (files / "out" / "table.csv").read_bytes() == TABLE
    good(erios("dpo", "airlock", "retract", number, *BECAUSE))
    (line,) = json.loads(good(erios("chk1", "airlock", "list", "--json")))
    assert (line["request"], line["state"]) == (number, "retracted")
    assert events(database, "airlock")[-3:] == [
        ("chk1", "airlock.release"),
        ("bob", "airlock.download"),
        ("dpo", "airlock.retract"),
    ]
    good(erios("ada", "airlock", "request", study, files / "table.csv", *SAID, "--public"))
    assert "is withdrawn" in good(erios("ada", "airlock", "withdraw", f"{study}-S02"))


@pytest.mark.parametrize(
    ("login", "command", "code", "sentence"),
    [
        ("ada", ("request", "E", "/nowhere.csv", *SAID), 3, "nowhere.csv is no file"),
        ("ada", ("request", "E", "/", *SAID), 3, "is no file"),
        ("ada", ("request", "E9", "/", *SAID), 2, "no study 'E9'"),
        ("ada", ("request", "E", "/", *SAID, "--column", "x"), 2, "--column: 'x' is no kind"),
        ("ada", ("request", "E", "/", *SAID, "--column", "x=nothing"), 2, "--column: 'nothing' is no kind"),
        ("ada", ("request", "E", "/etc/hostname", "/tmp/hostname", *SAID), 2, "the same name"),
        ("com1", ("show", "E-S01"), 2, "no request"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    login: str,
    command: tuple[str, ...],
    code: int,
    sentence: str,
    database: Settings,
    erios: Run,  # noqa: F811
) -> None:
    study = at(State.ACTIVE).study.number
    words = [word.replace("E", study) if word in ("E", "E-S01") else word for word in command]
    found, _out, said = erios(login, "airlock", *words)
    assert (found, said.count("\n")) == (code, 1), said
    assert not AirlockRequest.objects.exists()
    assert sentence in said
