"""Writes the hospital to a folder: batches of people, manifest, bundles, the list of planted faults.

The number of processes changes no byte: batches have a fixed size, one process writes all of a batch to files of its
own, and each person has random streams of their own.
"""

from __future__ import annotations

import csv
import os
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import orjson

from etl.errors import InputError
from etl.synthetic.clock import MINUTES_A_DAY, day_of, instant
from etl.synthetic.hospital import Hospital, build_hospital, structure
from etl.synthetic.patient_course import Streams, simulate, streams
from etl.synthetic.planted_faults import Planted, plant_fault
from etl.synthetic.records import records_of

if TYPE_CHECKING:
    from etl.synthetic.phantoms import Lesion

PEOPLE_PER_BATCH = 400
PLANTED, LESIONS = "planted.csv", "lesions.csv"
MANIFEST = "manifest.json"
_REFERENCE = re.compile(rb'"reference":"([A-Z][A-Za-z]+/[0-9a-f]{16})"')
_BUFFER = 1 << 18


@dataclass(frozen=True, slots=True)
class Counts:
    """What was written: lines by resource type, files, bytes, planted faults by outcome, and DICOM files."""

    types: dict[str, int]
    files: int
    bytes: int
    planted: dict[str, int]
    images: int = 0

    @property
    def resources(self) -> int:
        """All lines (or bundle entries) written."""
        return sum(self.types.values())


@dataclass(frozen=True, slots=True)
class Batch:
    """The work of one process: people `first` to `last` (excluded) of the hospital of `seed`."""

    out: Path
    seed: int
    today: int
    number: int
    first: int
    last: int
    dirty: float
    bundles: bool
    imaging: int = 0


@dataclass(slots=True)
class BatchOutput:
    """What was written of a batch: lines by (resource type, file name), bytes, faults, DICOM files, lesions."""

    lines: Counter[tuple[str, str]] = field(default_factory=Counter)
    bytes: int = 0
    planted: list[Planted] = field(default_factory=list)
    images: int = 0
    lesions: list[tuple[str, str, Lesion]] = field(default_factory=list)


def export_day(seed: int) -> int:
    """The day on which the export of a seed is made, days since 1970; within the first three quarters of 2026."""
    return day_of(2026, 1, 5) + seed * 37 % 270


