"""From JSON to criteria; whatever is not as it must be is an InputError that names the place and what is allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from erios.errors import InputError
from erios.extracts.criteria.model import (
    CLASSES,
    COMPARATORS,
    DIRECTIONS,
    SEXES,
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

MAX_DEPTH, MAX_CODES, MAX_PARTS = 8, 100, 40
_CIM10 = re.compile(r"[A-Z][0-9]{2}[0-9A-Z+]{0,5}|[A-Z][0-9]{2}-[A-Z][0-9]{2}")
_ATC = re.compile(r"[A-Z]([0-9]{2}([A-Z]([A-Z]([0-9]{2})?)?)?)?")
_CCAM = re.compile(r"[A-Z]{2,4}|[A-Z]{4}[0-9]{1,3}")
_LOINC = re.compile(r"[0-9]{1,7}-[0-9]")
_UNIT = re.compile(r"[!-~µ°²³]{1,40}")


def parse(source: str | bytes | Any, *, at: str = "criteria") -> Criterion:
    """Criteria from JSON text or its decoded value. InputError, one sentence, for anything else."""
    if isinstance(source, str | bytes):
        try:
            source = json.loads(source, parse_float=Decimal)
        except (ValueError, RecursionError):
            raise InputError(f"{at}: not JSON; docs/criteria.md shows the form") from None
    return _criterion(source, at, 0)


def _fail(at: str, problem: str) -> NoReturn:
    raise InputError(f"{at}: {problem}")


def _criterion(value: Any, at: str, depth: int) -> Criterion:
    if depth > MAX_DEPTH:
        _fail(at, f"criteria go at most {MAX_DEPTH} deep")
    kind = _kind(value, at, [*_LEAVES, "and", "or", "not", "within"])
    inner, at = value[kind], f"{at}.{kind}"
    if kind in ("and", "or"):
        found = _list(inner, at, MAX_PARTS, least=0 if kind == "and" else 1)
        parts = tuple(_criterion(part, f"{at}[{n}]", depth + 1) for n, part in enumerate(found))
        return And(parts) if kind == "and" else Or(parts)
    if kind == "not":
        return Not(_criterion(inner, at, depth + 1))
    return _within(inner, at) if kind == "within" else _LEAVES[kind](inner, at)


def _kind(value: Any, at: str, allowed: Collection[str]) -> str:
    names = f"one of {', '.join(sorted(allowed))}"
    if not isinstance(value, Mapping) or len(value) != 1:
        _fail(at, f"must be an object with one name, {names}")
    (kind,) = value
    if kind not in allowed:
        _fail(at, f"unknown criterion {_quoted(kind)}; {names}")
    return str(kind)


def _quoted(value: Any) -> str:
    return f"'{str(value)[:40]}'"


def _list(value: Any, at: str, most: int, least: int = 1) -> list[Any]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        _fail(at, f"must be a list of {least} to {most} entries")
    return value


def _fields(value: Any, at: str, allowed: Collection[str], needed: Collection[str] = ()) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _fail(at, f"must be an object with {', '.join(allowed)}")
    for name in value:
        if name not in allowed:
            _fail(at, f"unknown field {_quoted(name)}; allowed are {', '.join(allowed)}")
    for name in needed:
        if name not in value:
            _fail(at, f"field '{name}' is missing")
    return value


def _age(value: Any, at: str) -> Age:
    fields = _fields(value, at, ("min", "max", "at"), ("at",))
    low, high = (_whole(fields[name], f"{at}.{name}", 0, 150) if name in fields else None for name in ("min", "max"))
    if low is None and high is None:
        _fail(at, "needs 'min', 'max' or both")
    if low is not None and high is not None and low > high:
        _fail(at, "'min' is above 'max'")
    return Age(low, high, None if fields["at"] == "stay" else _day(fields["at"], f"{at}.at", " or 'stay'"))


def _whole(value: Any, at: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        _fail(at, f"must be a whole number from {low} to {high}")
    return value


def _day(value: Any, at: str, more: str = "") -> date:
    try:
        if isinstance(value, str) and len(value) == 10:
            return date.fromisoformat(value)
    except ValueError:
        pass
    _fail(at, f"must be a day such as '2024-01-31'{more}")


def _sex(value: Any, at: str) -> Sex:
    return Sex(_words(value if isinstance(value, list) else [value], at, SEXES))


def _words(value: Any, at: str, allowed: Collection[str]) -> tuple[str, ...]:
    for entry in _list(value, at, MAX_CODES):
        if not isinstance(entry, str) or entry not in allowed:
            _fail(at, f"{_quoted(entry)} is not one of {', '.join(allowed)}")
    return tuple(value)


def _codes(value: Any, at: str, form: re.Pattern[str], example: str) -> tuple[str, ...]:
    entries = _list(value if isinstance(value, list) else [value], at, MAX_CODES)
    return tuple(_code(entry, at, form, example) for entry in entries)


def _code(value: Any, at: str, form: re.Pattern[str], example: str) -> str:
    code = value.upper().replace(".", "").strip() if isinstance(value, str) else ""
    if not form.fullmatch(code):
        _fail(at, f"{_quoted(value)} is not a code such as {example}")
    return code


def _period(fields: Mapping[str, Any], at: str) -> Period:
    start, end = (_day(fields[name], f"{at}.{name}") if name in fields else None for name in ("from", "to"))
    if start and end and start > end:
        _fail(at, "'from' is after 'to'")
    return Period(start, end)


def _stay(value: Any, at: str) -> Stay:
    fields = _fields(value, at, ("class", "from", "to"))
    classes = fields.get("class", [])
    classes = classes if isinstance(classes, list) else [classes]
    return Stay(_words(classes, f"{at}.class", CLASSES) if "class" in fields else (), _period(fields, at))


def _diagnosis(value: Any, at: str) -> Diagnosis:
    fields = _fields(value, at, ("codes", "from", "to"), ("codes",))
    codes = _codes(fields["codes"], f"{at}.codes", _CIM10, "'E11', 'E11.9' or 'I10-I15'")
    for code in codes:
        if "-" in code and code[:3] > code[4:]:
            _fail(f"{at}.codes", f"the range {_quoted(code)} is upside down")
    return Diagnosis(codes, _period(fields, at))


def _laboratory(value: Any, at: str) -> Laboratory:
    fields = _fields(value, at, ("loinc", "op", "value", "unit", "from", "to"), ("loinc",))
    loinc = _code(fields["loinc"], f"{at}.loinc", _LOINC, "'718-7'")
    given = [name for name in ("op", "value", "unit") if name in fields]
    if not given:
        return Laboratory(loinc, period=_period(fields, at))
    if len(given) < 3:
        _fail(at, "'op', 'value' and 'unit' go together")
    (op,) = _words([fields["op"]], f"{at}.op", COMPARATORS)
    unit = fields["unit"]
    if not isinstance(unit, str) or not _UNIT.fullmatch(unit):
        _fail(f"{at}.unit", "must be a UCUM unit such as 'g/dL'")
    return Laboratory(loinc, op, _number(fields["value"], f"{at}.value"), unit, _period(fields, at))


def _number(value: Any, at: str) -> Decimal:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
            raise InvalidOperation
        number = Decimal(str(value))
        if abs(number) < 10**9 and number == number.quantize(Decimal("0.000001")):
            return number
    except InvalidOperation:
        pass
    _fail(at, "must be a number under 1000000000 with at most 6 decimals")


def _treatment(value: Any, at: str) -> Treatment:
    fields = _fields(value, at, ("atc", "via", "from", "to"), ("atc",))
    via = _words(fields["via"], f"{at}.via", VIA) if "via" in fields else VIA
    return Treatment(_codes(fields["atc"], f"{at}.atc", _ATC, "'A10' or 'A10BA02'"), via, _period(fields, at))


def _procedure(value: Any, at: str) -> Procedure:
    fields = _fields(value, at, ("ccam", "from", "to"), ("ccam",))
    return Procedure(_codes(fields["ccam"], f"{at}.ccam", _CCAM, "'HHFA016' or 'HHFA'"), _period(fields, at))


def _within(value: Any, at: str) -> Within:
    fields = _fields(value, at, ("event", "days", "of", "direction"), ("event", "days", "of"))
    (direction,) = _words([fields.get("direction", "around")], f"{at}.direction", DIRECTIONS)
    days = _whole(fields["days"], f"{at}.days", 0, 36_500)
    return Within(_event(fields["event"], f"{at}.event"), _event(fields["of"], f"{at}.of"), days, direction)


def _event(value: Any, at: str) -> Event:
    kind = _kind(value, at, _EVENTS)
    return _EVENTS[kind](value[kind], f"{at}.{kind}")


_EVENTS: Mapping[str, Callable[[Any, str], Event]] = {
    "stay": _stay,
    "diagnosis": _diagnosis,
    "laboratory": _laboratory,
    "treatment": _treatment,
    "procedure": _procedure,
}
_LEAVES: Mapping[str, Callable[[Any, str], Criterion]] = {"age": _age, "sex": _sex, **_EVENTS}
