"""An evil notebook and an evil package in a real workspace: every way out that ``hostile`` knows, tried in a kernel."""

from __future__ import annotations

import asyncio
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

import experiments
from experiments.sandbox import bubblewrap
from experiments.workspaces.desk import Desk, lab_files
from experiments.workspaces.place import Place, draw_label
from experiments.workspaces.proxy import Proxy, page_of
from experiments.workspaces.traffic import Traffic
from tests.slurm import free_ports
from tests.unit.experiments.sandbox.hostile import ESCAPES
from tests.unit.experiments.sandbox.test_bubblewrap import HOSTILE, Prey, left_behind, prey  # noqa: F401 - a fixture
from tests.workspaces import Visitor, printed

pytestmark = pytest.mark.slow
HARMLESS = {"read_account_list"}
"""The list of accounts is the workspace's own, of one line; its sockets are the kernel's own. Looked at below."""
ESCAPE = """
import json, runpy, sys
sys.argv = ["hostile", "/work/study/targets.json"]
hostile = runpy.run_path("/work/study/hostile.py")
print(json.dumps(hostile["main"]("/work/study/targets.json")))
"""
PACKAGE = """
%pip install evil
import evil
print(evil.REACHED)
"""
LOOK = """
import os
from pathlib import Path
print(Path("/etc/passwd").read_text().count(":x:"), [name for name in os.environ if name in ("PASSWORD", "ERIOS_HOME")])
print(*sorted(path.name for path in Path("/work").iterdir()))
print(*sorted(path.name for path in Path("/etc").iterdir()))
"""


def wheel(folder: Path) -> None:
    """A package that tries every way out as soon as it is imported."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "evil-1.0-py3-none-any.whl", "w") as package:
        package.writestr(
            "evil/__init__.py",
            'from evil import hostile\nREACHED = hostile.json.dumps(hostile.main("/work/study/targets.json"))\n',
        )
        package.writestr("evil/hostile.py", HOSTILE.read_text())
        package.writestr("evil-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
        package.writestr("evil-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        package.writestr("evil-1.0.dist-info/RECORD", "")


def reached(text: str) -> dict[str, Any]:
    lines = [line for line in text.splitlines() if line.startswith("{")]
    assert len(lines) == 1, text
    outcome = json.loads(lines[0])
    assert set(outcome) == set(ESCAPES), text
    return {name: value for name, value in outcome.items() if value and name not in HARMLESS}


def test_nothing_in_a_notebook_reaches_anything_outside(
    prey: Prey,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PASSWORD", "erios-password-of-the-test")
    study, versions, packages = (tmp_path / name for name in ("study", "versions", "mirror"))
    study.mkdir()
    versions.mkdir()
    wheel(packages)
    (study / "hostile.py").write_bytes(HOSTILE.read_bytes())
    inside = {"extract": "/work/extract", "bundle": "/work/versions", "output": "/work/study", "beside": "/"}
    product = Path(experiments.__file__).parent
    prey.write(study, **inside, packages=pytest.__path__[0], product=str(product))
    desk = Desk(prey.box.extract, study, versions, packages)

    async def visit() -> None:
        page = await page_of(desk.socket, 90)
        place = Place(draw_label(), desk.socket, Traffic(2**27, 2**24), page)

        async def redeem(_label: str, _token: str) -> Place | None:
            return place

        (port,) = free_ports(1)
        proxy = Proxy(f"http://*.localhost:{port}", lab_files(), redeem)
        from aiohttp import web

        runner = web.AppRunner(proxy.application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        visitor = Visitor(port, f"http://{place.label}.localhost:{port}/enter?token=t")
        assert await visitor.enter() == 200
        try:
            assert reached(printed(await visitor.run(ESCAPE))) == {}
            assert reached(printed(await visitor.run(PACKAGE))) == {}
            looked = printed(await visitor.run(LOOK)).splitlines()
            assert looked[0] == "1 []"
            assert {"extract", "packages", "study", "versions"} <= set(looked[1].split())
            assert {"shadow", "group", "ssh", "krb5.conf"} & set(looked[2].split()) == set()
        finally:
            await runner.cleanup()

    assert not bubblewrap.obstacle()
    desk.start()
    try:
        asyncio.run(visit())
    finally:
        desk.end()
    time.sleep(4)  # longer than the process that is left waits
    assert left_behind(prey) == []
    assert not desk.private.exists()
