"""The kinds of criteria as frozen values. Dates are days as the hospital wrote them; codes are upper case, undotted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

SEXES = ("female", "male", "other", "unknown")
CLASSES = ("ACUTE", "AMB", "EMER", "FLD", "HH", "IMP", "NONAC", "OBSENC", "PRENC", "SS", "VR")
COMPARATORS = ("<", "<=", "=", ">=", ">")
VIA = ("administration", "dispense", "request", "statement")
DIRECTIONS = ("after", "around", "before")


@dataclass(frozen=True)
class Period:
    """Days from ``start`` to ``end``, both included; None is open."""

    start: date | None = None
    end: date | None = None

    def __bool__(self) -> bool:
        return self.start is not None or self.end is not None


@dataclass(frozen=True)
class Age:
    """Whole years at a day, or at the start of at least one stay when ``on`` is None."""

    min: int | None
    max: int | None
    on: date | None


@dataclass(frozen=True)
class Sex:
    """Administrative gender, one of."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Stay:
    """A stay of one of the classes (any without) that touches the period."""

    classes: tuple[str, ...] = ()
    period: Period = Period()


@dataclass(frozen=True)
class Diagnosis:
    """A condition under one of the CIM-10 codes: ``E11`` holds E11.9; ``I10-I15`` is a range of categories."""

    codes: tuple[str, ...]
    period: Period = Period()


@dataclass(frozen=True)
class Laboratory:
    """A result of a LOINC code, compared with ``value`` in ``unit`` (UCUM) where there is an ``op``."""

    loinc: str
    op: str | None = None
    value: Decimal | None = None
    unit: str | None = None
    period: Period = Period()


@dataclass(frozen=True)
class Treatment:
    """A medication under one of the ATC codes, by one of the ways the warehouse knows (any without)."""

    atc: tuple[str, ...]
    via: tuple[str, ...] = VIA
    period: Period = Period()


@dataclass(frozen=True)
class Procedure:
    """An act whose CCAM code begins with one of these."""

    ccam: tuple[str, ...]
    period: Period = Period()


Event = Stay | Diagnosis | Laboratory | Treatment | Procedure


@dataclass(frozen=True)
class Within:
    """``event`` at most ``days`` after, before or around (either) ``of``; the same day counts."""

    event: Event
    of: Event
    days: int
    direction: str


Leaf = Age | Sex | Event | Within


@dataclass(frozen=True)
class And:
    """All of them; none is everybody."""

    all: tuple[Criterion, ...]


@dataclass(frozen=True)
class Or:
    """At least one of them."""

    any: tuple[Criterion, ...]


@dataclass(frozen=True)
class Not:
    """Those who do not meet it."""

    criterion: Criterion


Criterion = Leaf | And | Or | Not


def leaves(criterion: Criterion) -> Iterator[Leaf]:
    """Every leaf, left to right, as often as it is written."""
    match criterion:
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case Not(inner):
            yield from leaves(inner)
        case _:
            yield criterion


def steps(criterion: Criterion) -> tuple[Criterion, ...]:
    """The parts of the top-level "and" in order; one part when it is another criterion."""
    return criterion.all if isinstance(criterion, And) else (criterion,)
