"""Files of an export: which are data, which a manifest promises, which are passed over.

Owns telling NDJSON, JSON documents, Bulk Data manifests and DICOM apart by their names and first bytes. It never looks
into a resource.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from etl.errors import InputError

SUFFIXES = (".ndjson", ".jsonl", ".json")


DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


CHUNK = 4 << 20


@dataclass(frozen=True)
class Source:
    """A file to receive; ``lines`` is how many the manifest promises, ``images`` the files of a DICOM series."""

    path: Path
    label: str
    lines: int | None = None
    deletions: bool = False
    images: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.images or (self.path,))


def find_sources(paths: Sequence[Path]) -> tuple[list[Source], list[str]]:
    """Files to load below ``paths`` and the names of those passed over; InputError if there is none."""
    sources: list[Source] = []
    passed_over: list[str] = []
    for path in paths:
        taken, skipped = _sources_of(path)
        sources += taken
        passed_over += skipped
    if not sources:
        raise InputError(
            f"nothing to load in {', '.join(map(str, paths))}: no {', '.join(SUFFIXES)} file (or .gz of one), no DICOM"
        )
    return _by_series(sources), passed_over


def _by_series(sources: Sequence[Source]) -> list[Source]:
    """The sources with DICOM files put together, those of one series as one."""
    images = [source.path for source in sources if source.images]
    if not images:
        return list(sources)
    from etl.dicom.grouping import by_series  # pydicom: only where an export has DICOM

    groups = by_series(images)
    series = [Source(group[0], f"series of {len(group)} DICOM files", images=group) for group in groups]
    return [*(source for source in sources if not source.images), *series]


def _sources_of(path: Path) -> tuple[list[Source], list[str]]:
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    if path.is_dir():
        return _folder(path)
    if is_dicom(path):
        return [_image(path)], []
    manifest = _manifest(path)
    return (_manifest_sources(path, manifest), []) if manifest else ([Source(path, path.name)], [])


def is_dicom(path: Path) -> bool:
    """Is the file one of DICOM, by its preamble (PS3.10 §7.1) or its name?"""
    return path.suffix.lower() in DICOM_SUFFIXES or read_head(path, 132)[128:] == b"DICM"


def _image(path: Path) -> Source:
    return Source(path, "DICOM", images=(path,))


def _folder(folder: Path) -> tuple[list[Source], list[str]]:
    try:
        files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror}") from None
    candidates = [p for p in files if _stem_suffix(p) in SUFFIXES]
    manifests = [(p, manifest) for p in candidates if _stem_suffix(p) == ".json" and (manifest := _manifest(p))]
    if manifests:
        sources = [s for p, manifest in manifests for s in _manifest_sources(p, manifest)]
        taken = {s.path.resolve() for s in sources} | {p.resolve() for p, _ in manifests}
    else:
        sources = [Source(p, str(p.relative_to(folder))) for p in candidates]
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
    if path.suffix != ".json" or path.stat().st_size > CHUNK:
        return None
    try:
        data = json.loads(read_head(path, CHUNK))
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and "output" in data and "resourceType" not in data else None


def _manifest_sources(manifest_path: Path, manifest: dict[str, object]) -> list[Source]:
    sources = []
    for kind in ("output", "deleted"):
        entries = manifest.get(kind) or []
        if not isinstance(entries, list):
            raise InputError(f"manifest {manifest_path}: '{kind}' is not a list")
        sources += [_manifest_file(manifest_path, entry, kind == "deleted") for entry in entries]
    return sources


def _manifest_file(manifest_path: Path, entry: object, deletions: bool) -> Source:
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
    return Source(path, relative.name, count if isinstance(count, int) else None, deletions)


def read_head(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as handle:
            return handle.read(limit)
    except PermissionError:
        raise InputError(f"no permission to read {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
