"""The re-identification table: sealed files (segments) of (pseudonym, reference, key_id), one per staging task.

Owns their path (``<folder>/<batch>/<task>-<key id>.sealed``) and content: an Arrow stream inside a seal. They lie
in the identity zone only; a row never leaves this module but to the one who holds the sealing key. A task that runs
again writes the same segment again; a new pseudonym key writes beside the old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from etl.errors import StorageError
from etl.sealing import FindKey, SealingKey, seal, unseal, write_private

if TYPE_CHECKING:
    import duckdb

SCHEMA = pa.schema([("pseudonym", pa.string()), ("reference", pa.string()), ("key_id", pa.string())])
SUFFIX = ".sealed"
_ROWS = "SELECT DISTINCT resource_key, 'Patient/' || id FROM parsed WHERE action = 'put'"
Keep = Callable[["duckdb.DuckDBPyConnection"], None]
"""Takes a transform's connection just after it evaluated the type Patient."""


def segment_path(folder: Path, batch: str, task: int, key_id: str) -> Path:
    """Where a task's segment lies."""
    return folder / batch / f"{task:010d}-{key_id}{SUFFIX}"


@contextmanager
def segment_writer(folder: Path, batch: str, task: int, key: SealingKey) -> Iterator[Keep]:
    """Collect the task's patients and, when all went well, write them as one segment; none, no file.

    The pseudonyms must be those of the key whose id ``key`` bears. Raises StorageError.
    """
    patients: list[pa.Table] = []

    def keep(connection: duckdb.DuckDBPyConnection) -> None:
        rows = connection.sql(_ROWS).to_arrow_table()
        key_ids = pa.repeat(pa.scalar(key.key_id), len(rows))
        patients.append(pa.table([*rows.columns, key_ids], names=SCHEMA.names).cast(SCHEMA))

    yield keep
    rows = pa.concat_tables(patients) if patients else SCHEMA.empty_table()
    if len(rows):
        seal_segment(segment_path(folder, batch, task, key.key_id), rows, key)


def seal_segment(path: Path, rows: pa.Table, key: SealingKey) -> None:
    """Write ``rows`` (columns of SCHEMA) as a sealed file of mode 0600, whole or not at all."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as stream:
        stream.write_table(rows.select(SCHEMA.names).cast(SCHEMA))
    write_private(path, seal(sink.getvalue().to_pybytes(), key, _bound_to(path)))


def open_segment(path: Path, find_key: FindKey) -> pa.Table:
    """The rows of a segment; StorageError when it cannot be read, is damaged or was moved."""
    try:
        sealed = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read the segment {path}: {error.strerror}") from None
    return pa.ipc.open_stream(unseal(sealed, find_key, _bound_to(path))).read_all()


def segment_paths(folder: Path) -> list[Path]:
    """All segments, the newest batch first (batch ids sort by the time of receiving)."""
    return sorted(folder.glob(f"*/*{SUFFIX}"), key=lambda path: (path.parent.name, path.name), reverse=True)


def find_reference(folder: Path, pseudonym: str, find_key: FindKey) -> str | None:
    """The reference behind a pseudonym, from the newest segment that has it."""
    for path in segment_paths(folder):
        rows = open_segment(path, find_key)
        if len(rows := rows.filter(pc.equal(rows["pseudonym"], pseudonym))):
            return str(rows["reference"][0].as_py())
    return None


def forget(folder: Path, pseudonyms: Sequence[str], find_key: FindKey) -> int:
    """Rewrite every segment without the rows of ``pseudonyms`` (an erasure); returns how many rows.

    What killed tasks left half-written goes too, so no load may run meanwhile.
    """
    for draft in folder.glob(f"*/.*{SUFFIX}.*"):
        draft.unlink()
    gone = 0
    for path in segment_paths(folder):
        rows = open_segment(path, find_key)
        named = pc.is_in(rows["pseudonym"], value_set=pa.array(pseudonyms, pa.string()))
        if count := pc.sum(named).as_py() or 0:
            _keep_only(path, rows.filter(pc.invert(named)), find_key)
            gone += count
    return gone


def _keep_only(path: Path, rows: pa.Table, find_key: FindKey) -> None:
    if len(rows):
        seal_segment(path, rows, find_key(rows["key_id"][0].as_py()))
    else:
        path.unlink()


def _bound_to(path: Path) -> str:
    """What a segment's seal is bound to: the folder of its batch and its name."""
    return f"reidentification/{path.parent.name}/{path.name}"
