"""From the bytes of a split to Arrow tables of texts: the only place that sees undecoded bytes.

Owns gunzip, the cut into bounded chunks of whole lines, and the refusal of what is no text (invalid UTF-8, a line
beyond the limit). Chunks are bounded, so memory does not grow with the file. No Python object is made per line:
a chunk becomes one Arrow array by its newline offsets.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from etl.errors import InputError
from etl.ingest.file_splits import Split

BOM = b"\xef\xbb\xbf"
BLANKS = " \t\r\n"
"""White space between the tokens of JSON (RFC 8259)."""
_READ = 32 << 20
"""Bytes read at a time: a split of a plain file at once, which is then never copied."""


@dataclass(frozen=True)
class Refusal:
    """A text that cannot become a row: file, line and reason, and its type and id where they are known."""

    file: str
    line: int
    reason: str
    type: str | None = None
    id: str | None = None


@dataclass
class Chunk:
    """Lines of one or more files: ``lines(file STRING, line BIGINT, text LARGE_STRING)``, and those refused as text.

    A text has no white space around it and is not empty.
    """

    lines: pa.Table
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of text, about."""
        return int(self.lines.nbytes)


ReadSeries = Callable[[Path], "tuple[bytes, Refusal | None]"]
"""Path of a landed DICOM series → the text of a resource, and a refusal where it cannot be read."""


def packed(
    splits: Sequence[Split],
    landing: Path,
    *,
    chunk_bytes: int,
    max_line_bytes: int,
    read_series: ReadSeries | None = None,
) -> Iterator[Chunk]:
    """The chunks of several splits, small ones put together, because a chunk has a fixed cost.

    Series are left out without ``read_series``.
    """
    waiting: list[Chunk] = []
    size = 0
    for split in splits:
        for chunk in chunks(
            split, landing, chunk_bytes=chunk_bytes, max_line_bytes=max_line_bytes, read_series=read_series
        ):
            waiting.append(chunk)
            size += chunk.size
            if size >= chunk_bytes:
                yield _together(waiting)
                waiting, size = [], 0
    if waiting:
        yield _together(waiting)


def _together(parts: Sequence[Chunk]) -> Chunk:
    return Chunk(pa.concat_tables([part.lines for part in parts]), [r for part in parts for r in part.refusals])


def chunks(
    split: Split, landing: Path, *, chunk_bytes: int, max_line_bytes: int, read_series: ReadSeries | None = None
) -> Iterator[Chunk]:
    """The lines of a split in chunks of about ``chunk_bytes``; blank lines are left out, a BOM is cut off."""
    if split.series:
        if read_series is not None:
            yield _series(split, landing, read_series, max_line_bytes)
        return
    with _open(split, landing) as handle:
        if split.document:
            text = _first(handle.read(split.length if not split.gzip else -1))
            yield _chunk(text.replace(b"\n", b" ") + b"\n", split.file, 1, max_line_bytes * 16)
        else:
            yield from _line_chunks(handle, split, chunk_bytes, max_line_bytes)


def _series(split: Split, landing: Path, read_series: ReadSeries, max_line_bytes: int) -> Chunk:
    text, refusal = read_series(landing / split.batch / split.file)
    chunk = _chunk(text + b"\n", split.file, 1, max_line_bytes)
    return replace(chunk, refusals=[replace(refusal, file=split.file, line=1)]) if refusal else chunk


def _open(split: Split, landing: Path) -> IO[bytes]:
    path = landing / split.batch / split.file
    if split.gzip:
        return gzip.open(path)  # type: ignore[return-value]
    handle = path.open("rb")
    handle.seek(split.offset)
    return handle


def _first(block: bytes) -> bytes:
    return block.removeprefix(BOM)


def _line_chunks(handle: IO[bytes], split: Split, chunk_bytes: int, max_line_bytes: int) -> Iterator[Chunk]:
    line, at_start = split.first_line, split.offset == 0
    for block in _whole_lines(handle, split, chunk_bytes, max_line_bytes):
        text = _first(block) if at_start else block
        at_start = False
        yield _chunk(text, split.file, line, max_line_bytes)
        line += block.count(b"\n")


def _whole_lines(handle: IO[bytes], split: Split, chunk_bytes: int, max_line_bytes: int) -> Iterator[bytes]:
    """Blocks that end at a newline; the tail of an endless line is dropped once it is over the limit.

    A small rest of the split stays with its last block: a chunk has a fixed cost.
    """
    left = None if split.gzip else split.length
    pending: list[bytes] = []
    size = 0
    while block := _read(handle, min(_READ, chunk_bytes) if left is None else min(_READ, chunk_bytes, left)):
        left = None if left is None else left - len(block)
        cut = block.rfind(b"\n") + 1
        if not cut and size > max_line_bytes:
            continue
        pending.append(block)
        size += len(block)
        nearly_done = left is not None and left < chunk_bytes // 4
        if cut and size >= chunk_bytes and not nearly_done:
            yield b"".join([*pending[:-1], block[:cut]])
            pending, size = [block[cut:]], len(block) - cut
    if tail := b"".join(pending):
        yield tail if tail.endswith(b"\n") else tail + b"\n"


def _read(handle: IO[bytes], size: int) -> bytes:
    try:
        return handle.read(size) if size else b""
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError("a landed gzip file is damaged; load the export again") from None


def _chunk(block: bytes, file: str, first_line: int, max_line_bytes: int) -> Chunk:
    """``block`` ends with a newline; its lines count from ``first_line``."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10).astype(np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), ends + 1])
    table = _table(block, offsets, file, first_line)
    long = offsets[1:] - offsets[:-1] > max_line_bytes
    keep, refusals = ~long, [_too_long(file, first_line + int(i), max_line_bytes) for i in np.flatnonzero(long)]
    bad = _not_utf8(table["text"])
    keep[bad] = False
    refusals += [Refusal(file, first_line + i, "the line is not valid UTF-8 text") for i in bad if not long[i]]
    table = table.filter(pa.array(keep)) if refusals else table
    return Chunk(_trimmed(table), refusals)


def _too_long(file: str, line: int, limit: int) -> Refusal:
    return Refusal(file, line, f"the line is longer than {limit >> 20} MB")


def _table(block: bytes, offsets: np.ndarray, file: str, first_line: int) -> pa.Table:
    count = len(offsets) - 1
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(block)]
    text = pa.Array.from_buffers(pa.large_binary(), count, buffers)
    columns = {
        "file": pa.repeat(pa.scalar(file), count),
        "line": np.arange(first_line, first_line + count),
        "text": text.view(pa.large_string()),
    }
    return pa.table(columns)


def _not_utf8(text: pa.ChunkedArray) -> list[int]:
    raw = text.cast(pa.large_binary())
    try:
        raw.cast(pa.large_string())  # checks all bytes, fast
    except pa.ArrowInvalid:
        return [place for place, piece in enumerate(raw) if not _decodes(piece.as_py())]
    return []


def _decodes(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def _trimmed(table: pa.Table) -> pa.Table:
    """Without the white space of JSON around each text, and without the lines that are nothing else."""
    text = pc.ascii_trim(table["text"], BLANKS)
    table = table.set_column(table.schema.get_field_index("text"), "text", text)
    full = pc.greater(pc.binary_length(text), 0)
    return table if pc.all(full).as_py() is not False else table.filter(full)