def generate(
    out: Path,
    patients: int,
    seed: int,
    *,
    bundles: bool = False,
    dirty: float = 0.0,
    imaging: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Counts:
    """Writes the demonstration hospital to the folder `out`, laid out as a Bulk Data export, or as bundles.

    The first `imaging` patients have images too, in DICOM below `out/dicom`. Same `patients`, `seed`, `bundles`,
    `dirty` and `imaging`: same bytes, for any number of `workers` (all cores without it). `progress` is called with
    (patients done, all patients). Raises InputError for values out of range or a folder that is not empty. Sources:
    FHIR R4, FR Core 2.1, FHIR Bulk Data Access 2.0, DICOM PS3.3.
    """
    _check(out, patients, seed, dirty, bundles)
    if not 0 <= imaging <= patients:
        raise InputError(f"images of {imaging} patients: give a number from 0 to {patients}")
    if imaging and bundles:
        raise InputError("images lie beside a Bulk Data export: ask for them without bundles")
    out.mkdir(parents=True, exist_ok=True)
    today = export_day(seed)
    batches = [
        Batch(out, seed, today, number, first, min(first + PEOPLE_PER_BATCH, patients), dirty, bundles)
        for number, first in enumerate(range(0, patients, PEOPLE_PER_BATCH))
    ]
    batches = [replace(batch, imaging=max(0, min(imaging, batch.last) - batch.first)) for batch in batches]
    total = _write_structure(out, build_hospital(seed, today), bundles)
    for batch, written in zip(batches, _write_batches(batches, workers), strict=True):
        total.lines += written.lines
        total.bytes += written.bytes
        total.planted += written.planted
        total.images += written.images
        total.lesions += written.lesions
        if progress:
            progress(batch.last, patients)
    return _finish(out, total, today, bundles, dirty)


def _check(out: Path, patients: int, seed: int, dirty: float, bundles: bool) -> None:
    if patients < 1:
        raise InputError(f"{patients} patients: ask for one or more")
    if seed < 0:
        raise InputError(f"seed {seed}: give a total number from 0 up")
    if not 0.0 <= dirty <= 1.0:
        raise InputError(f"dirty rate {dirty}: give a share between 0 and 1")
    if dirty and bundles:
        raise InputError("faults are planted line by line: use the dirty rate without bundles")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not an empty folder: name a new one")


def _write_batches(batches: list[Batch], workers: int | None) -> Iterator[BatchOutput]:
    processes = min(len(batches), workers or os.cpu_count() or 1)
    if processes == 1:
        yield from map(write_batch, batches)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(write_batch, batches)


class _Files:
    """The open NDJSON files of a batch, one a resource type."""

    def __init__(self, out: Path, number: int, written: BatchOutput) -> None:
        self._out, self._number, self._written = out, number, written
        self._open: dict[str, tuple[BinaryIO, str]] = {}

    def add(self, kind: str, line: bytes) -> tuple[str, int]:
        """Append a line to the file of its type; returns the file's name and the line's number."""
        if kind not in self._open:
            name = f"{kind}.{self._number:03d}.ndjson"
            self._open[kind] = (self._out / name).open("wb", _BUFFER), name
        handle, name = self._open[kind]
        handle.write(line)
        handle.write(b"\n")
        self._written.bytes += len(line) + 1
        self._written.lines[kind, name] += 1
        return name, self._written.lines[kind, name]

    def close(self) -> None:
        for handle, _ in self._open.values():
            handle.close()


def write_batch(batch: Batch) -> BatchOutput:
    """Writes the people of a batch; runs in a process of its own."""
    hospital, written = build_hospital(batch.seed, batch.today), BatchOutput()
    if batch.bundles:
        for index in range(batch.first, batch.last):
            _write_bundle(batch.out / f"bundle-{index:07d}.json", _lines(batch, hospital, index), written)
        return written
    files = _Files(batch.out, batch.number, written)
    try:
        for index in range(batch.first, batch.last):
            _write_person(batch, hospital, index, files, written)
            if index < batch.first + batch.imaging:
                _write_images(batch, hospital, index, files, written)
    finally:
        files.close()
    return written


def _lines(batch: Batch, hospital: Hospital, index: int) -> Iterator[tuple[str, str, bytes]]:
    rngs = streams(batch.seed, index)
    course = simulate(batch.seed, index, batch.today, rngs)
    for resource in records_of(course, hospital, rngs.records):
        yield resource["resourceType"], resource["id"], orjson.dumps(resource)


def _write_person(batch: Batch, hospital: Hospital, index: int, files: _Files, written: BatchOutput) -> None:
    if not batch.dirty:
        for kind, _, line in _lines(batch, hospital, index):
            files.add(kind, line)
        return
    rngs = streams(batch.seed, index)
    is_female = simulate(batch.seed, index, batch.today).person.is_female
    for kind, identity, line in _lines(batch, hospital, index):
        if rngs.faults.random() < batch.dirty:
            _plant(rngs, (kind, identity, line), is_female, files, written)
        else:
            files.add(kind, line)


def _write_images(batch: Batch, hospital: Hospital, index: int, files: _Files, written: BatchOutput) -> None:
    from etl.synthetic.scans import scan  # NumPy and pydicom, which only exports with images need

    scanned = scan(batch.out, hospital, batch.seed, index, batch.today)
    for resource in scanned.resources:
        files.add(resource["resourceType"], orjson.dumps(resource))
    written.images += scanned.files
    written.bytes += scanned.bytes
    written.lesions += scanned.lesions


def _plant(rngs: Streams, entry: tuple[str, str, bytes], is_female: bool, files: _Files, written: BatchOutput) -> None:
    kind, identity, line = entry
    fault, corrupted = plant_fault(rngs.faults, orjson.loads(line), line, is_female)
    if fault.keeps:
        files.add(kind, line)
    name, number = files.add(kind, corrupted)
    written.planted.append(Planted(name, number, kind, identity, fault.name, fault.outcome))


def _full_url(kind: str, identity: str) -> str:
    digest = blake2b(f"{kind}/{identity}".encode(), digest_size=16).digest()
    return f"urn:uuid:{uuid.UUID(bytes=digest, version=4)}"


def _write_bundle(path: Path, lines: Iterable[tuple[str, str, bytes]], written: BatchOutput) -> None:
    """One transaction; references between its own entries become their `urn:uuid:`, others stay."""
    entries = list(lines)
    urls = {f"{kind}/{identity}".encode(): _full_url(kind, identity) for kind, identity, _ in entries}

    def to_url(match: re.Match[bytes]) -> bytes:
        url = urls.get(match[1])
        return match[0] if url is None else f'"reference":"{url}"'.encode()

    texts = []
    for kind, identity, line in entries:
        request = f'"request":{{"method":"PUT","url":"{kind}/{identity}"}}'.encode()
        head = f'{{"fullUrl":"{_full_url(kind, identity)}","resource":'.encode()
        texts.append(head + _REFERENCE.sub(to_url, line) + b"," + request + b"}")
        written.lines[kind, path.name] += 1
    total = b'{"resourceType":"Bundle","type":"transaction","entry":[' + b",\n".join(texts) + b"]}\n"
    path.write_bytes(total)
    written.bytes += len(total)


def _write_structure(out: Path, hospital: Hospital, bundles: bool) -> BatchOutput:
    written = BatchOutput()
    lines = [(each["resourceType"], each["id"], orjson.dumps(each)) for each in structure(hospital)]
    if bundles:
        _write_bundle(out / "hospital.json", lines, written)
        return written
    files = _Files(out, 0, written)
    for kind, _, line in lines:
        files.add(kind, line)
    files.close()
    return written


def _finish(out: Path, total: BatchOutput, today: int, bundles: bool, dirty: float) -> Counts:
    types: Counter[str] = Counter()
    for (kind, _), lines in total.lines.items():
        types[kind] += lines
    if not bundles:
        _write_manifest(out, total, today)
    if dirty:
        _write_planted(out / PLANTED, total.planted)
    if total.images:
        _write_lesions(out / LESIONS, total.lesions)
    return Counts(
        types=dict(sorted(types.items())),
        files=len({name for _, name in total.lines}) + total.images,
        bytes=total.bytes,
        planted=dict(sorted(Counter(planted.outcome for planted in total.planted).items())),
        images=total.images,
    )


def _write_manifest(out: Path, total: BatchOutput, today: int) -> None:
    manifest = {
        "transactionTime": instant(today * MINUTES_A_DAY + 240, "00.000"),
        "request": "https://chu-demonstration.example.org/fhir/$export",
        "requiresAccessToken": False,
        "output": [{"type": kind, "url": name, "count": lines} for (kind, name), lines in sorted(total.lines.items())],
        "deleted": [],
        "error": [],
    }
    (out / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))


def _write_planted(path: Path, planted: list[Planted]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(Planted._fields)
        writer.writerows(planted)


def _write_lesions(path: Path, lesions: list[tuple[str, str, Lesion]]) -> None:
    """The lesions that the images show; a load does not read the file."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("series_uid", "modality", "x_mm", "y_mm", "z_mm", "radius_mm"))
        writer.writerows((uid, modality, at.x, at.y, at.z, at.radius) for uid, modality, at in lesions)


def read_planted(out: Path) -> list[Planted]:
    """The faults that `generate` planted in an export; empty for a clean one."""
    path = out / PLANTED
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.reader(handle))[1:]
    return [Planted(file, int(line), kind, *rest) for file, line, kind, *rest in rows]
