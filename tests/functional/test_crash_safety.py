"""Killed at any point, refused by the disk, or given damaged files: the last release reads whole, a rerun finishes.

Every command that writes the warehouse is killed by SIGKILL, in a process of its own, at named steps and at random
instants. After each kill every release reads as before or as after, never a mix; the same command, run again, leaves
what an uninterrupted run leaves and no file that nobody reads.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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

from etl.errors import ReleaseError, StorageError
from etl.ingest.landing import batch_ids, read_batch
from etl.ingest.quarantine import refused
from etl.reidentification_table import open_segment, segment_paths
from etl.warehouse.delta import open_table
from etl.warehouse.garbage import unread
from etl.warehouse.release import Release, open_release, release_ids
from etl.warehouse.staged_files import STAGING
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
TABLES = ("patient", "encounter", "practitioner", "_identity", "_link", "_identifier")
PROTOCOL = ("land", "resolve", "identity", "gate", "commit", "publish", "release", "rename", "state", "pin", "redact")
EACH_FILE = ("stage file", "merge file", "rewrite")
"""Steps of which, in the main job, every call is a place to die; of the second sort just after it."""
KILLS = {
    "load": (42, 24),
    "first load": (10, 6),
    "deletions": (8, 6),
    "objection": (10, 6),
    "withdrawal": (8, 6),
    "compact": (16, 10),
    "rebuild": (8, 6),
    "vacuum": (12, 8),
    "erase": (16, 8),
}
"""Command → kills at named steps, kills at random instants; of the cheap ones more. `make test` takes every sixth."""
SHARES = pytest.mark.parametrize(
    "share", [pytest.param(6, id="sixth"), pytest.param(1, id="all", marks=pytest.mark.long)]
)


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
def forge(forges: SimpleQueue[Forge]) -> Forge:
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


@contextmanager
def _borrowed(forges: SimpleQueue[Forge]) -> Iterator[Forge]:
    forge = forges.get()
    try:
        yield forge
    finally:
        forges.put(forge)


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


def check_readable(home: Path, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Every release is as it was before the command or as it is after it; answers the releases."""
    now = contents(home)
    assert before.keys() & after.keys() <= now.keys() <= before.keys() | after.keys()
    for name, content in now.items():
        assert content in (before.get(name), after.get(name)), f"{name} is neither the old nor the new"
    if now:
        check_counts(open_release(home / "warehouse"))
    assert max(now, default="") in (max(before, default=""), max(after, default=""))
    return now


