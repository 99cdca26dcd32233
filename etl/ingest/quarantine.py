"""The quarantine: what was refused, why, and where it lies; in the identity zone.

Owns the index (Parquet, a folder a batch) that the staging tasks write and its explanations. The index points back
to the landed line and copies no clear text but the resource's own id; explanations name elements and rules, never
the values found.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from pathlib import Path

import pyarrow.parquet as pq

from etl.errors import InputError
from etl.ingest.bundles import expand, standing_alone
from etl.ingest.landing import read_batch
from etl.ingest.reading import BOM

REPLAYED = "replayed.json"


@dataclass(frozen=True)
class Refused:
    """One refused text; ``id`` names it in commands: ``batch/file:line`` and the part inside the line."""

    batch: str
    file: str
    line: int
    part: str
    type: str | None
    resource_id: str | None
    reason: str

    @property
    def id(self) -> str:
        return f"{self.batch}/{self.file}:{self.line}{'/' + self.part if self.part else ''}"

    def to_dict(self) -> dict[str, object]:
        """The row as JSON-able values, with its id as ``quarantine_id``."""
        return {"quarantine_id": self.id, **asdict(self)}


def refused(quarantine: Path, batch: str | None = None) -> Iterator[Refused]:
    """Refused texts still waiting, oldest batch first; those replayed since are left out."""
    for folder in sorted(p for p in quarantine.glob("*") if p.is_dir()):
        if batch in (None, folder.name) and not (folder / REPLAYED).exists():
            yield from _folder(folder)


def _folder(folder: Path) -> Iterator[Refused]:
    for path in sorted(folder.glob("*.parquet")):
        for rows in pq.ParquetFile(path).iter_batches(batch_size=4096):
            for row in rows.to_pylist():
                row["resource_id"] = row.pop("id")
                yield Refused(**row)


def summary(quarantine: Path, batch: str | None = None) -> Counter[tuple[str, str, str]]:
    """How many texts wait, by (batch, resource type, reason)."""
    return Counter((r.batch, r.type or "(unreadable)", r.reason) for r in refused(quarantine, batch))


def find(quarantine: Path, quarantine_id: str) -> Refused:
    """One refused text by its id; InputError if it does not wait in quarantine."""
    batch = quarantine_id.split("/", maxsplit=1)[0]
    for row in refused(quarantine, batch):
        if row.id == quarantine_id:
            return row
    raise InputError(f"no '{quarantine_id}' waits in quarantine; `erios etl quarantine list --rows` prints the ids")


def explain(row: Refused, landing: Path) -> list[str]:
    """Why the text is refused, in words: the reason found on the way in, then what ``fhir.resources`` finds.

    Names elements and rules only; the values stay in landing.
    """
    text = read_text(row, landing)
    return [row.reason, *_model_faults(text)] if text is not None else [row.reason]


def read_text(row: Refused, landing: Path) -> bytes | None:
    """The refused text from landing, or None when it cannot be cut out."""
    if row.file in _series_files(landing, row.batch):
        return None
    line = next((text for _, text in _landed_lines(landing, row.batch, row.file, [row.line])), None)
    if line is None or not row.part:
        return line
    return next((doc.text for doc in expand(line) if doc.part == row.part), None)


def _series_files(landing: Path, batch: str) -> set[str]:
    """Landed files that are DICOM series."""
    return {file.name for file in read_batch(landing, batch).files if file.series}


def _landed_lines(landing: Path, batch: str, file: str, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """(number, text) of the wanted lines of a landed file, read once from the top; ``wanted`` is in order."""
    landed = next(f for f in read_batch(landing, batch).files if f.name == file)
    path = landing / batch / file
    with gzip.open(path) if landed.gzip else path.open("rb") as handle:
        lines = iter([handle.read()]) if landed.document else iter(handle)
        at = 0
        for number in wanted:
            text = next(islice(lines, number - at - 1, None), None)
            if text is None:
                return
            at = number
            yield number, text.removeprefix(BOM) if number == 1 else text


def _model_faults(text: bytes) -> list[str]:
    """Faults that the FHIR model finds: element and rule, without values."""
    from fhir.resources.R4B import get_fhir_model_class  # heavy: the models of FHIR
    from pydantic import ValidationError

    try:
        data = json.loads(text)
        model = get_fhir_model_class(data["resourceType"])
        model.model_validate(data)
    except ValidationError as error:
        return [f"{_path(data['resourceType'], e['loc'])}: {_rule(e['type'])}" for e in error.errors()[:10]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return []


_RULES = {
    "missing": "is required and missing",
    "model_field_validation.missing": "is required and missing",
    "value_error": "does not have the form that FHIR asks for",
    "int_parsing": "must be a whole number",
    "json_invalid": "must be a JSON object",
    "extra_forbidden": "is not an element of FHIR R4",
    "list_type": "must be a JSON array",
    "string_type": "must be a JSON string",
    "bool_type": "must be true or false",
    "date_from_datetime_parsing": "is not a date",
    "date_parsing": "is not a date",
    "datetime_parsing": "is not a date and time",
    "string_pattern_mismatch": "does not have the form that FHIR asks for",
    "model_attributes_type": "must be a JSON object",
    "model_type": "must be a JSON object",
}


def _rule(kind: str) -> str:
    return _RULES.get(kind, f"breaks the rule '{kind}'")


def _path(resource: str, parts: tuple[int | str, ...]) -> str:
    names = [part for part in parts if isinstance(part, str) and part.replace("_", "").isalnum()]
    return ".".join([resource, *names])


def collect_for_replay(quarantine: Path, landing: Path, target: Path, batch: str | None = None) -> int:
    """Write the refused texts from landing to ``target`` as NDJSON, each once and with its id; returns how many.

    A contained resource is written inside the one that holds it, for its key and its references come from there.
    """
    count = 0
    with target.open("wb") as out:
        for name, rows in groupby(refused(quarantine, batch), key=lambda row: row.batch):
            series = _series_files(landing, name)
            lines = [row for row in rows if row.file not in series]
            for text in _texts(sorted(lines, key=lambda row: (row.file, row.line)), landing):
                out.write(b" ".join(text.splitlines()) + b"\n")
                count += 1
    return count


def refused_series(quarantine: Path, landing: Path, batch: str | None = None) -> list[Path]:
    """The landed DICOM series that wait: zips, to be loaded again as they are."""
    paths = []
    for name, rows in groupby(refused(quarantine, batch), key=lambda row: row.batch):
        series = _series_files(landing, name)
        paths += [landing / name / row.file for row in rows if row.file in series]
    return paths


def _texts(rows: Sequence[Refused], landing: Path) -> Iterator[bytes]:
    """The texts to load again for the refused texts of one batch, in order of file and line."""
    for file, same_file in groupby(rows, key=lambda row: row.file):
        parts = {line: [row.part for row in same] for line, same in groupby(same_file, key=lambda row: row.line)}
        for number, text in _landed_lines(landing, rows[0].batch, file, list(parts)):
            yield from _parts(text, parts[number])


def _parts(line: bytes, parts: Sequence[str]) -> Iterator[bytes]:
    """The line itself, or those of its parts."""
    wanted = {_CONTAINED.sub("", part) for part in parts}
    yield from [line] if "" in wanted else (standing_alone(doc) for doc in expand(line) if doc.part in wanted)


_CONTAINED = re.compile(r"\.?contained\[\d+\]$")


def mark_replayed(quarantine: Path, batches: set[str], into: str) -> None:
    """Note that what waited from these batches was loaded again as batch ``into``."""
    for batch in batches:
        (quarantine / batch / REPLAYED).write_text(json.dumps({"into": into}))
