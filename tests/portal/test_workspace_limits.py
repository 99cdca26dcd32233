"""When a workspace ends by itself: each limit, and a check that cannot be made."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from erios.settings_sections import WorkspaceSettings
from erios.workflows.workspace_server import Opened, WorkspaceServer
from experiments.workspaces.place import Place
from experiments.workspaces.traffic import Traffic

LIMITS = WorkspaceSettings(idle_minutes=10, hours=2, memory_gb=1, processes=10, folder_gb=1)


def complaint(monkeypatch: pytest.MonkeyPatch, right: str | Exception = "", **changed: Any) -> str:
    """What is wrong with a workspace in which all is well but for what is changed."""
    monkeypatch.setattr("erios.workflows.workspace_server.measure", lambda _folder: (changed.get("folder", 0), 1))

    def lost(_number: str) -> str:
        if isinstance(right, Exception):
            raise right
        return right

    monkeypatch.setattr("erios.workflows.workspace_server._lost", lost)
    server = WorkspaceServer(SimpleNamespace(workspace=LIMITS))  # type: ignore[arg-type]
    desk = SimpleNamespace(
        has_ended=changed.get("ended", False),
        usage=lambda: (changed.get("processes", 5), changed.get("memory", 2**20)),
        box=SimpleNamespace(study=Path("/nowhere")),
    )
    traffic = Traffic(2**24, 2**20)
    traffic.out = changed.get("out", 0)
    place = Place("a", Path("/nowhere"), traffic, worked=time.monotonic() - changed.get("idle", 0))

    async def look() -> str:
        began = asyncio.get_running_loop().time() - changed.get("age", 0)
        return await server._complaint(Opened("W", place, desk, began))  # type: ignore[arg-type]

    return asyncio.run(look())


def test_a_workspace_stays_as_long_as_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert complaint(monkeypatch) == ""
    assert complaint(monkeypatch, idle=599, age=7199, processes=10, memory=2**30, folder=2**30, out=2**23) == ""


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"ended": True}, "JupyterLab ended"),
        ({"out": 2**24}, "16 MiB had left it"),
        ({"idle": 601}, "nobody worked in it for 10 minutes"),
        ({"age": 7201}, "it had been open for 2 hours"),
        ({"processes": 11}, "it ran more than 10 processes"),
        ({"memory": 2**30 + 1}, "it held more than 1 GiB of memory"),
        ({"folder": 2**30 + 1}, "the study's folder holds more than 1 GiB"),
        ({"right": "the study was closed"}, "the study was closed"),
        ({"right": OSError("the database is gone")}, "its right could not be checked"),
    ],
    ids=str,
)
def test_each_limit_ends_it_with_its_reason(
    changed: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complaint(monkeypatch, **changed) == sentence