def check_same(now: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The same releases; a rebuild that had published makes the same once more."""
    assert {name: now.get(name) for name in wanted} == wanted
    assert [now[name] for name in now.keys() - wanted.keys()] in ([], [wanted[max(wanted)]])


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
        home = self.copy()
        with _borrowed(self.forges) as forge:
            alive = self._crash(home, forge, at, after)
        shutil.rmtree(home)
        return alive

    def _crash(self, home: Path, forge: Forge, at: At | None, after: float | None) -> bool:
        first = forge.run(home, self.command, at, after)
        assert not first["hung"]
        if not first["killed"]:
            assert at is None, f"never came by {at}"
            return False
        self.check_after(home, forge)
        return True

    def check_after(self, home: Path, forge: Forge) -> None:
        """What stands reads whole; the same command, run again, finishes.

        An erasure killed after its very last step, when its note of what it erases is gone, says that nobody is left.
        """
        finished = check_readable(home, self.before, self.after) == self.after
        again = forge.run(home, self.command)
        assert "value" in again or (finished and "no kept release has a row of this patient" in again["sentence"]), (
            again
        )
        check_same(contents(home), self.after)
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


@SHARES
@pytest.mark.parametrize("name", COMMANDS)
def test_any_command_killed_at_its_steps_shows_nothing_and_a_rerun_finishes(scene: Any, name: str, share: int) -> None:
    """So many of the command's named steps, evenly from the first to the last; of the load, those of the protocol."""
    points = scene(name).points()
    if name == "load":
        points = [at for at in points if at.step in PROTOCOL or (at.step in EACH_FILE and at.when == "after")]
    _crash_at(scene(name), _spread(points, max(2, KILLS[name][0] // share)))


@SHARES
@pytest.mark.parametrize("name", COMMANDS)
def test_any_command_killed_at_random_shows_nothing_and_a_rerun_finishes(scene: Any, name: str, share: int) -> None:
    """Instants drawn from the whole length of an uninterrupted run; one that had ended before counts for nothing."""
    chance, played = random.Random(name), scene(name)
    killed, wanted = 0, KILLS[name][1] // share
    while killed < wanted:
        instants = [chance.uniform(0, played.seconds) for _ in range(wanted - killed)]
        with ThreadPoolExecutor(HANDS) as hands:
            killed += sum(hands.map(lambda after: played.crash(after=after), instants))


def test_kills_are_200_at_least() -> None:
    assert sum(sum(kills) for kills in KILLS.values()) >= 200


def test_a_run_killed_while_it_mends_is_mended_by_the_next(scene: Any) -> None:
    """A load dies between two commits; the next one dies in each step of the roll-back; the third finishes."""
    load = scene("load")
    for step, when in [("restore", "before"), ("restore", "after"), ("recover", "after"), ("delete", "before")]:
        home = load.copy()
        with _borrowed(load.forges) as forge:
            assert forge.run(home, load.command, At("commit", "after", 5))["killed"]
            assert forge.run(home, load.command, At(step, when, 1))["killed"]
            load.check_after(home, forge)


def test_what_a_killed_run_left_does_not_upset_another_command(scene: Any) -> None:
    """After a load that died between two commits, a vacuum and an erasure do their work; then the load does."""
    load = scene("load")
    home = load.copy()
    with _borrowed(load.forges) as forge:
        assert forge.run(home, load.command, At("commit", "after", 5))["killed"]
        for command in (("vacuum",), ("erase", "Patient/p2"), load.command):
            assert "value" in forge.run(home, command)
        check_counts(open_release(home / "warehouse"))
        check_tidy(home)


def test_an_older_release_keeps_a_table_whose_view_has_gone(scene: Any) -> None:
    """The last release has no such table: what a killed run left is mended, and the table is not taken for garbage."""
    load = scene("load")
    home = load.copy()
    last = home / "warehouse" / "releases" / "r000003.json"
    told = json.loads(last.read_text())
    del told["tables"]["practitioner"]
    last.write_text(json.dumps(told))
    with _borrowed(load.forges) as forge:
        assert forge.run(home, load.command, At("gate", "after", 1))["killed"]
        assert "value" in forge.run(home, ("vacuum", "3"))
    check_counts(open_release(home / "warehouse", "r000002"))


# Two at once.


def test_a_second_writer_is_told_who_holds_the_lock_and_a_dead_holder_frees_it(scene: Any) -> None:
    load = scene("load")
    home = load.copy()
    holder, other = Forge.start(), Forge.start()
    try:
        holder.send(home, ("hold",))
        _wait_for(home / "is held")
        pid = int((home / "is held").read_text())
        for command in (load.command, ("vacuum",), ("compact",), ("erase", "Patient/p2")):
            told = other.run(home, command)
            assert told["error"] == "BusyError"
            assert re.search(rf"written by process {pid} since 20\d\d-\d\d-\d\dT[\d:]+\+00:00; wait", told["sentence"])
        check_readable(home, load.before, load.before)
        os.kill(pid, signal.SIGKILL)
        assert holder.hear()["killed"]
        load.check_after(home, other)
    finally:
        holder.stop()
        other.stop()


def _wait_for(path: Path) -> None:
    while not (path.exists() and path.read_text()):
        time.sleep(0.01)


# Damaged files.


def _data_files(home: Path, table: str) -> list[Path]:
    return [Path(name) for name in open_release(home / "warehouse").files(table)]


def _flip(path: Path, start: int, length: int) -> None:
    content = bytearray(path.read_bytes())
    place = start % len(content)
    for at in range(place, place + length):
        content[at] ^= 0xFF
    path.write_bytes(content)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a page": lambda path: _flip(path, 60, 8),
    "the footer": lambda path: _flip(path, -40, 20),
    "its end": lambda path: _flip(path, -8, 8),
    "truncated": _truncate,
    "missing": Path.unlink,
}
SENTENCE = r"^table \w+ is damaged: .* restore the warehouse zone from its backup, or .* `erios etl rebuild`"


DAMAGED = ("encounter", "_ledger", "_identity", "_identifier")
DAMAGES = [
    pytest.param(damage, table, marks=() if DAMAGED[number % len(DAMAGED)] == table else pytest.mark.long)
    for number, damage in enumerate(DAMAGE)
    for table in DAMAGED
]
"""`make test` takes each damage, and each table, at least once."""


@pytest.mark.parametrize(("damage", "table"), DAMAGES)
def test_a_load_that_meets_a_damaged_file_says_so_and_a_rebuild_heals(scene: Any, damage: str, table: str) -> None:
    """Every file of the table is damaged: nothing new is published from it, and it is not needed for a rebuild."""
    load = scene("load")
    home = load.copy()
    for path in _data_files(home, table):
        DAMAGE[damage](path)
    with _borrowed(load.forges) as forge:
        told = forge.run(home, load.command)
        assert told.get("ours"), told
        assert re.search(SENTENCE, told["sentence"]), told
        assert release_ids(home / "warehouse") == list(load.before)
        assert not (home / "warehouse" / STAGING).exists()
        assert "value" in forge.run(home, ("rebuild",))
    check_counts(open_release(home / "warehouse"))
    with duckdb.connect() as sql:
        healed, wanted = _content(open_release(home / "warehouse"), sql)["rows"], load.after["r000004"]["rows"]
    assert {name: healed[name] for name in TABLES} == {name: wanted[name] for name in TABLES}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_reader_of_a_damaged_file_is_told_the_table(scene: Any, damage: str) -> None:
    """A missing or shortened file at once, a page by ``check``, which reads every byte."""
    home = scene("load").copy()
    release = open_release(home / "warehouse")
    DAMAGE[damage](_data_files(home, "patient")[0])
    with pytest.raises(StorageError, match=SENTENCE):
        release.check("patient")
    if damage in ("its end", "truncated", "missing"):
        with pytest.raises(StorageError, match=SENTENCE):
            release.duckdb("patient")
    release.check("encounter")


def test_a_damaged_delta_log_or_release_is_one_sentence(scene: Any) -> None:
    home = scene("load").copy()
    for path in (home / "warehouse" / "tables" / "patient" / "_delta_log").glob("*.json"):
        path.write_text("{")
    with pytest.raises(ReleaseError, match=r"table patient at version \d+ cannot be opened"):
        open_release(home / "warehouse").duckdb("patient")
    with _borrowed(scene("load").forges) as forge:
        told = forge.run(home, COMMANDS["load"])
        assert told.get("ours"), told
        (home / "warehouse" / "releases" / "r000003.json").write_text("{")
        told = forge.run(home, COMMANDS["load"])
    assert "release r000003 is damaged" in told["sentence"]


# A disk that fills, a permission lost, a task that fails.


@pytest.mark.parametrize(
    "step", ["land", "stage file", "resolve", "identity", "merge file", "gate", "commit", "publish"]
)
def test_a_disk_that_fills_is_one_sentence_and_a_rerun_finishes(scene: Any, step: str) -> None:
    """From that step on no file may grow: staging, lists, fold, commits, release; the roll-back has no room either."""
    load = scene("load")
    home = load.copy()
    nth = 3 if step == "commit" else 1
    with _borrowed(load.forges) as forge:
        told = forge.run(home, load.command, At(step, "before", nth, "dry"))
        assert told.get("error") == "StorageError", told
        assert re.search(r"^cannot write the \w+ zone: a file size limit was reached", told["sentence"])
        assert contents(home) == load.before
        load.check_after(home, forge)


def test_a_small_disk_that_fills_anywhere_is_one_sentence_and_a_rerun_finishes(scene: Any, tmp_path: Path) -> None:
    """A real file system of a few sizes, until one is large enough."""
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs the rights of root")
    try:
        _fill_disks(scene("load"), tmp_path)
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def _fill_disks(load: Scene, disk: Path) -> None:
    home, filler = disk / "home", disk / "filler"
    filled = 0
    for room in (0, 16, 40, 80, 120, 160, 200, 240, 280, 320):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(load.start, home)
        _leave_room(disk, filler, room << 10)
        with _borrowed(load.forges) as forge:
            told = forge.run(home, load.command)
            filler.unlink()
            if told.get("value"):
                break
            assert "the disk is full" in told["sentence"], told
            filled += 1
            load.check_after(home, forge)
    assert filled >= 3


def _leave_room(disk: Path, filler: Path, room: int) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with filler.open("wb") as handle:
        os.posix_fallocate(handle.fileno(), 0, max(1, free - room))


NOBODY = 65534


def test_a_permission_lost_is_one_sentence_and_a_rerun_finishes(scene: Any) -> None:
    """The tables' folders, the folder of releases and the zone itself refuse the service account's writing."""
    if os.getuid():
        pytest.skip("becoming another account needs the rights of root")
    load = scene("load")
    for place in ("tables", "tables/patient/_delta_log", "releases", "."):
        with tempfile.TemporaryDirectory() as folder, _borrowed(load.forges) as forge:
            Path(folder).chmod(0o755)
            home = Path(folder) / "home"
            shutil.copytree(load.start, home)
            _give(home, NOBODY)
            _give(home / "warehouse" / place, 0)
            told = forge.run(home, load.command, user=NOBODY)
            assert told.get("error") == "StorageError", (place, told)
            assert "permission denied" in told["sentence"]
            assert contents(home) == load.before
            _give(home, NOBODY)
            load.check_after(home, forge)


def _give(folder: Path, user: int) -> None:
    """Everything below a folder to an account, and to no other the right to write."""
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user, user)


FAILING = ("stage file", "resolve", "identity", "merge file", "gate", "commit")
FAILURES = [
    pytest.param(act, step, marks=() if number % 2 == (act == "raise") else pytest.mark.long)
    for number, step in enumerate(FAILING)
    for act in ("raise", "interrupt")
]
"""`make test` takes each step once, failures and interruptions in turn."""


@pytest.mark.parametrize(("act", "step"), FAILURES)
def test_a_task_that_fails_leaves_nothing_and_a_rerun_finishes(scene: Any, step: str, act: str) -> None:
    load = scene("load")
    home = load.copy()
    with _borrowed(load.forges) as forge:
        told = forge.run(home, load.command, At(step, "after", 1, act))
        assert told["error"] == {"raise": "ValueError", "interrupt": "KeyboardInterrupt"}[act]
        assert contents(home) == load.before
        check_tidy(home)
        load.check_after(home, forge)


@pytest.mark.parametrize("name", ["compact", "erase", "rebuild"])
def test_another_command_that_fails_leaves_nothing_and_a_rerun_finishes(scene: Any, name: str) -> None:
    played = scene(name)
    step = "state" if name == "erase" else "commit"
    home = played.copy()
    with _borrowed(played.forges) as forge:
        assert forge.run(home, played.command, At(step, "after", 3, "raise"))["error"] == "ValueError"
        assert list(unread(home / "warehouse", release_ids(home / "warehouse"))) == []
        played.check_after(home, forge)
