"""Workspaces: JupyterLab behind the wall, reached through its proxy as a browser reaches it; and what is on record."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path

import psutil
import pytest

from erios.audit import read_events, verify
from erios.governance.extract import Action
from erios.governance.words import RuleBroken
from erios.settings import Settings
from erios.studies.extract_actions import move_extract
from erios.studies.models import Extract, Workspace
from erios.workflows.workspaces import way_in
from tests.functional.conftest import in_process  # noqa: F401 - a fixture
from tests.portal.stories import who
from tests.portal.test_commands import Run, erios, good  # noqa: F401 - erios is a fixture
from tests.portal.test_extracts import after_assessment, after_release, released_home  # noqa: F401 - fixtures
from tests.portal.test_pages import client
from tests.slurm import free_ports, wait_for
from tests.unit.experiments.workspaces.test_packages import wheel
from tests.workspaces import Visitor, printed, serving

COUNT = """
import duckdb, pandas, polars
from pathlib import Path
files = sorted(map(str, Path("/work/extract/data/patient").glob("*.parquet")))
print(duckdb.sql(f"SELECT count(*) FROM read_parquet({files})").fetchall()[0][0], end=" ")
print(polars.scan_parquet(files).collect().height, sum(len(pandas.read_parquet(file)) for file in files))
Path("/work/study/result.txt").write_text("seen")
"""


def did(settings: Settings) -> list[str]:
    return [event.action for event in read_events(settings) if event.action.startswith("workspace.")]


def test_a_workspace_is_opened_worked_in_and_closed(released_home: Settings) -> None:  # noqa: F811
    extract = Extract.objects.get()
    with serving() as port:
        workspace, address = way_in(extract.number, who("bob"))
        visitor = Visitor(port, address)

        async def visit() -> str:
            assert await visitor.enter() == 200
            status, _headers, body = await visitor.ask("GET", "/lab")
            assert (status, b"jupyter-config-data" in body) == (200, True)
            heard = await visitor.run(COUNT)
            status, _headers, body = await visitor.ask("GET", "/api/contents/result.txt")
            assert json.loads(body).get("content") == "seen", printed(heard)
            return printed(heard)

        assert asyncio.run(visit()) == f"{extract.patients} {extract.patients} {extract.patients}\n"
    closed = Workspace.objects.get()
    assert (closed.state, closed.reason) == ("workspace closed", "the server of workspaces was stopped")
    assert closed.out > 100
    assert did(released_home) == [f"workspace.{step}" for step in ("ask", "enter", "open", "traffic", "close")]
    versions = list((released_home.studies / extract.study.number / "shared" / "versions").glob("*/result.txt"))
    assert [version.read_text() for version in versions] == ["seen"]
    assert workspace.number == closed.number


def test_workspaces_are_asked_for_listed_and_closed_by_commands(
    released_home: Settings,  # noqa: F811
    erios: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = Extract.objects.get().number
    (port,) = free_ports(1)
    monkeypatch.setenv("ERIOS_WORKSPACE__ADDRESS", f"http://*.localhost:{port}")
    code, _out, said = erios("bob", "workspace", "open", number)
    assert (code, "`erios workspace serve`" in said) == (8, True)

    with socket.create_server(("127.0.0.1", port)):
        first = json.loads(good(erios("bob", "workspace", "open", number, "--json")))
        again = json.loads(good(erios("bob", "workspace", "open", number, "--json")))
        assert erios("dpo", "workspace", "open", number)[0] == 9
        assert erios("dan", "workspace", "open", "nothing")[0] == 2
    assert first["workspace"] == again["workspace"]
    assert first["address"].partition("?")[0] == again["address"].partition("?")[0]
    assert first["address"] != again["address"]
    token = again["address"].partition("token=")[2]
    assert token not in str(list(Workspace.objects.values()))

    assert json.loads(good(erios("ada", "workspace", "list", "--json"))) == []
    assert [each["state"] for each in json.loads(good(erios("bob", "workspace", "list", "--json")))] == ["asked"]
    assert "asked" in good(erios("dpo", "workspace", "list"))
    assert erios("ada", "workspace", "close", first["workspace"], "--reason", "mine")[0] == 9
    assert erios("dpo", "workspace", "close", first["workspace"])[0] == 2
    good(erios("dpo", "workspace", "close", first["workspace"], "--reason", "a doubt"))
    assert Workspace.objects.get().reason == "a doubt"


def test_a_workspace_is_asked_for_and_closed_on_the_portals_pages(
    released_home: Settings,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = Extract.objects.get().number
    (port,) = free_ports(1)
    monkeypatch.setenv("ERIOS_WORKSPACE__ADDRESS", f"http://*.localhost:{port}")
    bob, dpo, dan = client("bob"), client("dpo"), client("dan")
    ask = f"/extraits/{number}/espace/"
    assert ask in bob.get(f"/extraits/{number}/", secure=True).content.decode()
    assert ask not in dan.get(f"/extraits/{number}/", secure=True).content.decode()
    assert bob.post(ask, secure=True).status_code == 400  # nobody serves
    with socket.create_server(("127.0.0.1", port)):
        shown = bob.post(ask, secure=True)
        assert dan.post(ask, secure=True).status_code == 409
    assert (shown.status_code, "no-store" in shown.headers["Cache-Control"]) == (200, True)
    opened = Workspace.objects.get()
    assert f"http://{opened.label}.localhost:{port}/enter?token=" in shown.content.decode()
    assert opened.label not in bob.get("/espaces/", secure=True).content.decode()

    close = f"/espaces/{opened.number}/fermer/"
    assert client("ada").post(close, {"reason": "r"}, secure=True).status_code == 404
    dpo.post(close, secure=True)
    assert Workspace.objects.get().state == "workspace asked"
    dpo.post(close, {"reason": "un doute"}, secure=True)
    assert (Workspace.objects.get().state, Workspace.objects.get().reason) == ("workspace closed", "un doute")


def test_a_data_manager_fills_the_mirror_on_record(released_home: Settings, erios: Run, tmp_path: Path) -> None:  # noqa: F811
    path = wheel(tmp_path)
    assert erios("bob", "packages", "add", path)[0] == 9
    assert erios("dan", "packages", "add", tmp_path / "none-1.0-py3-none-any.whl")[0] == 2
    assert "good 1.0 is in the mirror (MIT" in good(erios("dan", "packages", "add", path))
    assert erios("dan", "packages", "add", path)[0] == 2
    (listed,) = json.loads(good(erios("dan", "packages", "list", "--json")))
    assert (listed["name"], listed["native"]) == ("good", 0)
    native = tmp_path / "native"
    native.mkdir()
    plain = "Metadata-Version: 2.1\nName: good\nVersion: 1.0\n"
    other = wheel(native, {"good/a.so": b"\x7fELF"}, metadata=plain).rename(native / "good-2.0-py3-none-any.whl")
    for options in ((), ("--native",), ("--licence", "BSD")):
        assert erios("dan", "packages", "add", other, *options)[0] == 2
    good(erios("dan", "packages", "add", other, "--native", "--licence", "BSD"))
    added = [event for event in read_events(released_home) if event.action == "packages.add"]
    assert [(event.actor, json.loads(event.details)["licence"]) for event in added] == [("dan", "MIT"), ("dan", "BSD")]
    assert sorted(each.name for each in released_home.packages.iterdir() if each.suffix == ".whl") == [
        "good-1.0-py3-none-any.whl",
        "good-2.0-py3-none-any.whl",
    ]


BOMB = """
import subprocess, sys
line = [sys.executable, "-c", "import time; time.sleep(600)", "erios-bomb-of-the-test"]
subprocess.Popen(line, start_new_session=True)
"""


def bombs() -> list[int]:
    """Processes that the notebook has left to go off later."""
    listed = psutil.process_iter(["cmdline"])
    return [each.pid for each in listed if "erios-bomb-of-the-test" in (each.info["cmdline"] or ())]


def test_a_workspace_ends_with_its_right_and_with_its_server(released_home: Settings) -> None:  # noqa: F811
    extract = Extract.objects.get()
    with serving() as port:
        _workspace, address = way_in(extract.number, who("bob"))
        visitor = Visitor(port, address)

        async def begin() -> None:
            assert await visitor.enter() == 200
            await visitor.run(BOMB)

        asyncio.run(begin())
        assert len(bombs()) > 0
        move_extract(extract=extract, by=who("dpo"), action=Action.REVOKE, reason="a doubt")
        wait_for(lambda: Workspace.objects.get().state == "workspace closed", "end of the workspace", 10)
        assert re.search("revoked|révoquée", Workspace.objects.get().reason)
        assert bombs() == []
        assert asyncio.run(visitor.ask("GET", "/api/status"))[0] == 403
        with pytest.raises(RuleBroken):
            way_in(extract.number, who("bob"))
    assert verify(released_home).faults == ()
