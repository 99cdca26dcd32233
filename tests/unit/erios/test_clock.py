"""The hospital's day: the same on a machine set to any zone, in summer and winter time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from erios.clock import hospital_day


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (datetime(2026, 7, 1, 21, 59, tzinfo=UTC), date(2026, 7, 1)),
        (datetime(2026, 7, 1, 22, 0, tzinfo=UTC), date(2026, 7, 2)),
        (datetime(2026, 12, 1, 22, 59, tzinfo=UTC), date(2026, 12, 1)),
        (datetime(2026, 12, 1, 23, 0, tzinfo=UTC), date(2026, 12, 2)),
        (datetime(2026, 12, 1, 18, 0, tzinfo=timezone(timedelta(hours=-5))), date(2026, 12, 2)),
    ],
)
def test_a_day_ends_at_midnight_in_france(instant: datetime, day: date) -> None:
    assert hospital_day(instant) == day
