"""The hospital's day: rights end at midnight in France, whatever zone the machine's own clock is set to."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Paris")


def hospital_day(now: datetime | None = None) -> date:
    """The day in the hospital at an instant with its zone, else now."""
    return (now or datetime.now(UTC)).astimezone(ZONE).date()


def days_since(instant: datetime) -> int:
    """Whole days from an instant until now."""
    return (datetime.now(UTC) - instant).days
