"""The algebra of exposure, against the plain reckoning of it."""

from __future__ import annotations

import numpy as np
import pytest

from erios.extracts.differencing import (
    BlurredLimits,
    Groups,
    Naming,
    Overlaps,
    count_apart,
    is_overexposed,
    pack,
    unpack,
)
from erios.governance.disclosure import Parameters

PATIENTS, THRESHOLD = 500, 11


def _overlaps(groups: list[np.ndarray]) -> Overlaps:
    overlaps = Overlaps()
    for place, group in enumerate(groups):
        overlaps.extend({place: pack(group)})
    return overlaps


@pytest.fixture
def groups() -> list[np.ndarray]:
    draw = np.random.default_rng(1)
    return [draw.random(PATIENTS) < share for share in (0.1, 0.2, 0.3, 0.5, 0.5, 0.9)]


def test_shared_patients_are_those_of_plain_counting(groups):
    expected = [[int((a & b).sum()) for a in groups] for b in groups]

    assert _overlaps(groups).shared.tolist() == expected
    assert Overlaps().extended(dict(enumerate(map(pack, groups)))).shared.tolist() == expected


def test_group_is_named_once_and_near_ones_are_taken_for_it(groups):
    naming = Naming(Groups(THRESHOLD))
    for group in groups:
        naming.nearest(group)
    near = groups[0].copy()
    near[:10] = ~near[:10]

    assert np.array_equal(naming.nearest(near), groups[0])
    assert naming.place(groups[0]) == 0
    assert len(naming.layer) == len(groups)


def test_layer_sees_what_is_below_and_leaves_it_as_it_is(groups):
    below = Groups(THRESHOLD)
    below.add(pack(groups[0]))
    naming = Naming(Groups(THRESHOLD, below))

    assert [naming.place(groups[0]), naming.place(groups[1])] == [0, 1]
    assert (len(below), len(naming.layer)) == (1, 2)
    assert np.array_equal(unpack(naming.layer.packed(1), PATIENTS), groups[1])


def test_drift_is_how_far_leaves_are_from_the_groups_they_are_taken_for(groups):
    naming, near = Naming(Groups(THRESHOLD)), groups[0].copy()
    near[:7] = ~near[:7]
    naming.nearest_leaf(groups[0])
    naming.nearest_leaf(near)

    assert naming.drift == 7


def test_longer_roster_changes_no_group(groups):
    longer = np.concatenate([groups[0], np.zeros(100, dtype=bool)])

    assert count_apart(pack(longer), pack(groups[0])) == 0
    longer[-3:] = True
    assert count_apart(pack(longer), pack(groups[0])) == count_apart(pack(groups[0]), pack(longer)) == 3


@pytest.mark.parametrize("answers", [1, 2, 4])
def test_exposure_is_that_of_plain_linear_algebra(groups, answers):
    """Posterior variance of each group's size, reckoned with the patients' own vectors."""
    shown = [g.astype(float) for g in groups[:answers]]
    of = np.stack(shown)
    covariance = np.eye(PATIENTS) - of.T @ np.linalg.inv(of @ of.T + 100 * np.eye(answers)) @ of
    left = [g @ covariance @ g for g in map(np.asarray, groups)]

    for looks in (0.5, 0.9, 1.5, 4.0):
        expected = any(v < 1 / (1 / g.sum() + looks / 100) for v, g in zip(left, groups, strict=True))
        assert is_overexposed(_overlaps(groups).shared, range(answers), range(len(groups)), 100.0, looks) == expected


def test_groups_a_little_further_apart_than_the_threshold_are_near_by_chance():
    parameters = Parameters()
    draw = np.random.default_rng(3)
    taken = dict.fromkeys((10, 28, 44), 0)
    for apart in taken:
        for _ in range(100):
            layer = Groups(THRESHOLD, limits=BlurredLimits(b"a secret", parameters))
            group = draw.random(PATIENTS) < 0.5
            layer.add(pack(group))
            group[draw.choice(PATIENTS, apart, replace=False)] ^= True
            taken[apart] += layer.near(pack(group)) is not None

    assert (taken[10], taken[44]) == (100, 0)
    assert 30 < taken[28] < 70
