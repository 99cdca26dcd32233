"""Killed at any point, refused by the disk, or given damaged files: the last release reads whole, a rerun finishes.

Every command that writes the warehouse is killed by SIGKILL, in a process of its own, at named steps and at random
instants. After each kill every release reads as before or as after, never a mix; the same command, run again, leaves
what an uninterrupted run leaves and no file that nobody reads.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import duckdb
import polars
import pytest

from etl.errors import EtlError, ReleaseError, StorageError
from etl.landing import batch_ids, read_batch
from etl.quarantine import refused
from etl.release import Release, open_release, open_table, release_ids, unread
from etl.segments import open_segment, segment_paths
from etl.work import STAGING
from tests.crash import SEALING_KEY, At, Forge
from tests.property.test_living_warehouse import make

pytestmark = pytest.mark.slow
HANDS = 2
"""Processes that forge crashes at a time."""
COMMANDS: dict[str, tuple[str, ...]] = {
    "first load": ("load", "first"),
    "load": ("load", "third"),
    "deletions": ("load", "deletions"),
    "objection": ("refresh", "Patient/p0"),
    "withdrawal": ("refresh", ""),
    "compact": ("compact",),
    "rebuild": ("rebuild",),
    "vacuum": ("vacuum",),
    "erase": ("erase", "Patient/p2"),
}
PROTOCOL = ("land", "settle", "identity", "gate", "commit", "publish", "release", "rename", "state", "pin", "blank")
EACH_FILE = ("stage file", "fold file", "rewrite")
"""Steps of which, in the main job, every call is a place to die; of the second sort just after it."""
STEP_KILLS, RANDOM_KILLS, LOAD_RANDOM_KILLS, LOAD_STEP_KILLS = 14, 8, 30, 50
"""Kills at named steps and at random instants a command; of the load, every step of the protocol (so many or more)."""


def _export(folder: Path, resources: Sequence[dict[str, Any]], gone: Sequence[str] = ()) -> None:
    folder.mkdir(parents=True)
    lines = [json.dumps(resource) for resource in resources]
    if gone:
        entries = [{"request": {"method": "DELETE", "url": url}} for url in gone]
        lines.append(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
    (folder / "all.ndjson").write_text("\n".join(lines) + "\n")


def _all(version: int) -> list[dict[str, Any]]:
    sizes = {"Patient": 4, "Encounter": 5, "Practitioner": 2}
    return [make(kind, number, version) for kind, size in sizes.items() for number in range(size)]


@pytest.fixture(scope="module")
def forges() -> Iterator[SimpleQueue[Forge]]:
    """The forging processes that wait for work."""
    started = [Forge.start() for _ in range(HANDS)]
    waiting: SimpleQueue[Forge] = SimpleQueue()
    for forge in started:
        waiting.put(forge)
    yield waiting
    for forge in started:
        forge.stop()


@pytest.fixture(scope="module")
def forge(forges: SimpleQueue[Forge]) -> Iterator[Forge]:
    """One of them."""
    forge = forges.get()
    forges.put(forge)
    return forge


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory, forge: Forge) -> dict[str, Path]:
    """Where each command starts: an empty home with exports, and three releases of which the last has an objection."""
    empty = tmp_path_factory.mktemp("crash") / "empty"
    refused_too = [{"resourceType": "Patient", "id": "no good id"}]
    _export(empty / "exports" / "first", _all(1) + refused_too)
    _export(empty / "exports" / "second", _all(2)[:7])
    _export(empty / "exports" / "third", _all(3)[2:] + refused_too, ["Encounter/e4"])
    _export(empty / "exports" / "deletions", [], ["Patient/p3", "Encounter/e0", "Practitioner/p1"])
    lived = empty.with_name("lived")
    shutil.copytree(empty, lived)
    for command in (("load", "first"), ("load", "second"), ("refresh", "Patient/p1")):
        assert "value" in forge.run(lived, command)
    return {name: empty if name == "first load" else lived for name in COMMANDS}


# What is compared.


def contents(home: Path) -> dict[str, Any]:
    """Every release with the rows of every table, whole; the ledger as its newest generation tells."""
    warehouse = home / "warehouse"
    with duckdb.connect() as sql:
        return {name: _content(open_release(warehouse, name), sql) for name in release_ids(warehouse)}


def _content(release: Release, sql: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    rows = {name: _rows(release, name, sql) for name in release.tables}
    return {"rows": rows, "totals": release.totals, "types": release.types, "batch": release.batch}


def _rows(release: Release, table: str, sql: duckdb.DuckDBPyConnection) -> list[Any]:
    rows = release.duckdb(table, sql).fetchall()
    assert len(rows) == release.tables[table].rows
    if table != "_ledger":
        return sorted(rows, key=repr)
    newest: dict[str, Any] = {}
    for row in sorted(rows, key=lambda row: row[-2]):
        newest[row[1]] = row[:-1]
    return sorted(newest.items())


def check_counts(release: Release) -> None:
    """DuckDB, Polars and Delta at the pinned version count the pinned rows."""
    for name, pinned in release.tables.items():
        delta = open_table(release.warehouse / "tables" / name, pinned.version)
        counted = polars.DataFrame(release.polars(name).select(polars.len()).collect()).item()
        assert (counted, delta.to_pyarrow_dataset().count_rows(), len(release.files(name))) == (
            pinned.rows,
            pinned.rows,
            pinned.files,
        )


def check_readable(home: Path, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Every release is as it was before the command or as it is after it."""
    now = contents(home)
    assert before.keys() & after.keys() <= now.keys() <= before.keys() | after.keys()
    for name, content in now.items():
        assert content in (before.get(name), after.get(name)), f"{name} is neither the old nor the new"
    if now:
        check_counts(open_release(home / "warehouse"))
    assert max(now, default="") in (max(before, default=""), max(after, default=""))


