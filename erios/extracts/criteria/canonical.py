"""One form for one meaning: sorted, without repeats, doubled negations or nested "and"/"or"; its JSON and digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from erios.extracts.criteria.model import (
    VIA,
    Age,
    And,
    Criterion,
    Diagnosis,
    Event,
    Laboratory,
    Not,
    Or,
    Period,
    Procedure,
    Sex,
    Stay,
    Treatment,
    Within,
)


def canonical(criterion: Criterion) -> Criterion:
    """The canonical form of a criterion; it means the same."""
    match criterion:
        case And(parts):
            return _gather(And, parts)
        case Or(parts):
            return _gather(Or, parts)
        case Not(Not(inner)):
            return canonical(inner)
        case Not(inner):
            found = canonical(inner)
            return found.criterion if isinstance(found, Not) else Not(found)
        case Sex(values):
            return Sex(_sorted(values))
        case Within(event, of, days, "before"):
            return canonical(Within(of, event, days, "after"))
        case Within(event, of, days, direction):
            first, second = _event(event), _event(of)
            if direction == "around" and _text(second) < _text(first):
                first, second = second, first
            return Within(first, second, days, direction)
        case Age():
            return criterion
    return _event(criterion)


def _event(event: Event) -> Event:
    match event:
        case Stay(classes):
            return replace(event, classes=_sorted(classes))
        case Diagnosis(codes):
            return replace(event, codes=_outermost(codes))
        case Treatment(atc, via):
            return replace(event, atc=_outermost(atc), via=_sorted(via))
        case Procedure(ccam):
            return replace(event, ccam=_outermost(ccam))
    return event


def _gather(kind: type[And] | type[Or], parts: Iterable[Criterion]) -> Criterion:
    flat: dict[str, Criterion] = {}
    for part in map(canonical, parts):
        inner = (part.all if isinstance(part, And) else part.any) if isinstance(part, And | Or) else ()
        for one in inner if isinstance(part, kind) else (part,):
            flat[_text(one)] = one
    found = tuple(flat[text] for text in sorted(flat))
    return found[0] if len(found) == 1 else kind(found)


def _sorted(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


def _outermost(codes: Iterable[str]) -> tuple[str, ...]:
    """Codes that no other, shorter one holds; ranges stay as they are."""
    kept: list[str] = []
    for code in _sorted(codes):
        if "-" in code or not any("-" not in outer and code.startswith(outer) for outer in kept):
            kept.append(code)
    return tuple(kept)


def dump(criterion: Criterion) -> dict[str, Any]:
    """The JSON value of a criterion, as ``parse`` reads it."""
    match criterion:
        case And(parts):
            return {"and": [dump(part) for part in parts]}
        case Or(parts):
            return {"or": [dump(part) for part in parts]}
        case Not(inner):
            return {"not": dump(inner)}
        case Age(low, high, on):
            bounds = {name: n for name, n in (("min", low), ("max", high)) if n is not None}
            return {"age": {**bounds, "at": on.isoformat() if on else "stay"}}
        case Sex(values):
            return {"sex": list(values)}
        case Within(event, of, days, direction):
            return {"within": {"event": dump(event), "days": days, "of": dump(of), "direction": direction}}
    return _dump_event(criterion)


def _dump_event(event: Stay | Diagnosis | Laboratory | Treatment | Procedure) -> dict[str, Any]:
    period = _dump_period(event.period)
    match event:
        case Stay(classes):
            return {"stay": {**({"class": list(classes)} if classes else {}), **period}}
        case Diagnosis(codes):
            return {"diagnosis": {"codes": list(codes), **period}}
        case Treatment(atc, via):
            ways = {} if set(via) == set(VIA) else {"via": list(via)}
            return {"treatment": {"atc": list(atc), **ways, **period}}
        case Procedure(ccam):
            return {"procedure": {"ccam": list(ccam), **period}}
        case Laboratory(loinc, op, value, unit):
            compared = {} if value is None else {"op": op, "value": plain_number(value), "unit": unit}
            return {"laboratory": {"loinc": loinc, **compared, **period}}


def plain_number(value: Decimal) -> str:
    """Without exponent, trailing zeros or a negative zero."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _dump_period(period: Period) -> dict[str, str]:
    return {name: day.isoformat() for name, day in (("from", period.start), ("to", period.end)) if day}


def _text(criterion: Criterion) -> str:
    return json.dumps(dump(criterion), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical_json(criterion: Criterion) -> str:
    """Canonical JSON text: same meaning, same text, as far as rearranging goes."""
    return _text(canonical(criterion))


def digest(criterion: Criterion) -> str:
    """SHA-256 of the canonical JSON, in hex: the name of a question in caches and budgets."""
    return hashlib.sha256(canonical_json(criterion).encode()).hexdigest()
