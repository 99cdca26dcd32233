"""A researcher whose own account reads no zone lists and trains through the broker, and gets nothing else by it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from erios.audit import read_events
from erios.checkout import PROJECT
from erios.settings import Settings
from erios.studies.run_selectors import folder_of
from tests.portal.conftest import seal_everything
from tests.slurm import wait_for
from tests.training.conftest import end_of, extract_number

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two other accounts"),
]
RESEARCHER, STRANGER = "nobody", "daemon"
"""Accounts that every machine has."""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """What both accounts may see: the socket, and the researcher's own files."""
    place = Path(mkdtemp(prefix="broker"))
    place.chmod(0o755)
    for login in (RESEARCHER, STRANGER):
        (place / login).mkdir()
        os.chown(place / login, pwd.getpwnam(login).pw_uid, -1)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def broker(home: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A broker over the hospital, with the researcher on the team of its study."""
    join_team(RESEARCHER)
    home.home.chmod(0o700)
    monkeypatch.setenv("ERIOS_BROKER", str(folder / "socket"))
    process = subprocess.Popen([sys.executable, "-m", "erios", "broker", "serve"], stderr=subprocess.PIPE)
    wait_for((folder / "socket").exists, "the broker's socket", 60)
    yield folder / "socket"
    process.terminate()
    process.wait(30)
    assert process.stderr is not None
    process.stderr.close()


def join_team(login: str) -> None:
    from erios.accounts.models import User
    from erios.governance.roles import Role
    from erios.studies.models import Part, Study

    person = User(username=login, email=f"{login}@example.org")
    person.set_roles({Role.DATA_SCIENTIST})
    person.save()
    Part.objects.create(proposal=Study.objects.get().proposals.latest("version"), person=person, kind="team")
    seal_everything()


@pytest.fixture
def run_as(broker: Path, folder: Path) -> Run:
    """A command under another account, which knows the socket and no more."""

    def run(login: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ERIOS_")}
        line = [sys.executable, "-m", "tests.training.as_account", str(pwd.getpwnam(login).pw_uid)]
        return subprocess.run(
            [*line, str(folder / login), *map(str, arguments)],
            env={**kept, "ERIOS_BROKER": str(broker), "ERIOS_HOME": str(folder / login / "home")},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_researcher_trains_what_their_account_cannot_read(home: Settings, folder: Path, run_as: Run) -> None:
    from erios.studies.models import Run as Training

    number, bundle = extract_number(), folder / RESEARCHER / "mine"
    shutil.copytree(PROJECT / "conf" / "bundles" / "readmission", bundle)
    data = [home.home, home.keyring, home.governance, home.studies, home.tracking, home.landing, home.warehouse]

    closed = run_as(RESEARCHER, "read", *data)
    listed = run_as(RESEARCHER, "extract", "list")
    trained = run_as(RESEARCHER, "train", "mine", "--extract", number, "--set", "epochs=1", "--no-energy")

    assert [line.rpartition(" ")[2] for line in closed.stdout.splitlines()] == ["False"] * len(data)
    assert number in listed.stdout
    assert trained.returncode == 0, trained.stderr
    run = end_of(Training.objects.get())
    assert (run.by.username, run.bundle, run.state) == (RESEARCHER, "mine", "done")
    assert (folder_of(run, home) / "bundle" / "configs" / "train.json").is_file()
    assert RESEARCHER in {event.actor for event in read_events(home) if event.action.startswith("run.")}
    assert "done" in run_as(RESEARCHER, "runs", "list").stdout


REFUSED: list[tuple[str, tuple[str, ...], int, str]] = [
    (STRANGER, ("extract", "list"), 2, f"no open account '{STRANGER}'"),
    (RESEARCHER, ("train", "{home}/identity", "--extract", "{extract}"), 6, "no permission"),
    (RESEARCHER, ("train", "/etc/hostname", "--extract", "{extract}"), 2, "takes no path"),
    (RESEARCHER, ("train", "readmission", "--extract", "{extract}", "--cluster", "../x"), 2, "takes no path"),
    (RESEARCHER, ("train", "link", "--extract", "{extract}"), 2, "files and folders alone"),
    (RESEARCHER, ("train", "etc", "--extract", "{extract}"), 2, "bundle"),
    (RESEARCHER, ("train", "readmission", "--extract", "E2031-999-X01"), 2, "E2031-999-X01"),
]
"""By whom, what, the exit code, and what the sentence holds."""


def test_nobody_gets_more_by_the_broker(home: Settings, folder: Path, run_as: Run) -> None:
    from erios.studies.models import Run as Training

    (folder / RESEARCHER / "link").mkdir()
    (folder / RESEARCHER / "link" / "metadata.json").symlink_to(home.keyring)
    number = extract_number()

    for login, arguments, code, sentence in REFUSED:
        refused = run_as(login, *(word.format(home=home.home, extract=number) for word in arguments))
        assert (refused.returncode, sentence in refused.stderr) == (code, True), (arguments, refused.stderr)
        assert home.keyring.read_text() not in refused.stdout + refused.stderr

    assert not Training.objects.exists()
