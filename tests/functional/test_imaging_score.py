"""`erios imaging score`: MIDI-B's actions on a generated set."""

from __future__ import annotations

import pytest

from erios.checkout import PROJECT
from erios.workflows.imaging_score import ACTIONS, rows_of, score_images

PROFILE = PROJECT / "conf" / "dicom.toml"


@pytest.mark.slow
def test_a_small_set_is_scored_on_every_action() -> None:
    score = score_images(PROFILE, 2, 3)

    rows = rows_of(score)
    assert [row["action"] for row in rows] == list(ACTIONS)
    for action in ("text removed", "UID consistent", "patient consistent", "date shifted", "tag retained"):
        assert score.asked[action] > 0
        assert score.share(action) == 1, action
    assert score.share("pixels hidden") == 1


@pytest.mark.long
def test_the_full_set_of_series_is_scored(figure) -> None:
    score = score_images(PROFILE, 36, 1)

    for row in rows_of(score):
        figure(f"MIDI-B: {row['action']}", f"{row['right']:,} of {row['asked']:,}")
    figure("MIDI-B: series held back", f"{score.held} of {score.series}")
    for action in set(ACTIONS) - {"pixels kept"}:
        assert score.share(action) == 1, action
    assert score.share("pixels kept") > 0.95
