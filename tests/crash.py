"""Commands of a small warehouse, each in a process of its own that dies, fails or runs dry where it is told to.

``serve`` imports everything, uses nothing (the runtimes of DuckDB, Arrow and Delta do not survive a
fork), and forks a child for every job it reads. ``Forge`` is its other end, in the test's process. Nothing here is a
test; the clock of the landing zone stands still, so that what two runs leave can be compared to the last value.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import etl.ingest.landing
from etl.errors import EtlError
from etl.ingest.resource_type_plans import type_plans
from etl.load_config import LoadConfig, Verdict
from etl.sealing import SealingKey
from tests.imaging import tables as imaging_tables
from tests.inline import InlineRunner
from tests.property.test_living_warehouse import TABLES, Warehouse

ROOT = Path(__file__).resolve().parents[1]
SEALING_KEY = SealingKey("s1", b"s" * 32)
PATIENCE = 120
STEPS = {
    "land": "etl.pipeline:receive",
    "recover": "etl.pipeline:recover",
    "sweep": "etl.pipeline:sweep",
    "stage file": "etl.ingest.staging:_write",
    "quarantine": "etl.ingest.staging:_write_quarantine",
    "seal": "etl.reidentification_table:seal_segment",
    "resolve": "etl.pipeline:resolve_versions",
    "identity": "etl.pipeline:resolve_identities",
    "identity file": "etl.pipeline:new_identity_table",
    "merge file": "etl.warehouse.parquet_writer:write_file",
    "gate": "tests.crash:gate",
    "voxels": "etl.pipeline:publish_voxel_files",
    "commit": "etl.pipeline:commit_table",
    "publish": "etl.pipeline:publish",
    "release": "etl.warehouse.release:write_release",
    "rename": "pathlib:Path.rename",
    "delete": "pathlib:Path.unlink",
    "clear": "shutil:rmtree",
    "restore": "deltalake:DeltaTable.restore",
    "redact": "etl.erasure:redact",
    "rewrite": "etl.erasure:_rewrite",
    "state": "etl.erasure:set_state",
    "pin": "etl.erasure:write_release",
    "scan": "etl.erasure:scan",
}
"""Named steps: what is wrapped, so that something may happen just before and just after its n-th call."""
LENT = {"publish": ["etl.maintenance:publish_again"], "sweep": ["etl.erasure:sweep"], "delete": ["os:unlink"]}
"""Other places of the same steps."""


@dataclass(frozen=True)
class At:
    """Before or after the ``nth`` call of a step, do something: kill, raise, or let writing fail from then on."""

    step: str
    when: str
    nth: int
    act: str = "kill"


# ---- what a child does


def gate(_tables: Any, _fresh: Any, _batch: str) -> Verdict:
    """Lets everything pass."""
    return Verdict(False, (), {"gate": "open"})


def plan_of(home: Path, **changes: Any) -> LoadConfig:
    """The plan of the home's warehouse: sealed segments beside it, the objection register a file of lines."""
    register = home / "objectors"
    return replace(
        Warehouse(home).plan,
        reidentification_folder=home / "segments",
        read_sealing_key=lambda: SEALING_KEY,
        read_objectors=lambda: frozenset(register.read_text().split()) if register.exists() else frozenset(),
        **changes,
    )


def _load(home: Path, export: str) -> object:
    from etl.pipeline import load

    return load([home / "exports" / export], plan_of(home), InlineRunner(), gate).release


def _refresh(home: Path, objectors: str) -> object:
    from etl.pipeline import refresh

    (home / "objectors").write_text(objectors)
    return refresh(plan_of(home), InlineRunner(), gate).release


def _rebuild(home: Path) -> object:
    from etl.pipeline import rebuild

    return rebuild(plan_of(home, file_rows=4), InlineRunner(), gate).release


def _compact(home: Path) -> object:
    from etl.maintenance import compact

    return compact(plan_of(home, file_rows=200), InlineRunner()).release.id


def _vacuum(home: Path, last: str = "1") -> object:
    from etl.maintenance import vacuum

    return vacuum(plan_of(home), int(last), dict).files


def _erase(home: Path, reference: str) -> object:
    from etl.erasure import erase

    return erase(plan_of(home), [reference], landing=True).rows


def _hold(home: Path) -> object:
    from etl.pipeline import locked_warehouse

    with locked_warehouse(plan_of(home)):
        (home / "is held").write_text(str(os.getpid()))
        time.sleep(PATIENCE)
    return None


def _images(home: Path, action: str, what: str) -> object:
    """A warehouse of images: load an export, forget old releases, or erase a patient."""
    from etl.erasure import erase
    from etl.maintenance import vacuum
    from tests.imaging import Imaging

    imaging = Imaging(home)
    if action == "load":
        return imaging.load(home / "exports" / what).release
    if action == "vacuum":
        return vacuum(imaging.plan, int(what), dict).files
    return erase(imaging.plan, [what], landing=True).rows


