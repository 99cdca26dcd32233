"""Faults of the warehouse zone, as reported by the operating system, DuckDB or Delta, in one sentence.

Owns the look into the messages of other libraries for a known cause (no space, no permission) or for the name of a
data file; nothing else of such a message is passed on, because it may quote a value.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from pathlib import Path

import duckdb
from deltalake.exceptions import DeltaError

from etl.errors import StorageError, storage_error
from etl.warehouse.data_files import is_whole

_CAUSES = {
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
    "Permission denied": errno.EACCES,
    "Operation not permitted": errno.EPERM,
    "Read-only file system": errno.EROFS,
    "Input/output error": errno.EIO,
}
_DATA_FILE = re.compile(r"tables/(\w+)/(bucket=\d+/[\w-]+\.parquet)")
_TABLE = re.compile(r"tables/(\w+)/_delta_log")


def storage_fault(error: BaseException, table: str | None = None) -> StorageError | None:
    """The sentence for a fault of the warehouse zone's disk or files; None when ``error`` is something else.

    ``table``: the table whose files were being read, for a library that does not name the file.
    """
    if not isinstance(error, OSError | duckdb.Error | DeltaError):
        return None
    text = str(error)
    for words, code in _CAUSES.items():
        if words in text:
            return storage_error(OSError(code, words), _what_failed(text))
    if match := _DATA_FILE.search(text):
        return damaged(match[1], match[2])
    if match := _TABLE.search(text):
        return damaged(match[1], "its log")
    if table and isinstance(error, duckdb.Error):
        return damaged(table, "a file of it")
    return damaged("(unknown)", "a file of it") if type(error) in _NAMELESS else None


def _what_failed(text: str) -> str:
    """What cannot be written: the warehouse zone, or another folder that the message names."""
    folders = [str(Path(path).parent) for path in _PATH.findall(text)]
    elsewhere = [folder for folder in folders if not _WAREHOUSE.search(f"{folder}/")]
    return f"folder {elsewhere[0]}" if elsewhere else "warehouse zone"


_PATH = re.compile(r"""["'](/[^"']+)["']""")
_WAREHOUSE = re.compile(r"/(tables|releases|\.staging)/")
_NAMELESS = (duckdb.Error, duckdb.SerializationException)
"""What DuckDB raises for a Parquet page or footer that makes no sense, without the name of the file."""


def check_whole(paths: Iterable[str]) -> None:
    """Read every byte of data files; StorageError names the table and the file that is not as it was written."""
    for path in map(Path, paths):
        if not is_whole(path):
            raise damaged(path.parts[-3], "/".join(path.parts[-2:]))


def damaged(table: str, what: str) -> StorageError:
    """The sentence for a data file that cannot be read."""
    return StorageError(
        f"table {table} is damaged: {what} is missing or cannot be read; restore the warehouse zone from its backup,"
        f" or compute the table anew with `erios etl rebuild`"
    )
