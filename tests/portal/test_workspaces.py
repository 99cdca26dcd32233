"""Workspaces: JupyterLab behind the wall, reached through its proxy as a browser reaches it; and what is on record."""

from __future__ import annotations

import asyncio
import json

from erios.audit import read_events
from erios.settings import Settings
from erios.studies.models import Extract, Workspace
from erios.workflows.workspaces import way_in
from tests.portal.stories import who
from tests.portal.test_extracts import after_assessment, after_release, released_home  # noqa: F401 - fixtures
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