COMMANDS: dict[str, Callable[..., object]] = {
    "load": _load,
    "images": _images,
    "refresh": _refresh,
    "rebuild": _rebuild,
    "compact": _compact,
    "vacuum": _vacuum,
    "erase": _erase,
    "hold": _hold,
}


class StillClock(datetime):
    """The landing zone's clock: batches are received on the same day, a second apart."""

    landed = 0

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        """The time that the number of batches landed so far tells."""
        return datetime(2031, 1, 1, tzinfo=UTC) + timedelta(seconds=cls.landed)


@dataclass
class _Watch:
    """Notes the calls of the steps and acts at the one asked for."""

    at: At | None
    trace: list[str] = field(default_factory=list)

    def passes(self, step: str, when: str) -> None:
        label, at = f"{step} {when}", self.at
        self.trace.append(label)
        if at and label == f"{at.step} {at.when}" and self.trace.count(label) == at.nth:
            _ACTS[at.act]()

    def wrap(self, step: str, place: str) -> None:
        module, _, path = place.partition(":")
        owner: Any = importlib.import_module(module)
        *outer, name = path.split(".")
        for part in outer:
            owner = getattr(owner, part)
        setattr(owner, name, self._wrapped(step, getattr(owner, name)))

    def _wrapped(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.passes(step, "before")
            result = function(*arguments, **named)
            self.passes(step, "after")
            return result

        return wrapped


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fail() -> None:
    raise ValueError("Jeanne Durand, born 1932-07-14")


def _run_dry() -> None:
    """From now on no file may grow beyond some bytes, as at the end of a disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def _interrupt() -> None:
    raise KeyboardInterrupt


_ACTS = {"kill": _die, "raise": _fail, "dry": _run_dry, "interrupt": _interrupt}


def _child(job: dict[str, Any]) -> dict[str, Any]:
    """The command, watched; its result or the error it ended with."""
    home = Path(job["home"])
    StillClock.landed = len(list((home / "landing").glob("b*")))
    vars(etl.ingest.landing)["datetime"] = StillClock
    watch = _Watch(At(**job["at"]) if job["at"] else None)
    for step, place in STEPS.items():
        for each in [place, *LENT.get(step, ())]:
            watch.wrap(step, each)
    if job["user"]:
        os.setuid(job["user"])
    start = time.monotonic()
    try:
        result = {"value": COMMANDS[job["command"]](home, *job["arguments"])}
    except BaseException as error:  # reported whole to the test
        result = {"error": type(error).__name__, "sentence": str(error), "ours": isinstance(error, EtlError)}
    return {**result, "trace": watch.trace, "seconds": time.monotonic() - start}


# ---- the process that forks


def _forked(job: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os.write(writing, json.dumps(_child(job), default=str).encode())
        os._exit(0)
    os.close(writing)
    heard, _, _ = select.select([reading], [], [], PATIENCE if job["after"] is None else job["after"])
    if not heard:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    hung = job["after"] is None and not heard
    return {"killed": os.WIFSIGNALED(status) and not said, "hung": hung, **json.loads(said or b"{}")}


def serve() -> None:
    """Answer jobs, one JSON value a line, until the input ends."""
    type_plans(TABLES)
    for name in (
        "deltalake",
        "duckdb",
        "pandas",
        "polars",
        "pyarrow.parquet",
        "pytz",
        "etl.erasure",
        "etl.maintenance",
    ):
        importlib.import_module(name)
    type_plans(imaging_tables())
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_forked(json.loads(line))) + "\n")
        sys.stdout.flush()


# ---- the test's end of it


@dataclass
class Forge:
    """Runs jobs one at a time, each in a fresh process."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls) -> Forge:
        """A forking process with everything imported."""
        command = [sys.executable, "-c", "from tests.crash import serve; serve()"]
        pipe = subprocess.PIPE
        return cls(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT))

    def run(
        self, home: Path, command: tuple[str, ...], at: At | None = None, after: float | None = None, user: int = 0
    ) -> dict[str, Any]:
        """``command`` in ``home``: what became of it. ``after``: killed so many seconds after its start."""
        self.send(home, command, at, after, user)
        return self.hear()

    def send(
        self, home: Path, command: tuple[str, ...], at: At | None = None, after: float | None = None, user: int = 0
    ) -> None:
        """Start ``command``; ``hear`` waits for its end."""
        assert self.process.stdin
        name, *arguments = command
        job = {"home": str(home), "command": name, "arguments": arguments, "after": after, "user": user}
        self.process.stdin.write(json.dumps({**job, "at": vars(at) if at else None}) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """What became of the command that was sent."""
        assert self.process.stdout
        return dict(json.loads(self.process.stdout.readline()))

    def stop(self) -> None:
        """End the process and its pipes."""
        self.process.communicate()
