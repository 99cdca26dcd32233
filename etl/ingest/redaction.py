"""Erasure in the landing zone and in quarantine: the patient's records blanked where they lie.

Owns the only change that landing ever sees. A record is overwritten with spaces, so that every other line keeps its
number and place; so is an entry of a Bundle, whose place then says ``null``. It runs in the driver's process alone:
the patient's ids are clear text here and may not travel in a Spark plan.
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

from etl.ingest.bundles import without_parts
from etl.ingest.landing import DECIDED, DRAFT, Batch, LandedFile, batch_ids, finish_rewrites, read_batch
from etl.ingest.reading import BOM, Chunk, packed
from etl.ingest.transform import Kernel, KernelPlan
from etl.ingest.type_plans import type_plans
from etl.load_config import LoadPlan
from etl.sql import literal

Position = tuple[str, int, str]
"""(file, line, part): where a text stands in its batch."""


@dataclass(frozen=True)
class Blanked:
    """How many texts were blanked in landing, and how many rows left quarantine."""

    landed: int
    quarantined: int


def blank(plan: LoadPlan, references: Sequence[str], keys: frozenset[str], *, landing: bool) -> Blanked:
    """Take the patient out of quarantine and, if asked, out of every landed batch.

    ``references`` are clear (``Patient/ID``, ``Patient?identifier=SYSTEM|VALUE``), ``keys`` the pseudonyms of the
    patient and of their resources.
    """
    words = [re.split(r"[/|]", reference)[-1] for reference in references]
    landed = quarantined = 0
    for name in batch_ids(plan.zones.landing):
        batch = read_batch(plan.zones.landing, name)
        found = set(_positions(plan, batch, words, keys))
        quarantined += _leave_quarantine(plan.zones.quarantine / name, found)
        if landing and found:
            _blank_batch(plan.zones.landing, batch, found)
            landed += len(found)
    return Blanked(landed, quarantined)


def _positions(plan: LoadPlan, batch: Batch, words: Sequence[str], keys: frozenset[str]) -> Iterator[Position]:
    """Texts of the patient: accepted ones by their pseudonyms, refused ones by the mention of an id."""
    kernel_plan = KernelPlan(type_plans(plan.tables), plan.buckets, plan.max_line_bytes)
    with Kernel(kernel_plan, plan.read_key()) as kernel:
        kernel.sql.execute("CREATE TEMP TABLE gone AS SELECT unnest(?) AS key", [sorted(keys)])
        for chunk in packed(
            batch.splits(), plan.zones.landing, chunk_bytes=plan.chunk_bytes, max_line_bytes=plan.max_line_bytes
        ):
            lines = chunk.lines.filter(_mentions(chunk.lines["text"], words))
            if len(lines):
                yield from _in_chunk(kernel, Chunk(lines), words)
    yield from _series(plan, batch, words, keys)


def _series(plan: LoadPlan, batch: Batch, words: Sequence[str], keys: frozenset[str]) -> Iterator[Position]:
    """Landed DICOM series of the patient, whether they were accepted or refused."""
    files = [file for file in batch.files if file.series and file.cuts]
    if not files or plan.dicom is None:
        return
    from etl.dicom.owner import names_patient

    for file in files:
        if names_patient(plan.zones.landing / batch.id / file.name, plan.dicom, plan.read_key(), keys, words):
            yield file.name, 1, ""


def _mentions(texts: pa.ChunkedArray, words: Sequence[str]) -> pa.ChunkedArray:
    found = pa.chunked_array([pa.repeat(pa.scalar(False), len(texts))])
    for word in words:
        found = pc.or_(found, pc.match_substring(texts, word))
    return found


def _in_chunk(kernel: Kernel, chunk: Chunk, words: Sequence[str]) -> Iterator[Position]:
    kernel.load(chunk, 0)
    for resource in kernel.types():
        kernel.evaluate(resource)
        yield from kernel.sql.execute(_HIS.format(resources=kernel.resources_sql(resource))).fetchall()
    exact = [rf"[/\"|]{re.escape(word)}[\"/?|#]" for word in words]
    yield from kernel.sql.execute(_REFUSED, ["|".join(exact)]).fetchall()


_HIS = """
SELECT d.file, d.line, d.part FROM ({resources}) r JOIN doc d USING (seq)
WHERE r.patient_key IN (FROM gone) OR r.resource_key IN (FROM gone)
"""
_REFUSED = "SELECT file, line, part FROM doc WHERE reason IS NOT NULL AND regexp_matches(text, ?)"


def _leave_quarantine(folder: Path, found: set[Position]) -> int:
    """Drop the index rows of these texts; files without a row left go."""
    gone = 0
    for path in sorted(folder.glob("*.parquet")):
        with duckdb.connect() as sql:
            rows = sql.execute(f"SELECT file, line, part FROM read_parquet({literal(path)})").fetchall()
            his = [row for row in rows if row in found]
            if his:
                _rewrite_index(sql, path, his, last=len(his) == len(rows))
            gone += len(his)
    return gone


def _rewrite_index(sql: duckdb.DuckDBPyConnection, path: Path, his: Sequence[Position], *, last: bool) -> None:
    if last:
        path.unlink()
        return
    sql.execute("CREATE TABLE his (file VARCHAR, line BIGINT, part VARCHAR)")
    sql.executemany("INSERT INTO his VALUES (?, ?, ?)", his)
    temporary = path.with_name(f".{path.name}{DRAFT}")
    rest = f"FROM read_parquet({literal(path)}) ANTI JOIN his USING (file, line, part)"
    sql.execute(f"COPY ({rest}) TO {literal(temporary)} (FORMAT parquet)")
    temporary.rename(path)


def _blank_batch(landing: Path, batch: Batch, found: set[Position]) -> None:
    """Write the files anew, then the batch's new list: from that on the change is decided."""
    places: dict[str, dict[int, set[str]]] = {}
    for file, line, part in found:
        places.setdefault(file, {}).setdefault(line, set()).add(part)
    folder = landing / batch.id
    files = tuple(_blank_file(folder, f, places[f.name]) if f.name in places else f for f in batch.files)
    temporary = folder / ".batch.json"
    temporary.write_text(json.dumps(asdict(replace(batch, files=files)), indent=1, ensure_ascii=False))
    temporary.rename(folder / DECIDED)
    finish_rewrites(landing)


