"""Redaction of the landing zone and of quarantine, in an erasure: the patient's records are overwritten in place.

Owns the only change that landing ever sees. A record is overwritten with spaces, so that every other line keeps its
number and place; so is an entry of a Bundle, whose place then says ``null``. It runs in the driver's process alone:
the patient's ids are clear text here and may not travel in a Spark config.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from etl.files import write_atomically, written_atomically
from etl.ingest.bundles import without_parts
from etl.ingest.landing import DECIDED, DRAFT, Batch, LandedFile, batch_ids, finish_rewrites, read_batch
from etl.ingest.reading import BOM, Chunk, packed
from etl.ingest.resource_type_plans import type_plans
from etl.ingest.transform import ChunkTransform, TransformPlan
from etl.load_config import LoadConfig
from etl.sql import literal

Position = tuple[str, int, str]
"""(file, line, part) of a text in its batch."""


@dataclass(frozen=True)
class Redacted:
    """Number of texts redacted in landing, and of rows removed from quarantine."""

    landed: int
    quarantined: int


def redact(config: LoadConfig, references: Sequence[str], keys: frozenset[str], *, landing: bool) -> Redacted:
    """Remove the patient from quarantine and, if asked, redact every landed batch.

    ``references`` are clear (``Patient/ID``, ``Patient?identifier=SYSTEM|VALUE``), ``keys`` the pseudonyms of the
    patient and of their resources.
    """
    words = [re.split(r"[/|]", reference)[-1] for reference in references]
    landed = quarantined = 0
    for name in batch_ids(config.zones.landing):
        batch = read_batch(config.zones.landing, name)
        positions = set(_positions(config, batch, words, keys))
        quarantined += _leave_quarantine(config.zones.quarantine / name, positions)
        if landing and positions:
            _redact_batch(config.zones.landing, batch, positions)
            landed += len(positions)
    return Redacted(landed, quarantined)


def _positions(config: LoadConfig, batch: Batch, words: Sequence[str], keys: frozenset[str]) -> Iterator[Position]:
    """Positions of the patient's texts: accepted ones by pseudonym, refused ones by an id that they contain."""
    transform_plan = TransformPlan(type_plans(config.tables), config.buckets, config.max_line_bytes)
    with ChunkTransform(transform_plan, config.read_key()) as transform:
        transform.sql.execute("CREATE TEMP TABLE gone AS SELECT unnest(?) AS key", [sorted(keys)])
        for chunk in packed(
            batch.splits(), config.zones.landing, chunk_bytes=config.chunk_bytes, max_line_bytes=config.max_line_bytes
        ):
            lines = chunk.lines.filter(_mentions(chunk.lines["text"], words))
            if len(lines):
                yield from _in_chunk(transform, Chunk(lines), words)
    yield from _series(config, batch, words, keys)


def _series(config: LoadConfig, batch: Batch, words: Sequence[str], keys: frozenset[str]) -> Iterator[Position]:
    """Landed DICOM series of the patient, whether they were accepted or refused."""
    files = [file for file in batch.files if file.series and file.cuts]
    if not files or config.dicom is None:
        return
    from etl.dicom.series_patient import names_patient  # pydicom: only where a batch has DICOM

    for file in files:
        if names_patient(config.zones.landing / batch.id / file.name, config.dicom, config.read_key(), keys, words):
            yield file.name, 1, ""


def _mentions(texts: pa.ChunkedArray, words: Sequence[str]) -> pa.ChunkedArray:
    mentioned = pa.chunked_array([pa.repeat(pa.scalar(False), len(texts))])
    for word in words:
        mentioned = pc.or_(mentioned, pc.match_substring(texts, word))
    return mentioned


def _in_chunk(transform: ChunkTransform, chunk: Chunk, words: Sequence[str]) -> Iterator[Position]:
    transform.load(chunk, 0)
    for resource in transform.types():
        transform.evaluate(resource)
        yield from transform.sql.execute(_OF_PATIENT.format(resources=transform.resources_sql(resource))).fetchall()
    exact = [rf"[/\"|]{re.escape(word)}[\"/?|#]" for word in words]
    yield from transform.sql.execute(_REFUSED, ["|".join(exact)]).fetchall()


