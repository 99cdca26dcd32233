"""A differencing attacker with a study's whole budget: the small twin of `python -m tests.bench.differencing`."""

from __future__ import annotations

import pytest

from erios.governance.disclosure import Parameters
from tests.bench.differencing import ATTACKS, estimate, measure


@pytest.mark.slow
@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_attacker_guesses_no_better_than_the_prior(attack):
    found = measure(attack, 22, Parameters(budget=30))

    assert found.shown > 5
    assert found.success <= found.prior + 3 * found.margin / 2


@pytest.mark.parametrize("attack", ["pairs", "unions", "random_unions", "edges"])
def test_masked_group_leaves_no_trace(attack):
    """Every answer is the same whether nobody or ten patients are in the masked group."""
    small = Parameters(budget=30)

    assert estimate(attack, 0, 5, small) == estimate(attack, 10, 5, small)