def _blank_file(folder: Path, file: LandedFile, places: Mapping[int, set[str]]) -> LandedFile:
    if file.series:
        (folder / f".{file.name}{DRAFT}").write_bytes(b"")
        return replace(file, size=0, sha256=hashlib.sha256().hexdigest(), cuts=())
    path, temporary = folder / file.name, folder / f".{file.name}{DRAFT}"
    digest = hashlib.sha256()
    with gzip.open(path) if file.gzip else path.open("rb") as source, temporary.open("wb") as out:
        target = gzip.GzipFile(fileobj=out, mode="wb", mtime=0) if file.gzip else out
        for line in _blanked_lines([source.read()] if file.document else source, places):
            target.write(line)
        if file.gzip:
            target.close()
    digest.update(temporary.read_bytes())
    size = temporary.stat().st_size
    cuts = tuple((0, size, 1) for _ in file.cuts) if file.gzip else file.cuts
    return replace(file, size=size, sha256=digest.hexdigest(), cuts=cuts)


def _blanked_lines(lines: Iterator[bytes] | Sequence[bytes], places: Mapping[int, set[str]]) -> Iterator[bytes]:
    for number, line in enumerate(lines, start=1):
        yield _blanked(line, places[number]) if number in places else line


def _blanked(line: bytes, parts: set[str]) -> bytes:
    """The line with the parts taken out, as long as it was."""
    end = b"\n" if line.endswith(b"\n") else b""
    if "" in parts:
        return b"".ljust(len(line) - len(end)) + end
    start = BOM if line.startswith(BOM) else b""
    return start + without_parts(line.removeprefix(BOM), parts)
