"""Two events near each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from erios.extracts.criteria.fields import FieldType, OneOf, Whole, check_name
from erios.extracts.criteria.model import Event, Leaf, json_text
from erios.extracts.criteria.sql import Dialect, Query

DIRECTIONS = ("after", "around", "before")


@dataclass(frozen=True)
class EventField(FieldType):
    """A whole event: a leaf criterion with days."""

    widget: ClassVar[str] = "event"

    def parse(self, value: Any, at: str) -> Event:
        events = {event.NAME: event for event in Event.__subclasses__()}
        name = check_name(value, at, events)
        return events[name].parse(value[name], f"{at}.{name}")

    def dump(self, value: Event) -> dict[str, Any]:
        return value.dump()

    def canonical(self, value: Event) -> Event:
        return value.canonical()

    def describe(self, value: Event, words: Mapping[str, str]) -> str:
        return value.describe(words)

    def schema(self) -> dict[str, Any]:
        return {"$ref": "#/$defs/event"}


@dataclass(frozen=True)
class Within(Leaf):
    """``event`` at most ``days`` after, before or around (either) ``of``; the same day counts."""

    NAME: ClassVar[str] = "within"

    event: Annotated[Event, EventField("event", "a stay, diagnosis, result, treatment or act", required=True)]
    of: Annotated[Event, EventField("of", "the event that it is near", required=True)]
    days: Annotated[int, Whole("days", "greatest distance in days", required=True, low=0, high=36_500)]
    direction: Annotated[
        str, OneOf("direction", "where `event` lies; `around` (either) without", choices=DIRECTIONS, default="around")
    ] = "around"

    def canonical(self) -> Self:
        if self.direction == "before":
            return replace(self, event=self.of, of=self.event, direction="after").canonical()
        within = super().canonical()
        if within.direction == "around" and json_text(within.of) < json_text(within.event):
            return replace(within, event=within.of, of=within.event)
        return within

    def describe(self, words: Mapping[str, str]) -> str:
        return words[self.direction].format(**self.phrases(words))

    def tables(self) -> frozenset[str]:
        return self.event.tables() | self.of.tables()

    def members(self, dialect: Dialect) -> Query:
        event, of = (side.rows(dialect, dated=True) for side in (self.event, self.of))
        after, before = self._follows("o", "e", dialect), self._follows("e", "o", dialect)
        near = {"after": after, "before": before, "around": f"(({after}) OR ({before}))"}[self.direction]
        joined = f") o ON o.patient_key = e.patient_key WHERE {near}"
        return "SELECT DISTINCT e.patient_key FROM (" + event + ") e JOIN (" + of + joined

    def _follows(self, first: str, second: str, dialect: Dialect) -> str:
        """``second`` begins while ``first`` lasts, or at most so many days after its end."""
        apart = dialect.days_between.format(since=f"{first}.last_day", until=f"{second}.first_day")
        return f"{second}.first_day >= {first}.first_day AND {apart} <= {self.days}"