_OF_PATIENT = """
SELECT d.file, d.line, d.part FROM ({resources}) r JOIN doc d USING (seq)
WHERE r.patient_key IN (FROM gone) OR r.resource_key IN (FROM gone)
"""
_REFUSED = "SELECT file, line, part FROM doc WHERE reason IS NOT NULL AND regexp_matches(text, ?)"


def _leave_quarantine(folder: Path, positions: set[Position]) -> int:
    """Remove the index rows of these texts; files without a row left are deleted."""
    gone = 0
    for path in sorted(folder.glob("*.parquet")):
        with duckdb.connect() as sql:
            rows = sql.execute(f"SELECT file, line, part FROM read_parquet({literal(path)})").fetchall()
            refused_rows = [row for row in rows if row in positions]
            if refused_rows:
                _rewrite_index(sql, path, refused_rows, last=len(refused_rows) == len(rows))
            gone += len(refused_rows)
    return gone


def _rewrite_index(sql: duckdb.DuckDBPyConnection, path: Path, refused_rows: Sequence[Position], *, last: bool) -> None:
    if last:
        path.unlink()
        return
    sql.execute("CREATE TABLE refused_rows (file VARCHAR, line BIGINT, part VARCHAR)")
    sql.executemany("INSERT INTO refused_rows VALUES (?, ?, ?)", refused_rows)
    rest = f"FROM read_parquet({literal(path)}) ANTI JOIN refused_rows USING (file, line, part)"
    with written_atomically(path) as draft:
        sql.execute(f"COPY ({rest}) TO {literal(draft)} (FORMAT parquet)")


def _redact_batch(landing: Path, batch: Batch, positions: set[Position]) -> None:
    """Write the redacted files as drafts, then the batch's new list, which decides the change; then rename."""
    parts_by_line: dict[str, dict[int, set[str]]] = {}
    for file, line, part in positions:
        parts_by_line.setdefault(file, {}).setdefault(line, set()).add(part)
    folder = landing / batch.id
    files = tuple(_redact_file(folder, f, parts_by_line[f.name]) if f.name in parts_by_line else f for f in batch.files)
    text = json.dumps(asdict(replace(batch, files=files)), indent=1, ensure_ascii=False)
    write_atomically(folder / DECIDED, text.encode())
    finish_rewrites(landing)


def _redact_file(folder: Path, file: LandedFile, parts_by_line: Mapping[int, set[str]]) -> LandedFile:
    if file.series:
        (folder / f".{file.name}{DRAFT}").write_bytes(b"")
        return replace(file, size=0, sha256=hashlib.sha256().hexdigest(), cuts=())
    path, temporary = folder / file.name, folder / f".{file.name}{DRAFT}"
    digest = hashlib.sha256()
    with gzip.open(path) if file.gzip else path.open("rb") as source, temporary.open("wb") as out:
        target = gzip.GzipFile(fileobj=out, mode="wb", mtime=0) if file.gzip else out
        for line in _redacted_lines([source.read()] if file.document else source, parts_by_line):
            target.write(line)
        if file.gzip:
            target.close()
    digest.update(temporary.read_bytes())
    size = temporary.stat().st_size
    cuts = tuple((0, size, 1) for _ in file.cuts) if file.gzip else file.cuts
    return replace(file, size=size, sha256=digest.hexdigest(), cuts=cuts)


def _redacted_lines(lines: Iterator[bytes] | Sequence[bytes], parts_by_line: Mapping[int, set[str]]) -> Iterator[bytes]:
    for number, line in enumerate(lines, start=1):
        yield _redacted(line, parts_by_line[number]) if number in parts_by_line else line


def _redacted(line: bytes, parts: set[str]) -> bytes:
    """The line with the parts overwritten; its length stays."""
    end = b"\n" if line.endswith(b"\n") else b""
    if "" in parts:
        return b"".ljust(len(line) - len(end)) + end
    start = BOM if line.startswith(BOM) else b""
    return start + without_parts(line.removeprefix(BOM), parts)
