"""Which version of a resource counts: the order of versions, duplicates, deletions, and what is withheld."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from etl.errors import StorageError
from etl.merge.versions import ResolveTask, list_sql, resolve_versions
from etl.warehouse.columns import IDENTITY_COLUMNS, LEDGER_COLUMNS
from etl.warehouse.staged_files import REREAD, SEQ_BITS
from tests.unit.etl.merge.parquet import Row, read, write

STAGED = {
    "seq": "BIGINT",
    **{name: kind for name, kind in LEDGER_COLUMNS.items() if name not in ("withheld", "generation")},
    "bucket": "INTEGER",
}
READ_AGAIN = REREAD << SEQ_BITS
"""The first number of rows that come from an earlier batch."""


def staged(seq: int, key: str = "e1", **changes: Any) -> Row:
    """A staged version of an encounter of patient p1."""
    row = {
        "seq": seq,
        "resource_type": "Encounter",
        "resource_key": key,
        "patient_key": "p1",
        "_last_updated": "2030-01-01T00:00:00Z",
        "_version": "1",
        "_hash": 7,
        "deleted": False,
        "bucket": 0,
    }
    return tuple({**row, **changes}.values())


def known(key: str = "e1", **changes: Any) -> Row:
    """A version that the ledger holds."""
    row = {
        "resource_type": "Encounter",
        "resource_key": key,
        "patient_key": "p1",
        "_last_updated": "2030-01-01T00:00:00Z",
        "_version": "1",
        "_hash": 7,
        "deleted": False,
        "withheld": False,
        "generation": 1,
    }
    return tuple({**row, **changes}.values())


@dataclass
class Result:
    """Outcomes of encounters, and the three lists."""

    outcomes: dict[str, int]
    discarded: list[int]
    replaced: list[Row]
    resolved: list[int] = field(default_factory=list)


Resolve = Callable[..., Result]


@pytest.fixture
def resolve(tmp_path: Path) -> Resolve:
    """Resolve staged rows against ledger and identity."""

    def run(rows: Sequence[Row], present: Sequence[Row] = (), identity: Sequence[Row] = (), **changes: Any) -> Result:
        task = ResolveTask(
            **{
                "first": 0,
                "last": 0,
                "staged": (write(tmp_path / "staged" / "1.parquet", STAGED, rows),),
                "ledger": (write(tmp_path / "ledger" / "00000000-ffffffff-a.parquet", LEDGER_COLUMNS, present),),
                "identity": (write(tmp_path / "identity" / "00000000-ffffffff-a.parquet", IDENTITY_COLUMNS, identity),),
                "lists": tmp_path,
                "scratch": tmp_path,
                **changes,
            }
        )
        found = resolve_versions(task)
        discarded, replaced, lasting = (read(tmp_path / name) for name in ("discarded", "replaced", "resolved"))
        return Result(
            dict(found.outcomes["Encounter"]), [seq for (seq,) in discarded], replaced, [row[0] for row in lasting]
        )

    return run


EARLY, LATE = {"_last_updated": "2030-01-01T00:00:00Z"}, {"_last_updated": "2030-01-02T00:00:00Z"}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (EARLY, LATE),
        ({"_last_updated": None, "_version": "9"}, EARLY),
        ({"_version": "9"}, {"_version": "10"}),
        ({"_version": None, "_hash": 9}, {"_version": "1"}),
        ({"_version": "b"}, {"_version": "1"}),
        ({"_version": "a"}, {"_version": "b"}),
        ({"_version": None, "_hash": 9}, {"_version": "a"}),
        ({"_version": "01"}, {"_version": "1"}),
        ({"_hash": 7}, {"_hash": 8}),
        ({**EARLY, "_version": "9", "_hash": 9}, {**LATE, "_version": "1", "_hash": 1}),
        ({"_version": "1", "_hash": 9}, {"_version": "2", "_hash": 1}),
        ({}, {"deleted": True}),
    ],
)
@pytest.mark.parametrize("newer_first", [True, False])
def test_the_newest_version_counts_whatever_the_order(
    resolve: Resolve, older: dict[str, Any], newer: dict[str, Any], newer_first: bool
) -> None:
    old, new = (2, 1) if newer_first else (1, 2)
    result = resolve([staged(old, **older), staged(new, **newer)])

    wins = "deleted" if newer.get("deleted") else "written"
    assert result == Result({wins: 1, "superseded": 1}, [old], [], [new])


def test_a_resource_that_came_once_is_written_and_nothing_is_replaced(resolve: Resolve) -> None:
    assert resolve([staged(1)]) == Result({"written": 1}, [], [], [1])
    assert resolve([staged(1, deleted=True)]) == Result({"deleted": 1}, [], [], [1])


def test_copies_of_one_version_count_once_and_the_first_lasts(resolve: Resolve) -> None:
    result = resolve([staged(3), staged(1), staged(2), staged(4, **LATE), staged(5, **LATE)])

    assert result == Result({"written": 1, "superseded": 1, "duplicates": 3}, [1, 2, 3, 5], [], [4])


def test_a_copy_of_an_old_version_is_a_duplicate_and_not_superseded(resolve: Resolve) -> None:
    assert resolve([staged(1, **LATE), staged(2), staged(3)]).outcomes == {
        "written": 1,
        "superseded": 1,
        "duplicates": 1,
    }


def test_a_newer_version_replaces_the_one_of_the_ledger_where_its_rows_lie(resolve: Resolve) -> None:
    result = resolve([staged(1, **LATE)], [known(), known("other")])

    assert result == Result({"written": 1}, [], [("Encounter", "e1", "p1")], [1])


def test_rows_lie_with_the_patient_that_the_identity_names(resolve: Resolve) -> None:
    identity = [("p1", "p9", False, False, False), ("p2", "p8", False, False, False)]

    assert resolve([staged(1, **LATE)], [known()], identity).replaced == [("Encounter", "e1", "p9")]


def test_rows_of_no_patient_lie_by_their_own_key(resolve: Resolve) -> None:
    assert resolve([staged(1, **LATE)], [known(patient_key=None)]).replaced == [("Encounter", "e1", "e1")]


def test_an_older_version_does_not_replace_the_one_of_the_ledger(resolve: Resolve) -> None:
    assert resolve([staged(1)], [known(**LATE)]) == Result({"superseded": 1}, [1], [], [])


def test_the_same_version_again_is_a_duplicate(resolve: Resolve) -> None:
    assert resolve([staged(1)], [known()]) == Result({"duplicates": 1}, [1], [], [])


def test_a_deletion_replaces_and_a_deleted_resource_stays_deleted(resolve: Resolve) -> None:
    gone = resolve([staged(1, **LATE, deleted=True)], [known()])
    assert gone == Result({"deleted": 1}, [], [("Encounter", "e1", "p1")], [1])

    assert resolve([staged(1)], [known(**LATE, deleted=True)]) == Result({"superseded": 1}, [1], [], [])


def test_the_row_of_the_greatest_generation_is_the_ledgers(resolve: Resolve) -> None:
    ledger = [known(generation=1), known(**LATE, generation=3), known(generation=2, _hash=99)]

    assert resolve([staged(1)], ledger).outcomes == {"superseded": 1}
    assert resolve([staged(1, _hash=100)], ledger[:1] + ledger[2:]).outcomes == {"written": 1}


def test_only_buckets_of_the_range_are_looked_at(resolve: Resolve) -> None:
    rows = [staged(n, f"e{n}", bucket=n) for n in range(5)]

    assert resolve(rows, first=1, last=3).resolved == [1, 2, 3]


OBJECTING = [("p1", "p1", False, True, True)]


def test_a_withheld_version_of_an_objector_keeps_its_copies_out(resolve: Resolve) -> None:
    result = resolve([staged(1)], [known(withheld=True)], OBJECTING)

    assert result == Result({"objected": 1}, [1], [], [])


def test_a_withheld_version_of_somebody_who_does_not_object_makes_its_copies_duplicates(resolve: Resolve) -> None:
    assert resolve([staged(1)], [known(withheld=True)]) == Result({"duplicates": 1}, [1], [], [])


def test_a_withheld_version_read_again_takes_its_own_place(resolve: Resolve) -> None:
    """The outcomes are no part of this batch's account."""
    result = resolve([staged(READ_AGAIN)], [known(withheld=True)])

    assert result == Result({}, [], [("Encounter", "e1", "p1")], [READ_AGAIN])


