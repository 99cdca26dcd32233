"""The server of workspaces: one process that lets people in, runs what they opened behind the wall, and ends it.

Owns when a workspace ends: its right, its time, its limits, its owner's wish, or the end of this process, with which
everything in it ends. What it does is on record before it is done, and a right that cannot be checked is none.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from django.db import connections

from erios.accounts.sealed_rows import check_account, check_study
from erios.errors import EriosError
from erios.governance.workspace import State
from erios.locks import held
from erios.settings import Settings, make_folder
from erios.studies.extract_selectors import lost_opening
from erios.studies.models import Workspace
from erios.studies.workspace_actions import begin_workspace, close_workspace, enter_workspace, note_traffic
from erios.studies.workspace_selectors import find_workspace, live_workspaces, out_in_a_day
from erios.workflows.database import open_database
from erios.workflows.extract import open_extract
from experiments.errors import SandboxError
from experiments.sandbox.collected_files import measure
from experiments.workspaces.desk import Desk, lab_files
from experiments.workspaces.place import Place, digest
from experiments.workspaces.proxy import Proxy, page_of
from experiments.workspaces.traffic import Traffic
from experiments.workspaces.versions import keep_version

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

LOOK_EVERY = 2.0
"""Seconds between two looks at what runs: a workspace that has lost its right is closed no later."""
_BEGIN_S = 90.0
_FOLDERS_EVERY = 15
"""Looks between two measurements of shared folders."""
_NOTE_EVERY = 4 * 2**20
"""Bytes after which what has left a workspace is put on record before its end."""
_LARGEST_VERSION = 2**26


@dataclass
class Opened:
    """What runs for one workspace. ``began``: the clock's seconds; ``noted``: bytes that are on record."""

    number: str
    place: Place
    desk: Desk
    began: float
    noted: int = 0


class WorkspaceServer:
    """Everything that is open. Its methods run on one event loop; the database is asked in threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.limits = settings, settings.workspace
        self.opened: dict[str, Opened] = {}
        self.proxy = Proxy(self.limits.address, lab_files(), self.redeem)
        self._locks: dict[str, asyncio.Lock] = {}
        self._launcher = ThreadPoolExecutor(1, "launcher")
        self._looks = 0

    async def redeem(self, label: str, token: str) -> Place | None:
        """The place that a token opens, begun if it does not run yet."""
        async with self._locks.setdefault(label, asyncio.Lock()):
            workspace = await _in_database(enter_workspace, label=label, token=digest(token))
            if workspace is None:
                if label not in self.opened:
                    self._locks.pop(label, None)
                return None
            if label in self.opened:
                return self.opened[label].place
            try:
                return await self._begin(workspace)
            except (EriosError, SandboxError, OSError, TimeoutError) as error:
                reason = str(error) if isinstance(error, EriosError | SandboxError) else "JupyterLab did not begin"
                await _in_database(close_workspace, workspace=workspace, by=None, reason=reason)
                return None

    async def _begin(self, workspace: Workspace) -> Place:
        folder = await _in_database(_opened_folder, workspace.number)
        traffic = Traffic(await _in_database(_allowance, workspace.number, self.settings), self.limits.largest_mb << 20)
        study, versions, packages = _folders(workspace.extract.study.number, self.settings)
        desk = Desk(folder, study, versions, packages)
        await asyncio.get_running_loop().run_in_executor(self._launcher, desk.start)
        try:
            page = await page_of(desk.socket, _BEGIN_S)
            await _in_database(begin_workspace, workspace=workspace)
        except BaseException:
            await asyncio.to_thread(desk.end)
            raise
        place = Place(workspace.label, desk.socket, traffic, page)
        self.opened[workspace.label] = Opened(workspace.number, place, desk, asyncio.get_running_loop().time())
        return place

    async def watch(self) -> None:
        """Close what may not stay open, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._looks += 1
            for opened in list(self.opened.values()):
                if reason := await self._complaint(opened):
                    await self.close(opened, reason)
                elif opened.place.traffic.out > opened.noted + _NOTE_EVERY:
                    await self._note(opened)

    async def _complaint(self, opened: Opened) -> str:
        """Why a workspace must close; empty if it may stay."""
        if reason := self._own_complaint(opened):
            return reason
        try:
            count, memory = await asyncio.to_thread(opened.desk.usage)
            if count > self.limits.processes:
                return f"it ran more than {self.limits.processes} processes"
            if memory > self.limits.memory_gb << 30:
                return f"it held more than {self.limits.memory_gb} GiB of memory"
            if self._looks % _FOLDERS_EVERY == 0:
                written, _files = await asyncio.to_thread(measure, opened.desk.box.study)
                if written > self.limits.folder_gb << 30:
                    return f"the study's folder holds more than {self.limits.folder_gb} GiB"
            return await _in_database(_lost, opened.number)
        except Exception as error:  # a check that cannot be made counts as a refusal
            _log.error("workspace %s cannot be checked: %s", opened.number, type(error).__name__)
            return "its right could not be checked"

    def _own_complaint(self, opened: Opened) -> str:
        limits, place = self.limits, opened.place
        if opened.desk.has_ended:
            return "JupyterLab ended"
        if place.traffic.is_spent:
            return f"{place.traffic.most >> 20} MiB had left it"
        if place.idle_s > limits.idle_minutes * 60:
            return f"nobody worked in it for {limits.idle_minutes} minutes"
        if asyncio.get_running_loop().time() - opened.began > limits.hours * 3600:
            return f"it had been open for {limits.hours} hours"
        return ""

    async def _note(self, opened: Opened) -> None:
        traffic = opened.place.traffic
        out, refused = traffic.out, traffic.refused
        await _in_database(_noted, opened.number, out, refused)
        opened.noted = out

    async def close(self, opened: Opened, reason: str) -> None:
        """End it, keep a version of the study's folder, and put that on record."""
        self.opened.pop(opened.place.label, None)
        self._locks.pop(opened.place.label, None)
        await self.proxy.close(opened.place.label)
        await asyncio.to_thread(opened.desk.end)
        try:
            await self._note(opened)
            await _in_database(_closed, opened.number, reason)
            await asyncio.to_thread(self._keep_version, opened.desk.box.study, opened.desk.box.versions)
        except (EriosError, SandboxError, OSError) as error:
            _log.error("workspace %s was closed, but: %s", opened.number, type(error).__name__)

    def _keep_version(self, study: Path, versions: Path) -> None:
        with held(versions.parent / ".versions.lock"):
            keep_version(study, versions, datetime.now(), self.limits.versions, _LARGEST_VERSION)

    async def close_all(self, reason: str) -> None:
        """End everything."""
        for opened in list(self.opened.values()):
            await self.close(opened, reason)
        self._launcher.shutdown(wait=True)


