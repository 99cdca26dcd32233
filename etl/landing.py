"""The landing zone: exports copied as received, immutable, one folder a batch.

Owns finding the files of an export, proving that each is whole, and cutting them into splits that Spark tasks
read. Files are renamed to running numbers on the way in, because hospitals and generators put patients' names
into file names; the original names stay in the batch's own ``batch.json``. DICOM files are put together by series, one
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
from urllib.parse import unquote, urlparse

import numpy as np

from etl.errors import InputError, StorageError, refusal
from etl.shape import RESOURCE_TYPES

DRAFT, DECIDED = ".new", ".decided.json"
"""A file of a batch written anew, and the batch's list of such files from the moment that they are to be taken."""
SUFFIXES = (".ndjson", ".jsonl", ".json")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
UNPACKED = ".unpacked"
MOST_UNPACKED = 64 << 30
_CHUNK = 4 << 20
_AT_A_TIME = 4
_PEEK = 1 << 16
_GZIP_RATIO = 12
_WEIGHT_OF_A_SPLIT = 1 << 17
"""Bytes read in the time that a further split costs by itself."""
_WEIGHT_OF_A_KIND = 5 << 19
"""Bytes read in the time that the views of a type of resource take to be compiled, which every task does."""
_KIND = re.compile(rb'"resourceType"\s*:\s*"([A-Za-z]{1,64})"')
_GZIP_MAGIC = b"\x1f\x8b"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Split:
    """A byte range of whole lines of one landed file; ``first_line`` counts from 1.

    ``document`` means the file is one JSON value (a Bundle or a resource, perhaps over many lines), ``series`` that it
    is a zip of one DICOM series. ``kind`` is the type of resource that the file's first lines name: how the work is
    shared goes by it, and nothing else.
    """

    batch: str
    file: str
    number: int
    offset: int
    length: int
    first_line: int
    gzip: bool
    document: bool
    series: bool = False
    kind: str = ""

    @property
    def weight(self) -> int:
        """Bytes to read, and a fixed cost in bytes; a gzip file weighs what it will unpack to, about."""
        return self.length * (_GZIP_RATIO if self.gzip else 1) + _WEIGHT_OF_A_SPLIT


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


