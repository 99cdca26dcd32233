"""The criteria builder: rows of a form to the JSON of criteria, and back.

One row a criterion, read from top to bottom. A row joins the one before it by "and", by "or", or by "within N days
of"; "except" turns it round. What the form cannot say (deeper nesting) is written as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from erios.errors import InputError

KINDS = ("age", "sex", "stay", "diagnosis", "laboratory", "treatment", "procedure")
JOINS = ("and", "or", "within")
FIELDS = ("join", "kind", "except", "min", "max", "sex", "class", "codes", "op", "value", "unit", "from", "to", "days")
_CODES = {"diagnosis": "codes", "treatment": "atc", "procedure": "ccam"}


@dataclass(frozen=True)
class Row:
    """One row of the form; every field is the text that stands in it."""

    fields: Mapping[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> str:
        return self.fields.get(name.rstrip("_"), "")

    def get(self, name: str) -> str:
        return self.fields.get(name, "").strip()


def rows_of(post: Mapping[str, str]) -> list[Row]:
    """The rows of a submitted form, whose fields are named ``3:codes``."""
    numbers = sorted({int(name.split(":")[0]) for name in post if name.split(":")[0].isdigit()})
    return [Row({name: post.get(f"{number}:{name}", "") for name in FIELDS}) for number in numbers]


def criteria_of(rows: Sequence[Row]) -> dict[str, Any]:
    """The criteria that the rows say. InputError names the row that does not fit."""
    parts: list[dict[str, Any]] = []
    for place, row in enumerate(rows, start=1):
        said = _criterion(row, place)
        join = row.get("join") if parts else "and"
        if join == "within":
            said = {"within": {"event": said, "of": _event(parts.pop(), place), "days": _number(row, "days", place)}}
        said = {"not": said} if row.get("except") else said
        if join == "or":
            before = parts.pop()
            said = {"or": [*(before["or"] if set(before) == {"or"} else [before]), said]}
        parts.append(said)
    return {"and": parts}


def _event(part: Mapping[str, Any], place: int) -> Mapping[str, Any]:
    if set(part) & {"and", "or", "not", "within", "age", "sex"}:
        raise InputError(f"line {place}: 'within days of' follows a single stay, diagnosis, result, treatment or act")
    return part


def _criterion(row: Row, place: int) -> dict[str, Any]:
    kind = row.get("kind")
    if kind == "age":
        limits = {name: _number(row, name, place) for name in ("min", "max") if row.get(name)}
        return {"age": {**limits, "at": row.get("from") or "stay"}}
    if kind == "sex":
        return {"sex": row.get("sex") or "female"}
    period = {name: row.get(name) for name in ("from", "to") if row.get(name)}
    if kind == "stay":
        return {"stay": {**({"class": [row.get("class")]} if row.get("class") else {}), **period}}
    if kind == "laboratory":
        compared = {name: row.get(name) for name in ("op", "value", "unit")} if row.get("value") else {}
        return {"laboratory": {"loinc": row.get("codes"), **compared, **period}}
    if kind in _CODES:
        return {kind: {_CODES[kind]: [code for code in row.get("codes").replace(",", " ").split() if code], **period}}
    raise InputError(f"line {place}: choose what it is about: {', '.join(KINDS)}")


def _number(row: Row, name: str, place: int) -> int:
    if not row.get(name).isdigit():
        raise InputError(f"line {place}: '{name}' must be a whole number")
    return int(row.get(name))


def rows_from(criteria: Mapping[str, Any] | None) -> list[Row]:
    """Rows that say these criteria; none where the form cannot say them."""
    found: list[Row] = []
    for part in (criteria or {}).get("and", ()):
        for place, inner in enumerate(part["or"] if set(part) == {"or"} else [part]):
            row = _row(inner)
            if row is None:
                return []
            found += [Row({**one, "join": one.get("join") or ("or" if place else "and")}) for one in row]
    return found


def _row(part: Mapping[str, Any]) -> list[dict[str, str]] | None:
    if set(part) == {"not"}:
        inner = _row(part["not"])
        return [*inner[:-1], {**inner[-1], "except": "1"}] if inner else None
    if set(part) == {"within"}:
        event, of = _row(part["within"]["event"]), _row(part["within"]["of"])
        if not event or not of:
            return None
        return [*of, {**event[0], "join": "within", "days": str(part["within"]["days"])}]
    (kind,) = part
    if kind not in KINDS:
        return None
    said = part[kind]
    if kind == "sex":
        return [{"kind": kind, "sex": said if isinstance(said, str) else said[0]}]
    row = {"kind": kind, **{name: str(said[name]) for name in ("min", "max", "op", "value", "unit") if name in said}}
    row |= {name: said[name] for name in ("from", "to") if name in said}
    if kind == "age" and said["at"] != "stay":
        row["from"] = said["at"]
    if "class" in said:
        row["class"] = said["class"][0]
    if code := said.get("loinc"):
        row["codes"] = code
    elif kind in _CODES:
        row["codes"] = " ".join(said[_CODES[kind]])
    return [row]
