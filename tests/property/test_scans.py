"""What is learned of a patient whom one knows by scanning where counts part, and where they appear."""

from __future__ import annotations

import pytest

from tests.bench.known_patient import UNLIMITED
from tests.bench.scans import ATTACKS, learn


@pytest.mark.slow
def test_scan_of_the_limits_tells_nothing_of_one_patient():
    """Two people without a common study, drafts and two nights; a half is right by chance. With one limit for all the
    attack was right in 90 % of 60 cases."""
    assert learn("steps", 30, UNLIMITED).right <= 0.65


@pytest.mark.long
@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_each_scan_is_right_at_most_in_six_cases_of_ten(attack):
    learned = learn(attack, 360, UNLIMITED)

    assert learned.refused <= 0.25
    assert learned.right <= 0.6
