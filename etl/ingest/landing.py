"""The landing zone: exports copied as received, immutable, one folder a batch.

Owns finding the files of an export, proving that each is whole, and cutting them into splits that Spark tasks
read. Files are renamed to running numbers on the way in, because hospitals and generators put patients' names
into file names; the original names are in the batch's own ``batch.json``. DICOM files are put together by series, one
file a series. It never looks into a resource beyond telling a Bundle, a manifest, NDJSON and DICOM apart, and it never
changes a byte.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import count, takewhile
from pathlib import Path

from etl.dicom.archive import is_zip, series_writer, unpack
from etl.errors import InputError, storage_error
from etl.fhir.resource_types import RESOURCE_TYPES
from etl.files import sync
from etl.ingest.discovery import CHUNK, Source, find_sources, read_head
from etl.ingest.file_splits import LineCounter, Split

DRAFT, DECIDED = ".new", ".decided.json"
"""Suffix of a redacted file, and the batch's new list of files: once that exists, a killed redaction is finished."""
UNPACKED = ".unpacked"
MOST_UNPACKED = 64 << 30
_AT_A_TIME = 4
_PEEK = 1 << 16
_KIND = re.compile(rb'"resourceType"\s*:\s*"([A-Za-z]{1,64})"')
_GZIP_MAGIC = b"\x1f\x8b"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LandedFile:
    """One file as it lies in landing: its number-name, its original name, its digest and its splits."""

    name: str
    original: str
    size: int
    sha256: str
    gzip: bool
    document: bool
    deletions: bool = False
    cuts: tuple[tuple[int, int, int], ...] = ()
    series: bool = False
    kind: str = ""


@dataclass(frozen=True)
class Batch:
    """A received export: an id, its files in the order given, and what was passed over and why."""

    id: str
    received: str
    files: tuple[LandedFile, ...]
    passed_over: tuple[str, ...] = field(default=())

    def splits(self) -> tuple[Split, ...]:
        cuts = enumerate((file, cut) for file in self.files for cut in file.cuts)
        return tuple(
            Split(self.id, file.name, number, *cut, file.gzip, file.document, file.series, file.kind)
            for number, (file, cut) in cuts
        )


def receive(
    paths: Sequence[Path],
    landing: Path,
    *,
    split_bytes: int,
    progress: Progress | None = None,
    most_unpacked: int = MOST_UNPACKED,
) -> Batch:
    """Copy an export into a new batch folder, whole or not at all.

    Raises InputError for a missing path, an unreadable file, an empty folder, a truncated gzip, a manifest that does
    not fit its files, or a zip that is damaged, hostile or unpacks to more than ``most_unpacked`` bytes; StorageError
    when landing cannot be written.
    """
    if missing := next((path for path in paths if not path.exists()), None):
        raise InputError(f"no such file or folder: {missing}")
    incoming = _incoming_folder(landing)
    try:
        sources, passed_over = find_sources(_opened(paths, incoming / UNPACKED, most_unpacked))
        files = _copy_all(sources, incoming, split_bytes, progress)
        if earlier := _landed_before(landing, files):
            return replace(earlier, passed_over=tuple(passed_over))
        batch = Batch(_batch_id(landing, files), datetime.now(UTC).isoformat(), files, tuple(passed_over))
        (incoming / "batch.json").write_text(json.dumps(asdict(batch), indent=1, ensure_ascii=False))
        shutil.rmtree(incoming / UNPACKED, ignore_errors=True)
        _publish(incoming, landing / batch.id)
    except OSError as error:
        raise storage_error(error, "landing zone") from None
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return batch


def read_batch(landing: Path, batch_id: str) -> Batch:
    """A batch received earlier; InputError names those that exist."""
    path = landing / batch_id / "batch.json"
    if not path.is_file():
        names = ", ".join(batch_ids(landing)) or "none"
        raise InputError(f"no batch '{batch_id}' in the landing zone; batches: {names}")
    data = json.loads(path.read_text())
    files = (LandedFile(**{**f, "cuts": tuple(map(tuple, f["cuts"]))}) for f in data["files"])
    return Batch(data["id"], data["received"], tuple(files), tuple(data["passed_over"]))