def test_a_version_read_again_comes_before_the_same_one_of_the_batch(resolve: Resolve) -> None:
    assert resolve([staged(1), staged(READ_AGAIN)], [known(withheld=True)]) == Result(
        {"duplicates": 1}, [1], [("Encounter", "e1", "p1")], [READ_AGAIN]
    )


def test_a_newer_version_supersedes_a_withheld_one(resolve: Resolve) -> None:
    result = resolve([staged(1, **LATE)], [known(withheld=True)], OBJECTING)

    assert result == Result({"written": 1}, [], [("Encounter", "e1", "p1")], [1])


def test_an_older_version_gives_way_to_a_withheld_one(resolve: Resolve) -> None:
    assert resolve([staged(1)], [known(**LATE, withheld=True)]).outcomes == {"superseded": 1}


def test_a_version_that_counts_is_not_barred_by_an_objection(resolve: Resolve) -> None:
    """Only versions that were withheld are; of the others the merge makes no rows."""
    assert resolve([staged(1, **LATE)], [known()], OBJECTING).outcomes == {"written": 1}
    assert resolve([staged(1)], [known()], OBJECTING).outcomes == {"duplicates": 1}


def test_ledger_rows_of_what_lasts_say_everything_of_the_version(resolve: Resolve, tmp_path: Path) -> None:
    resolve([staged(1, **LATE, _version="3", _hash=5, deleted=True)])

    (row,) = read(tmp_path / "resolved", "* EXCLUDE (_last_updated), _last_updated::TIMESTAMP::VARCHAR")
    assert row == (1, "Encounter", "e1", "p1", "3", 5, True, "2030-01-02 00:00:00")


def test_a_damaged_ledger_is_refused(resolve: Resolve, tmp_path: Path) -> None:
    damaged = write(tmp_path / "bucket=0" / "00000000-ffffffff-a-0123456789abcdef.parquet", LEDGER_COLUMNS, [known()])

    with pytest.raises(StorageError, match="damaged"):
        resolve([staged(1)], ledger=(damaged,))


def test_an_empty_list_has_no_file_and_reads_as_no_row(resolve: Resolve, tmp_path: Path) -> None:
    resolve([staged(1)])

    assert not list((tmp_path / "discarded").glob("*"))
    assert read(tmp_path / "resolved", "seq") == [(1,)]
    assert "WHERE false" in list_sql(tmp_path, "discarded", {"seq": "BIGINT"})
    assert "resolved" in list_sql(tmp_path, "resolved", {"seq": "BIGINT"})
