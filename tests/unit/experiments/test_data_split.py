"""Parts of the data: by patient, from the seed alone."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as some

from experiments.data_split import PARTS, SHARES, part_of
from experiments.errors import BundleError


@given(some.text(min_size=1), some.integers(0, 2**31))
def test_a_patient_is_in_one_part_and_stays_there(patient, seed):
    assert part_of(patient, seed) in PARTS
    assert part_of(patient, seed) == part_of(patient, seed)


def test_parts_have_their_shares_and_another_seed_deals_anew():
    patients = [f"patient {number}" for number in range(20_000)]
    counts = Counter(part_of(patient, 0) for patient in patients)

    assert {part: counts[part] / 20_000 for part in PARTS} == pytest.approx(dict(SHARES), abs=0.01)
    moved = sum(part_of(patient, 0) != part_of(patient, 1) for patient in patients) / 20_000
    assert moved == pytest.approx(1 - sum(share**2 for share in SHARES.values()), abs=0.02)


@pytest.mark.parametrize("shares", [{"train": 0.5}, {"train": 1.5, "test": -0.5}, {"train": 0.5, "dev": 0.5}])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(BundleError, match="sum to 1"):
        part_of("somebody", 0, shares)
