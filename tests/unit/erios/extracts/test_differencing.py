"""The algebra of exposure, against the plain reckoning of it."""

from __future__ import annotations

import numpy as np
import pytest

from erios.extracts.differencing import Named, is_overexposed

PATIENTS, THRESHOLD = 500, 11


def _named(groups: list[np.ndarray]) -> Named:
    named = Named(THRESHOLD, np.packbits(np.ones(PATIENTS, dtype=bool)))
    for group in groups:
        named.nearest(group)
    return named


@pytest.fixture
def groups() -> list[np.ndarray]:
    draw = np.random.default_rng(1)
    return [draw.random(PATIENTS) < share for share in (0.1, 0.2, 0.3, 0.5, 0.5, 0.9)]


def test_shared_patients_are_those_of_plain_counting(groups):
    everybody = np.ones(PATIENTS, dtype=bool)
    of = [everybody, *groups]

    assert _named(groups).shared.tolist() == [[int((a & b).sum()) for a in of] for b in of]


def test_group_is_named_once_and_near_ones_are_taken_for_it(groups):
    named, near = _named(groups), groups[0].copy()
    near[:10] = ~near[:10]

    assert np.array_equal(named.nearest(near), groups[0])
    assert named.index(np.packbits(groups[0])) == 1
    assert len(named.shared) == len(groups) + 1


def test_copy_goes_on_without_its_original(groups):
    named = _named(groups[:3])
    other = named.copy()
    other.nearest(groups[3])

    assert (len(named.shared), len(other.shared)) == (4, 5)


@pytest.mark.parametrize("answers", [1, 2, 4])
def test_exposure_is_that_of_plain_linear_algebra(groups, answers):
    """Posterior variance of each group's size, reckoned with the patients' own vectors."""
    shown = [g.astype(float) for g in groups[:answers]]
    of = np.stack(shown)
    covariance = np.eye(PATIENTS) - of.T @ np.linalg.inv(of @ of.T + 100 * np.eye(answers)) @ of
    left = [g @ covariance @ g for g in map(np.asarray, groups)]

    for looks in (0.5, 0.9, 1.5, 4.0):
        expected = any(v < 1 / (1 / g.sum() + looks / 100) for v, g in zip(left, groups, strict=True))
        assert is_overexposed(_named(groups).shared, range(1, answers + 1), 100.0, looks) == expected
