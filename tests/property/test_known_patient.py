"""What is learned of a patient whom one knows, by two questions that differ by that patient alone."""

from __future__ import annotations

import pytest

from tests.bench.known_patient import ATTACKS, UNLIMITED, learn


@pytest.mark.slow
@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_two_questions_tell_nothing_of_the_patient_between_them(attack):
    """Forced to answer about each of 120 patients: half are right by chance, and nearly all questions are answered."""
    learned = learn(attack, 1, 120, UNLIMITED)

    assert learned.right <= 0.6
    assert learned.differing <= 0.05
    assert learned.refused <= 0.25