def beside(home: Path) -> dict[str, Any]:
    """What lies beside the tables: landed batches, the quarantine's index, the sealed segments."""
    rows = [
        sorted(map(str, open_segment(p, lambda _id: SEALING_KEY).to_pylist())) for p in segment_paths(home / "segments")
    ]
    batches = [read_batch(home / "landing", name) for name in batch_ids(home / "landing")]
    return {"landing": batches, "quarantine": sorted(map(repr, refused(home / "quarantine"))), "segments": rows}


def check_tidy(home: Path) -> None:
    """No data file without a reader, nothing staged, nothing half-written, and what is landed is what its list says."""
    warehouse = home / "warehouse"
    assert list(unread(warehouse, release_ids(warehouse))) == []
    assert not (warehouse / STAGING).exists()
    places = [warehouse / "releases", *(home / "landing").glob("**"), *(home / "quarantine").glob("**")]
    places += (home / "segments").glob("**")
    assert [path for place in places for path in place.glob(".*")] == []
    for batch in (read_batch(home / "landing", name) for name in batch_ids(home / "landing")):
        for file in batch.files:
            assert sha256((home / "landing" / batch.id / file.name).read_bytes()).hexdigest() == file.sha256


# Kills.


@dataclass(frozen=True)
class Scene:
    """A command, the home it starts from, and what an uninterrupted run of it leaves."""

    command: tuple[str, ...]
    start: Path
    before: dict[str, Any]
    after: dict[str, Any]
    beside: dict[str, Any]
    trace: tuple[str, ...]
    seconds: float
    room: Path
    forges: SimpleQueue[Forge]
    numbers: Iterator[int]

    def copy(self) -> Path:
        """A home of its own for one crash."""
        home = self.room / f"home{next(self.numbers)}"
        shutil.copytree(self.start, home)
        return home

    def points(self) -> list[At]:
        """Just before and just after every call of every step, in their order."""
        seen: dict[str, int] = {}
        points = []
        for label in self.trace:
            seen[label] = seen.get(label, 0) + 1
            step, when = label.rsplit(" ", 1)
            points.append(At(step, when, seen[label]))
        return points

    def crash(self, at: At | None = None, after: float | None = None) -> bool:
        """Kill the command, look, run it again, look again; answers whether it was alive to be killed."""
        home, forge = self.copy(), self.forges.get()
        try:
            return self._crash(home, forge, at, after)
        finally:
            self.forges.put(forge)
            shutil.rmtree(home)

    def _crash(self, home: Path, forge: Forge, at: At | None, after: float | None) -> bool:
        first = forge.run(home, self.command, at, after)
        assert not first["hung"]
        if not first["killed"]:
            assert at is None, f"never came by {at}"
            return False
        self.check_after(home, forge)
        return True

    def check_after(self, home: Path, forge: Forge) -> None:
        """What stands reads whole; the same command, run again, finishes."""
        check_readable(home, self.before, self.after)
        again = forge.run(home, self.command)
        assert "value" in again, again
        assert contents(home) == self.after
        assert beside(home) == self.beside
        check_tidy(home)


