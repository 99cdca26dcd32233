"""What other libraries say when a disk or a file fails becomes one sentence of ours, without anything else they say."""

from __future__ import annotations

import errno
from pathlib import Path

import duckdb
import pytest
from deltalake.exceptions import CommitFailedError

from etl.errors import StorageError
from etl.warehouse.data_files import new_path, stamp
from etl.warehouse.storage_faults import check_whole, storage_fault

PLACE = "/w/tables/patient/bucket=3/3a4b5c6d-3fffffff-0123456789abcdef-0123456789abcdef.parquet"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/w/x"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/w/x"), "permission denied"),
        (duckdb.IOException('IO Error: Could not write "/w/x": File too large'), "a file size limit was reached"),
        (CommitFailedError("Generic error: Permission denied (os error 13)"), "permission denied"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (duckdb.InvalidInputException(f"No magic bytes at the end of '{PLACE}' Durand"), "table patient is damaged"),
        (FileNotFoundError(errno.ENOENT, "No such file", PLACE), "table patient is damaged: bucket=3/3a4b5c6d"),
        (CommitFailedError("invalid JSON in tables/_link/_delta_log/00.json"), "table _link is damaged: its log"),
        (duckdb.Error("don't know what type: Durand"), "table (unknown) is damaged"),
    ],
)
def test_a_fault_of_the_zone_is_a_sentence_that_quotes_nothing(error: Exception, words: str) -> None:
    fault = storage_fault(error)
    assert words in str(fault)
    assert "Durand" not in str(fault)


@pytest.mark.parametrize(
    "error", [ValueError("No space left on device"), duckdb.ConversionException("Durand"), FileNotFoundError(2, "x")]
)
def test_anything_else_is_no_fault_of_the_zone(error: Exception) -> None:
    assert storage_fault(error) is None


def test_every_flipped_byte_of_a_stamped_file_is_noticed(tmp_path: Path) -> None:
    draft = new_path(3, "3a4b5c6d", "3fffffff")
    (tmp_path / draft).parent.mkdir()
    (tmp_path / draft).write_bytes(b"0123456789")
    path = tmp_path / stamp(tmp_path, draft)
    check_whole([str(path)])
    for at in range(10):
        content = bytearray(b"0123456789")
        content[at] ^= 1
        path.write_bytes(content)
        with pytest.raises(StorageError, match=rf"is damaged: bucket=3/{path.name}"):
            check_whole([str(path)])
