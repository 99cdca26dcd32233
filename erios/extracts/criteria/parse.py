"""From JSON to criteria; whatever is not as it must be is an InputError that names the place and what is allowed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from erios.errors import InputError
from erios.extracts.criteria.fields import check_list, check_name, fail
from erios.extracts.criteria.kinds import LEAVES
from erios.extracts.criteria.model import And, Criterion, Not, Or

MAX_DEPTH, MAX_PARTS = 8, 40


def parse(source: str | bytes | Any, *, at: str = "criteria") -> Criterion:
    """Criteria from JSON text or its decoded value. InputError, one sentence, for anything else."""
    if isinstance(source, str | bytes):
        try:
            source = json.loads(source, parse_float=Decimal)
        except (ValueError, RecursionError):
            raise InputError(f"{at}: not JSON; docs/criteria.md shows the form") from None
    return _criterion(source, at, 0)


def _criterion(value: Any, at: str, depth: int) -> Criterion:
    if depth > MAX_DEPTH:
        fail(at, f"criteria go at most {MAX_DEPTH} deep")
    name = check_name(value, at, [*LEAVES, "and", "or", "not"])
    inner, at = value[name], f"{at}.{name}"
    match name:
        case "and":
            return And(_parts(inner, at, depth, least=0))
        case "or":
            return Or(_parts(inner, at, depth, least=1))
        case "not":
            return Not(_criterion(inner, at, depth + 1))
    return LEAVES[name].parse(inner, at)


def _parts(value: Any, at: str, depth: int, *, least: int) -> tuple[Criterion, ...]:
    parts = check_list(value, at, MAX_PARTS, least)
    return tuple(_criterion(part, f"{at}[{n}]", depth + 1) for n, part in enumerate(parts))