@pytest.fixture(scope="module")
def scene(homes: dict[str, Path], forges: SimpleQueue[Forge], forge: Forge, tmp_path_factory: Any) -> Any:
    """The scene of a command by its name, played once without interruption."""

    @cache
    def play(name: str) -> Scene:
        room = tmp_path_factory.mktemp("scene")
        whole = room / "whole"
        shutil.copytree(homes[name], whole)
        done = forge.run(whole, COMMANDS[name])
        assert "value" in done, done
        check_tidy(whole)
        before, after, near = contents(homes[name]), contents(whole), beside(whole)
        return Scene(
            COMMANDS[name],
            homes[name],
            before,
            after,
            near,
            tuple(done["trace"]),
            done["seconds"],
            room,
            forges,
            count(),
        )

    return play


def _crash_at(scene: Scene, points: Sequence[At]) -> None:
    with ThreadPoolExecutor(HANDS) as hands:
        killed = list(hands.map(scene.crash, points))
    assert all(killed)


def _spread(points: Sequence[At], number: int) -> list[At]:
    """``number`` of the points, evenly from first to last."""
    return [points[round(place * (len(points) - 1) / (number - 1))] for place in range(number)]


def test_a_load_killed_at_any_step_of_the_protocol_shows_nothing_and_a_rerun_finishes(scene: Any) -> None:
    """Before and after landing, settle, identities, each commit, the release and its rename; after each file."""
    load = scene("load")
    points = [at for at in load.points() if at.step in PROTOCOL or (at.step in EACH_FILE and at.when == "after")]
    assert len(points) >= LOAD_STEP_KILLS
    _crash_at(load, points)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "load"])
def test_any_command_killed_at_its_steps_shows_nothing_and_a_rerun_finishes(scene: Any, name: str) -> None:
    """So many of the command's named steps, evenly from its first to its last."""
    _crash_at(scene(name), _spread(scene(name).points(), STEP_KILLS))


@pytest.mark.parametrize("name", COMMANDS)
def test_any_command_killed_at_random_shows_nothing_and_a_rerun_finishes(scene: Any, name: str) -> None:
    """Instants drawn from the whole length of an uninterrupted run; one that had ended before counts for nothing."""
    chance, played = random.Random(name), scene(name)
    wanted = LOAD_RANDOM_KILLS if name == "load" else RANDOM_KILLS
    killed = 0
    while killed < wanted:
        instants = [chance.uniform(0, played.seconds) for _ in range(wanted - killed)]
        with ThreadPoolExecutor(HANDS) as hands:
            killed += sum(hands.map(lambda after: played.crash(after=after), instants))


def test_kills_are_200_at_least() -> None:
    others = len(COMMANDS) - 1
    assert LOAD_STEP_KILLS + LOAD_RANDOM_KILLS + others * (STEP_KILLS + RANDOM_KILLS) >= 200