def batch_ids(landing: Path) -> list[str]:
    """Ids of the batches in landing, oldest first."""
    return sorted(p.parent.name for p in landing.glob("*/batch.json") if not p.parent.name.startswith("."))


def finish_rewrites(landing: Path) -> None:
    """Finish every redaction whose new list of files is complete; other drafts of a killed run are deleted."""
    for path in landing.glob(f"*/.{DECIDED}.*"):
        path.unlink()
    for path in landing.glob(f"*/.*{DRAFT}"):
        if (path.parent / DECIDED).exists():
            path.rename(path.with_name(path.name[1 : -len(DRAFT)]))
        else:
            path.unlink()
    for path in landing.glob(f"*/{DECIDED}"):
        path.rename(path.with_name("batch.json"))


def _opened(paths: Sequence[Path], folder: Path, most_bytes: int) -> list[Path]:
    """The paths, each zip among them (or in a folder of them) replaced by what it holds."""
    zips = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.zip")))]
    opened = []
    for number, path in enumerate(filter(is_zip, zips)):
        unpack(path, folder / f"{number:06d}", most_bytes)
        opened.append(path)
    unpacked = sorted(folder.glob("*")) if opened else []
    return [*(path for path in paths if path not in opened), *unpacked]


def _incoming_folder(landing: Path) -> Path:
    try:
        landing.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in landing.glob(".incoming-*"):
            shutil.rmtree(left, ignore_errors=True)
        incoming = landing / f".incoming-{os.getpid()}"
        incoming.mkdir(mode=0o700)
    except OSError as error:
        raise storage_error(error, "landing zone") from None
    return incoming


def _landed_before(landing: Path, files: Sequence[LandedFile]) -> Batch | None:
    """The batch that holds exactly these files already: an export given twice is landed once."""
    root = _root(files)
    digests = [file.sha256 for file in files]
    for batch_id in (i for i in batch_ids(landing) if i.endswith(root)):
        batch = read_batch(landing, batch_id)
        if [file.sha256 for file in batch.files] == digests:
            return batch
    return None


def _root(files: Iterable[LandedFile]) -> str:
    return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()[:8]


def _batch_id(landing: Path, files: Iterable[LandedFile]) -> str:
    """Running number plus the first digits of the digest of the files' digests."""
    numbers = [int(i[1:7]) for i in batch_ids(landing) if i[1:7].isdigit()]
    return f"b{max(numbers, default=0) + 1:06d}-{_root(files)}"


def _publish(incoming: Path, target: Path) -> None:
    for path in incoming.iterdir():
        path.chmod(0o400)
    incoming.rename(target)
    sync(target.parent)


def _copy_all(
    sources: Sequence[Source], incoming: Path, split_bytes: int, progress: Progress | None
) -> tuple[LandedFile, ...]:
    """Some files at a time, their order kept; the first that cannot be taken ends the others."""
    sizes = [source.size for source in sources]
    heard = progress or (lambda *_: None)
    stop, files = threading.Event(), []
    take = partial(_take, incoming=incoming, split_bytes=split_bytes, stop=stop)
    heard("receive", 0, sum(sizes))
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        try:
            for file in pool.map(take, sources, count(1)):
                files.append(file)
                heard("receive", sum(sizes[: len(files)]), sum(sizes))
        finally:
            stop.set()
    return tuple(files)


def _take(source: Source, number: int, *, incoming: Path, split_bytes: int, stop: threading.Event) -> LandedFile:
    return _gather(source, incoming, number) if source.images else _copy(source, incoming, number, split_bytes, stop)


