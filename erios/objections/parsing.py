"""What people write of patients who object: one on the command line, or a list. Knows no register and no key.

Owns the forms of a patient's reference. A fault is told by the number of its line, never by what the line holds.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from erios.clock import hospital_day
from erios.errors import InputError, UsageError

SYSTEMS = {"INS-NIR": "urn:oid:1.2.250.1.213.1.4.8", "INS-NIA": "urn:oid:1.2.250.1.213.1.4.9"}
"""Short names of identifier systems; others, such as the hospital's IPP, are named by their URI."""
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_SYSTEM = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+")
_LOGICAL = "Patient?identifier="
_FORMS = "write a patient as ID, Patient/ID or SYSTEM|VALUE, where SYSTEM is a URI, INS-NIR or INS-NIA"


@dataclass(frozen=True)
class Objection:
    """What to enter for one patient, before it has a number."""

    reference: str
    reason: str = ""
    date: str = ""


def parse_reference(text: str) -> str:
    """``Patient/ID`` or ``Patient?identifier=SYSTEM|VALUE`` of what a person wrote; UsageError, without the text."""
    given = text.strip()
    if "|" in given:
        return _LOGICAL + _identifier(given.removeprefix(_LOGICAL))
    given = given.removeprefix("Patient/")
    if not _ID.fullmatch(given):
        raise UsageError(f"that is no patient: {_FORMS}")
    return f"Patient/{given}"


def _identifier(text: str) -> str:
    system, value = (part.strip() for part in text.split("|", 1))
    system = SYSTEMS.get(system, system)
    if not value or (system and not _SYSTEM.fullmatch(system)):
        raise UsageError(f"that is no identifier of a patient: {_FORMS}")
    return f"{system}|{value}"


def read_list(text: str, name: str) -> list[Objection]:
    """The patients of a list: CSV with a column ``patient`` (and ``reason``, ``date``), or one a line.

    Raises InputError with the numbers of all lines that are unfit, and nothing of what they hold.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    head = lines[0] if lines else ""
    separator = ";" if ";" in head else ","
    columns = [column.strip().strip('"').lower() for column in head.split(separator)]
    rows = _csv_rows(lines, separator, columns) if "patient" in columns else _plain_rows(lines)
    objections, unfit = _sift(rows)
    if unfit:
        raise InputError(f"{_lines(unfit)} of {name}: {_FORMS}, a date as 2026-01-31; nothing was imported")
    if not objections:
        raise InputError(f"{name} names no patient; nothing was imported")
    return objections


def _plain_rows(lines: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    return ((number, {"patient": line}) for number, line in enumerate(lines, 1) if line.strip())


def _csv_rows(lines: Sequence[str], separator: str, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    if unknown := [column for column in columns if column not in ("patient", "reason", "date")]:
        raise InputError(
            f"the list has {len(unknown)} columns that are none of patient, reason, date; nothing was imported"
        )
    reader = csv.reader(lines[1:], delimiter=separator)
    for row in reader:
        if any(cell.strip() for cell in row):
            fits = len(row) == len(columns)
            yield reader.line_num + 1, dict(zip(columns, row, strict=True)) if fits else {"patient": ""}


def _sift(rows: Iterable[tuple[int, Mapping[str, str]]]) -> tuple[list[Objection], list[int]]:
    objections, unfit = [], []
    for number, row in rows:
        try:
            day = check_date(row.get("date", ""))
            objections.append(Objection(parse_reference(row["patient"]), row.get("reason", "").strip(), day))
        except UsageError:
            unfit.append(number)
    return objections, unfit


def check_date(text: str, today: Callable[[], date] = hospital_day) -> str:
    """A day as YYYY-MM-DD, not in the future; empty stays empty. UsageError."""
    given = text.strip()
    try:
        fits = not given or (len(given) == 10 and date.fromisoformat(given) <= today())
    except ValueError:
        fits = False
    if not fits:
        raise UsageError("a date is written as 2026-01-31 and is not in the future")
    return given


def _lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:20])) + (f" and {len(numbers) - 20} more" if len(numbers) > 20 else "")
    return f"line {shown}" if len(numbers) == 1 else f"lines {shown}"