def serve(host: str, port: int) -> None:
    """Serve workspaces until SIGTERM or Ctrl-C; BusyError where another process does."""
    settings = open_database()
    with held(settings.governance / ".workspaces.lock", patience=0):
        for workspace in live_workspaces():
            close_workspace(workspace=workspace, by=None, reason="the server of workspaces was started anew")
        connections.close_all()
        asyncio.run(_serve(WorkspaceServer(settings), host, port))


async def _serve(server: WorkspaceServer, host: str, port: int) -> None:
    runner = web.AppRunner(server.proxy.application(), access_log=None)
    await runner.setup()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    watching = asyncio.create_task(server.watch())
    try:
        await web.TCPSite(runner, host, port).start()
        await asyncio.wait([watching, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await server.close_all("the server of workspaces was stopped")
        await runner.cleanup()


async def _in_database(act: Callable[..., _Answer], *arguments: Any, **named: Any) -> _Answer:
    """Do it in a thread that leaves no connection behind."""

    def acted() -> _Answer:
        try:
            return act(*arguments, **named)
        finally:
            connections.close_all()

    return await asyncio.to_thread(acted)


def _opened_folder(number: str) -> Path:
    """The folder of the workspace's extract, opened by the one door for its owner; on record."""
    workspace = find_workspace(number)
    return open_extract(workspace.extract.number, workspace.by.username).folder


def _allowance(number: str, settings: Settings) -> int:
    """Bytes that may leave: of one workspace, and of what the person has left for the day."""
    left = (settings.workspace.day_mb << 20) - out_in_a_day(find_workspace(number).by)
    return max(0, min(settings.workspace.out_mb << 20, left))


def _lost(number: str) -> str:
    """Why the workspace may not stay open by the record; empty if it may."""
    workspace = find_workspace(number)
    check_study(workspace.extract.study)
    check_account(workspace.by)
    if not State(workspace.state).is_live:
        return workspace.reason or "it was closed"
    return str(lost_opening(workspace.extract, workspace.by) or "")


def _noted(number: str, out: int, refused: int) -> None:
    note_traffic(workspace=find_workspace(number), out=out, refused=refused)


def _closed(number: str, reason: str) -> None:
    close_workspace(workspace=find_workspace(number), by=None, reason=reason)


def _folders(study: str, settings: Settings) -> Iterator[Path]:
    """The study's shared folder, its earlier states, and the hospital's packages; made where they are missing."""
    shared = settings.studies / study / "shared"
    for folder in (settings.studies / study, shared, shared / "files", shared / "versions", settings.packages):
        make_folder(folder, 0o750)
    yield from (shared / "files", shared / "versions", settings.packages)