def _gather(source: Source, incoming: Path, number: int) -> LandedFile:
    """Put the files of a series into one, each as it was."""
    path = incoming / f"{number:06d}"
    with series_writer(path, compress=False) as out:
        for image in source.images:
            out.add_file(image)
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    size = path.stat().st_size
    cuts = ((0, size, 1),)
    return LandedFile(path.name, source.label, size, digest, False, True, cuts=cuts, series=True)


def _copy(source: Source, incoming: Path, number: int, split_bytes: int, stop: threading.Event) -> LandedFile:
    """Copy, hash, prove whole and cut one file; once ``stop`` is set what comes of it is of no use."""
    head = read_head(source.path, len(_GZIP_MAGIC))
    compressed = head == _GZIP_MAGIC
    name = f"{number:06d}{'.gz' if compressed else ''}"
    digest = hashlib.sha256()
    document = _is_document(source, compressed)
    counter, kind = LineCounter(split_bytes), ""
    plain: Callable[[bytes], bytes] = _Gunzip(source.label) if compressed else lambda block: block
    with (incoming / name).open("wb") as out:
        for block in takewhile(lambda _: not stop.is_set(), _blocks(source.path)):
            out.write(block)
            digest.update(block)
            text = plain(block)
            kind = kind or _kind(text)
            counter.feed(text)
        out.flush()
        os.fsync(out.fileno())
    if isinstance(plain, _Gunzip):
        plain.finish()
    size = (incoming / name).stat().st_size
    _check_count(source, counter.resources)
    cuts = counter.cuts() if not (compressed or document) else ([(0, size, 1)] if counter.total else [])
    return LandedFile(
        name, source.label, size, digest.hexdigest(), compressed, document, source.deletions, tuple(cuts), kind=kind
    )


def _kind(text: bytes) -> str:
    """The first type of resource that the beginning of a text names; what is none of FHIR's could be anything."""
    match = _KIND.search(text, 0, _PEEK)
    name = match[1].decode() if match else ""
    return name if name in RESOURCE_TYPES else ""


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        while block := handle.read(CHUNK):
            yield block


def _check_count(source: Source, lines: int) -> None:
    if source.lines is not None and lines != source.lines:
        raise InputError(
            f"{source.label}: the manifest promises {source.lines} resources, the file holds {lines};"
            " fetch the export again"
        )


def _is_document(source: Source, compressed: bool) -> bool:
    """Is the file one JSON value rather than one per line? Decided by its first line."""
    if Path(source.label.removesuffix(".gz")).suffix in (".ndjson", ".jsonl") or source.deletions:
        return False
    head = _gunzip_head(source.path) if compressed else read_head(source.path, _PEEK)
    first, newline, rest = head.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")
    if not newline or not rest.strip():
        return True
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return not _looks_like_line(first)
    return False


def _looks_like_line(first: bytes) -> bool:
    """A broken first line still closes like an object; the first line of a spread-out document does not."""
    return len(first.strip()) > 2 and first.strip().endswith(b"}")


def _gunzip_head(path: Path) -> bytes:
    try:
        with gzip.open(path) as handle:
            return handle.read(_PEEK)
    except (OSError, EOFError, zlib.error):
        return b""


class _Gunzip:
    """Streaming gunzip that refuses a file cut short or damaged; keeps one block in memory."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._stream = zlib.decompressobj(wbits=31)

    def __call__(self, block: bytes) -> bytes:
        try:
            return self._inflate(block)
        except zlib.error:
            raise InputError(f"{self._label} is damaged gzip; fetch it again") from None

    def _inflate(self, block: bytes) -> bytes:
        out = [self._stream.decompress(block)]
        while self._stream.eof and (rest := self._stream.unused_data.lstrip(b"\0")):
            self._stream = zlib.decompressobj(wbits=31)
            out.append(self._stream.decompress(rest))
        return b"".join(out)

    def finish(self) -> None:
        if not self._stream.eof:
            raise InputError(f"{self._label} is truncated gzip; fetch it again")