def pack(splits: Sequence[Split], count: int) -> list[tuple[Split, ...]]:
    """Splits, in their order, put together into at most ``count`` groups that weigh about the same."""
    groups: list[list[Split]] = [[] for _ in range(count)]
    before = ["", *(split.kind for split in splits)]
    weights = [s.weight + _WEIGHT_OF_A_KIND * (s.kind != kind) for s, kind in zip(splits, before, strict=False)]
    whole, passed = sum(weights) or 1, 0
    for split, weight in zip(splits, weights, strict=True):
        groups[min(count - 1, (2 * passed + weight) * count // (2 * whole))].append(split)
        passed += weight
    return [tuple(group) for group in groups if group]


@dataclass(frozen=True)
class _Source:
    """A file to receive; ``lines`` is how many the manifest promises, ``images`` the files of a DICOM series."""

    path: Path
    label: str
    lines: int | None = None
    deletions: bool = False
    images: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.images or (self.path,))


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
        if known := _landed_before(landing, files):
            return replace(known, passed_over=tuple(passed_over))
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
        known = ", ".join(batch_ids(landing)) or "none"
        raise InputError(f"no batch '{batch_id}' in the landing zone; batches: {known}")
    data = json.loads(path.read_text())
    files = (LandedFile(**{**f, "cuts": tuple(map(tuple, f["cuts"]))}) for f in data["files"])
    return Batch(data["id"], data["received"], tuple(files), tuple(data["passed_over"]))


def batch_ids(landing: Path) -> list[str]:
    """Ids of the batches in landing, oldest first."""
    return sorted(p.parent.name for p in landing.glob("*/batch.json") if not p.parent.name.startswith("."))


def finish_rewrites(landing: Path) -> None:
    """End the rewrite of every batch (an erasure) whose new list is decided; other drafts of a killed run go."""
    for path in landing.glob(f"*/.*{DRAFT}"):
        if (path.parent / DECIDED).exists():
            path.rename(path.with_name(path.name[1 : -len(DRAFT)]))
        else:
            path.unlink()
    for path in landing.glob(f"*/{DECIDED}"):
        path.rename(path.with_name("batch.json"))


def _opened(paths: Sequence[Path], folder: Path, most_bytes: int) -> list[Path]:
    """The paths, each zip among them (or in a folder of them) replaced by what it holds."""
    from etl.dicom.archive import is_zip, unpack

    zips = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.zip")))]
    opened = []
    for number, path in enumerate(filter(is_zip, zips)):
        unpack(path, folder / f"{number:06d}", most_bytes)
        opened.append(path)
    unpacked = sorted(folder.glob("*")) if opened else []
    return [*(path for path in paths if path not in opened), *unpacked]


def find_sources(paths: Sequence[Path]) -> tuple[list[_Source], list[str]]:
    """Files to load below ``paths`` and the names of those passed over; InputError if there is none."""
    sources: list[_Source] = []
    passed_over: list[str] = []
    for path in paths:
        found, skipped = _sources_of(path)
        sources += found
        passed_over += skipped
    if not sources:
        raise InputError(
            f"nothing to load in {', '.join(map(str, paths))}: no {', '.join(SUFFIXES)} file (or .gz of one), no DICOM"
        )
    return _by_series(sources), passed_over


def _by_series(sources: Sequence[_Source]) -> list[_Source]:
    """The sources with DICOM files put together, those of one series as one."""
    images = [source.path for source in sources if source.images]
    if not images:
        return list(sources)
    from etl.dicom.grouping import by_series

    groups = by_series(images)
    series = [_Source(group[0], f"series of {len(group)} DICOM files", images=group) for group in groups]
    return [*(source for source in sources if not source.images), *series]


def _sources_of(path: Path) -> tuple[list[_Source], list[str]]:
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    if path.is_dir():
        return _folder(path)
    if is_dicom(path):
        return [_image(path)], []
    manifest = _manifest(path)
    return (_manifest_sources(path, manifest), []) if manifest else ([_Source(path, path.name)], [])


def is_dicom(path: Path) -> bool:
    """Is the file one of DICOM, by its preamble (PS3.10 §7.1) or its name?"""
    return path.suffix.lower() in DICOM_SUFFIXES or _read(path, 132)[128:] == b"DICM"


def _image(path: Path) -> _Source:
    return _Source(path, "DICOM", images=(path,))


def _folder(folder: Path) -> tuple[list[_Source], list[str]]:
    try:
        files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror}") from None
    candidates = [p for p in files if _stem_suffix(p) in SUFFIXES]
    manifests = [(p, found) for p in candidates if _stem_suffix(p) == ".json" and (found := _manifest(p))]
    if manifests:
        sources = [s for p, found in manifests for s in _manifest_sources(p, found)]
        taken = {s.path.resolve() for s in sources} | {p.resolve() for p, _ in manifests}
    else:
        sources = [_Source(p, str(p.relative_to(folder))) for p in candidates]
        taken = {p.resolve() for p in candidates}
    others = set(files).difference(candidates)
    images = [p for p in files if p in others and p.suffix != ".zip" and is_dicom(p)]
    sources += map(_image, images)
    taken |= {p.resolve() for p in images}
    taken |= {p.resolve() for p in files if p.suffix == ".zip"}
    return sources, [str(p.relative_to(folder)) for p in files if p.resolve() not in taken]


