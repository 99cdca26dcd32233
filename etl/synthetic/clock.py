"""Time in the demonstration hospital: minutes since 1970 (UTC) in the code, Paris time in FHIR texts.

The machine's clock is never read: a seed gives the same bytes on any day.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date
from functools import cache

MINUTES_A_DAY = 1440
DAYS_A_YEAR = 365.25
_EPOCH = date(1970, 1, 1).toordinal()


def day_of(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01."""
    return date(year, month, day).toordinal() - _EPOCH


@cache
def day_text(day: int) -> str:
    """A day number as FHIR `date`, full precision."""
    return date.fromordinal(day + _EPOCH).isoformat()


def day_french(day: int) -> str:
    """A day number as French letters write it: 03/02/2024."""
    year, month, of_month = day_text(day).split("-")
    return f"{of_month}/{month}/{year}"


def _last_sunday(year: int, month: int) -> int:
    last = date(year, month, 31)
    return last.toordinal() - _EPOCH - (last.weekday() + 1) % 7


def _changes() -> list[int]:
    """Minutes at which Paris changes its clock: odd places start summer time (directive 2000/84/EC)."""
    minutes = []
    for year in range(1997, 2051):
        minutes += [_last_sunday(year, month) * MINUTES_A_DAY + 60 for month in (3, 10)]
    return minutes


_CHANGES = _changes()


def _is_summer(minute: int) -> bool:
    return bisect_right(_CHANGES, minute) % 2 == 1


@cache
def _time_text(minute_of_day: int) -> str:
    return f"T{minute_of_day // 60:02d}:{minute_of_day % 60:02d}:"


def local_day(minute: int) -> int:
    """The day in Paris of a minute (UTC)."""
    return (minute + (120 if _is_summer(minute) else 60)) // MINUTES_A_DAY


def instant(minute: int, seconds: str = "00") -> str:
    """A minute (UTC) as FHIR `dateTime` of Paris, with its zone; `seconds` may carry a fraction."""
    summer = _is_summer(minute)
    day, rest = divmod(minute + (120 if summer else 60), MINUTES_A_DAY)
    return day_text(day) + _time_text(rest) + seconds + ("+02:00" if summer else "+01:00")


def clock_french(minute: int) -> str:
    """The hour as French letters write it: 14 h 05."""
    text = instant(minute)
    return f"{text[11:13]} h {text[14:16]}"
