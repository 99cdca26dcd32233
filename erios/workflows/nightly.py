"""The nightly job: complete exports of a folder are loaded, validated, published and reported.

Owns when an export is complete, what was tried already, and the metrics. It must never print a file's name, which may
hold a patient's: an export is named by its place in the folder's list and by its batch.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from erios.errors import EriosError, InputError
from erios.objections import NOBODY, version
from erios.settings import Settings, make_folder
from erios.workflows.load import load_export, refresh_release
from etl.files import write_atomically
from etl.ingest.quarantine import refused
from etl.merge.reconciliation import OUTCOMES
from etl.pipeline import LoadReport

MARKER = "_SUCCESS"
_TRANSIENT = ("BusyError", "StorageError", "MachineError")
Line = tuple[str, bool]
"""A line a data manager can read, and whether it tells of a success."""


@dataclass(frozen=True)
class Arrival:
    """Something that came into the folder: a digest of names, sizes and times, and whether it is complete."""

    path: Path
    fingerprint: str
    complete: bool


Explain = Callable[[Exception], EriosError]
"""From any exception to a sentence that may be shown."""


def watch_folder(
    folder: Path, settings: Settings, explain: Explain, *, once: bool, every: int, quiet: int
) -> Iterator[Line]:
    """Load what is complete, look again every so many seconds; a line for each export and each change of objections.

    InputError when the folder is missing.
    """
    while True:
        yield from _load_new(folder, settings, explain, quiet)
        if once:
            return
        time.sleep(every)


def _load_new(folder: Path, settings: Settings, explain: Explain, quiet: int) -> Iterator[Line]:
    tried = _read_state(settings)
    objections = _objections(settings)
    loaded = False
    for arrival in arrivals(folder, quiet):
        if arrival.complete and tried.get(str(arrival.path)) != arrival.fingerprint:
            line, done = _load(arrival, settings, explain)
            loaded = loaded or done == arrival.fingerprint
            tried[str(arrival.path)] = done
            _write_state(settings, {**tried, "objections": objections if loaded else tried.get("objections", NOBODY)})
            yield line
    if not loaded and tried.get("objections", NOBODY) != objections:
        yield _refresh(settings, explain)
        _write_state(settings, {**tried, "objections": objections})


def arrivals(folder: Path, quiet: int) -> list[Arrival]:
    """Everything in the folder, oldest first; hidden names and the markers are passed over."""
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}")
    names = [path for path in folder.iterdir() if not path.name.startswith((".", "_"))]
    return [_arrival(path, quiet) for path in sorted(names, key=lambda path: (_changed(path), path.name))]


def _arrival(path: Path, quiet: int) -> Arrival:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    stats = [(str(p.relative_to(path.parent)), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    fingerprint = hashlib.sha256(json.dumps(stats).encode()).hexdigest()
    return Arrival(path, fingerprint, bool(files) and _is_complete(path, files, quiet))


def _is_complete(path: Path, files: list[Path], quiet: int) -> bool:
    if any(file.name == MARKER for file in files):
        return True
    return time.time() - _changed(path) >= quiet


def _changed(path: Path) -> float:
    """When anything in it changed last."""
    inside = path.rglob("*") if path.is_dir() else []
    return max([path.stat().st_mtime, *(p.stat().st_mtime for p in inside)])


def _load(arrival: Arrival, settings: Settings, explain: Explain) -> tuple[Line, str]:
    """Load one export; answers its line and what to remember: the fingerprint, or nothing when it is worth a retry."""
    try:
        report = load_export([arrival.path], settings)
    except Exception as error:
        failure = explain(error)
        write_metrics(settings, None)
        transient = type(failure).__name__ in _TRANSIENT
        line = f"{_now()} failed, the last release stands: {failure.sentence}"
        return (line, False), "" if transient else arrival.fingerprint
    write_metrics(settings, report)
    return (f"{_now()} {describe(report)}", True), arrival.fingerprint


def _refresh(settings: Settings, explain: Explain) -> Line:
    try:
        report = refresh_release(settings)
    except Exception as error:
        return f"{_now()} objections not applied, the last release stands: {explain(error).sentence}", False
    write_metrics(settings, report)
    return f"{_now()} objections of today applied: {describe(report)}", True


def describe(report: LoadReport) -> str:
    """What a load did, in one line."""
    totals = report.to_dict()["totals"]
    parts = [f"{totals['in']:,} in", f"{totals['written']:,} written"]
    parts += [f"{totals[name]:,} {name}" for name in OUTCOMES[1:] if totals[name]]
    state = f"release {report.release}" if report.new_release else f"nothing new, release {report.release} stands"
    warned = f", {len(report.verdict.warnings)} warnings" if report.verdict and report.verdict.warnings else ""
    return f"batch {report.batch}: {', '.join(parts)}; {state}{warned}; {report.seconds:.0f} s"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _objections(settings: Settings) -> str:
    try:
        return version(settings)
    except EriosError:
        return "unreadable"


def _state_path(settings: Settings) -> Path:
    return settings.landing / "watched.json"


def _read_state(settings: Settings) -> dict[str, str]:
    try:
        return dict(json.loads(_state_path(settings).read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _write_state(settings: Settings, state: Mapping[str, str]) -> None:
    _write(_state_path(settings), json.dumps(dict(state), indent=1))


def write_metrics(settings: Settings, report: LoadReport | None) -> Path:
    """Write the metrics for Prometheus (text form 0.0.4) into ``<home>/metrics/erios.prom`` in one atomic step."""
    folder = settings.home / "metrics"
    make_folder(folder, 0o755)
    earlier = _read_metrics(folder / "erios.json")
    values = _succeeded(report, settings) if report else {**earlier, "erios_load_last_run_failed": 1}
    values["erios_load_last_run_timestamp_seconds"] = int(time.time())
    _write(folder / "erios.json", json.dumps(values))
    _write(folder / "erios.prom", _prometheus(values))
    return folder / "erios.prom"


def _succeeded(report: LoadReport, settings: Settings) -> dict[str, Any]:
    types = report.to_dict()["types"]
    rows = {f"{name}|{end}": counts[end] for name, counts in types.items() for end in ("in", *OUTCOMES)}
    return {
        "erios_load_resources": rows,
        "erios_quarantine_waiting": sum(1 for _ in refused(settings.identity / "quarantine", None)),
        "erios_load_duration_seconds": round(report.seconds, 3),
        "erios_validation_duration_seconds": report.verdict.summary.get("seconds", 0) if report.verdict else 0,
        "erios_validation_warnings": len(report.verdict.warnings) if report.verdict else 0,
        "erios_release_number": int(report.release[1:]) if report.release else 0,
        "erios_load_last_success_timestamp_seconds": int(time.time()),
        "erios_load_last_run_failed": 0,
    }


METRICS = {
    "erios_load_resources": "Resources of the last successful load, by type and outcome.",
    "erios_quarantine_waiting": "Texts waiting in quarantine.",
    "erios_load_duration_seconds": "Duration of the last successful load.",
    "erios_validation_duration_seconds": "Duration of its validation.",
    "erios_validation_warnings": "Expectations of severity warn that failed in it.",
    "erios_release_number": "Number of the release that stands.",
    "erios_load_last_success_timestamp_seconds": "When a load succeeded last.",
    "erios_load_last_run_timestamp_seconds": "When a load was tried last.",
    "erios_load_last_run_failed": "1 when the last load failed, else 0.",
}
"""Metric → its HELP line; all are gauges."""


def _prometheus(values: Mapping[str, Any]) -> str:
    lines = []
    for name, text in METRICS.items():
        if name in values:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", *_samples(name, values[name])]
    return "\n".join(lines) + "\n"


def _samples(name: str, value: Any) -> list[str]:
    if not isinstance(value, dict):
        return [f"{name} {value}"]
    labels = {key: dict(zip(("type", "outcome"), key.split("|"), strict=True)) for key in value}
    return [f'{name}{{type="{labels[k]["type"]}",outcome="{labels[k]["outcome"]}"}} {v}' for k, v in value.items()]


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _write(path: Path, text: str) -> None:
    write_atomically(path, text.encode())