def _stem_suffix(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def _manifest(path: Path) -> dict[str, object] | None:
    """The Bulk Data manifest in ``path`` (FHIR Bulk Data Access 2.0, «Complete Status»), if it is one."""
    if path.suffix != ".json" or path.stat().st_size > _CHUNK:
        return None
    try:
        data = json.loads(_read(path, _CHUNK))
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and "output" in data and "resourceType" not in data else None


def _manifest_sources(manifest_path: Path, manifest: dict[str, object]) -> list[_Source]:
    sources = []
    for kind in ("output", "deleted"):
        entries = manifest.get(kind) or []
        if not isinstance(entries, list):
            raise InputError(f"manifest {manifest_path}: '{kind}' is not a list")
        sources += [_manifest_file(manifest_path, entry, kind == "deleted") for entry in entries]
    return sources


def _manifest_file(manifest_path: Path, entry: object, deletions: bool) -> _Source:
    url = entry.get("url") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(url, str):
        raise InputError(f"manifest {manifest_path}: an entry has no url")
    relative = Path(unquote(urlparse(url).path))
    candidates = [manifest_path.parent / relative.name, manifest_path.parent / str(relative).lstrip("/")]
    candidates += [p.with_name(p.name + ".gz") for p in candidates]
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        raise InputError(f"manifest {manifest_path} lists {relative.name}, which is not in the export")
    count = entry.get("count")
    return _Source(path, relative.name, count if isinstance(count, int) else None, deletions)


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as handle:
            return handle.read(limit)
    except PermissionError:
        raise InputError(f"no permission to read {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


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


def storage_error(error: OSError, zone: str) -> StorageError:
    """The sentence for an operating-system fault while writing a zone; names no file of a patient."""
    return StorageError(f"cannot write the {zone}: {refusal(error)}. The last release is untouched.")


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
    _fsync_folder(target.parent)


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy_all(
    sources: Sequence[_Source], incoming: Path, split_bytes: int, progress: Progress | None
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


def _take(source: _Source, number: int, *, incoming: Path, split_bytes: int, stop: threading.Event) -> LandedFile:
    return _gather(source, incoming, number) if source.images else _copy(source, incoming, number, split_bytes, stop)


def _gather(source: _Source, incoming: Path, number: int) -> LandedFile:
    """Put the files of a series into one, each as it was."""
    from etl.dicom.archive import series_writer

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


def _copy(source: _Source, incoming: Path, number: int, split_bytes: int, stop: threading.Event) -> LandedFile:
    """Copy, hash, prove whole and cut one file; once ``stop`` is set what comes of it is of no use."""
    head = _read(source.path, len(_GZIP_MAGIC))
    compressed = head == _GZIP_MAGIC
    name = f"{number:06d}{'.gz' if compressed else ''}"
    digest = hashlib.sha256()
    document = _is_document(source, compressed)
    counter, kind = _LineCounter(split_bytes), ""
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
    found = _KIND.search(text, 0, _PEEK)
    name = found[1].decode() if found else ""
    return name if name in RESOURCE_TYPES else ""


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        while block := handle.read(_CHUNK):
            yield block


def _check_count(source: _Source, lines: int) -> None:
    if source.lines is not None and lines != source.lines:
        raise InputError(
            f"{source.label}: the manifest promises {source.lines} resources, the file holds {lines};"
            " fetch the export again"
        )


def _is_document(source: _Source, compressed: bool) -> bool:
    """Is the file one JSON value rather than one a line? Its first line tells."""
    if Path(source.label.removesuffix(".gz")).suffix in (".ndjson", ".jsonl") or source.deletions:
        return False
    head = _gunzip_head(source.path) if compressed else _read(source.path, _PEEK)
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


class _LineCounter:
    """Counts lines as blocks pass and remembers where to cut, so that splits know their first line."""

    def __init__(self, split_bytes: int) -> None:
        self._split = split_bytes
        self._marks: list[tuple[int, int]] = [(0, 1)]
        self._lines = 0
        self._open = False
        self.total = 0
        self.resources = 0

    def feed(self, block: bytes) -> None:
        if not block:
            return
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
        self._count_resources(block, ends)
        while len(later := ends[ends + self.total + 1 >= self._marks[-1][0] + self._split]):
            at = int(later[0])
            self._marks.append((self.total + at + 1, self._lines + int(np.searchsorted(ends, at)) + 2))
        self._lines += len(ends)
        self.total += len(block)

    def _count_resources(self, block: bytes, ends: np.ndarray) -> None:
        """Count non-blank lines: a line counts when its first visible byte has been seen."""
        start = 0
        if not len(ends):
            self._see(block)
            return
        lengths = np.diff(np.concatenate([[-1], ends]))
        self.resources += int((lengths[1:] > 2).sum())
        for end in ends[1:][lengths[1:] <= 2]:
            self.resources += bool(block[int(end) - 1 : int(end)].strip())
        self._see(block[start : int(ends[0])])
        self._open = False
        self._see(block[int(ends[-1]) + 1 :])

    def _see(self, piece: bytes) -> None:
        if not self._open and piece.strip():
            self._open = True
            self.resources += 1

    def cuts(self) -> list[tuple[int, int, int]]:
        """(offset, length, first line) of each split."""
        ends = [mark[0] for mark in self._marks[1:]] + [self.total]
        pairs = zip(self._marks, ends, strict=True)
        return [(start, end - start, line) for (start, line), end in pairs if end > start]
