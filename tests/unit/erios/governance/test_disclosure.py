"""Disclosure rules: what is masked, what noise may be, what hides beside a masked cell, what a question costs."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from erios.checkout import PROJECT
from erios.errors import RefusedError, UsageError
from erios.extracts.counts import load_parameters
from erios.governance import disclosure
from erios.governance.disclosure import Account, Parameters, Shown
from erios.translation import using

SECRET = b"a secret of thirty-two bytes ....."
DEFAULTS = Parameters()


@pytest.mark.parametrize("count", range(11))
def test_count_under_eleven_is_masked_zero_included(count):
    assert all(disclosure.show(SECRET, count, key, DEFAULTS).value is None for key in range(200))


def test_count_shown_reads_with_thin_spaces():
    assert str(Shown(12345)) == "12\u202f345"
    with using("fr"):
        assert str(Shown(None)) == "moins de 11"


def test_noise_law_has_mean_zero_its_variance_and_its_bound():
    table = disclosure.noise_table(DEFAULTS)

    assert sum(p for _, p in table) == pytest.approx(1)
    assert sum(n * p for n, p in table) == pytest.approx(0, abs=1e-12)
    assert sum(n * n * p for n, p in table) == pytest.approx(DEFAULTS.variance)
    assert (table[0][0], table[-1][0]) == (-DEFAULTS.bound, DEFAULTS.bound)


def test_noise_drawn_follows_its_law():
    drawn = Counter(disclosure.cell_noise(SECRET, 100, key, DEFAULTS) for key in range(20_000))

    mean = sum(n * times for n, times in drawn.items()) / 20_000
    variance = sum(n * n * times for n, times in drawn.items()) / 20_000
    assert abs(mean) < 4 * math.sqrt(DEFAULTS.variance / 20_000)
    assert variance == pytest.approx(DEFAULTS.variance, rel=0.05)


def test_same_set_has_the_same_noise_and_another_secret_another():
    values = [disclosure.cell_noise(SECRET, 50, key, DEFAULTS) for key in range(50)]

    assert values == [disclosure.cell_noise(SECRET, 50, key, DEFAULTS) for key in range(50)]
    assert values != [disclosure.cell_noise(SECRET + b"x", 50, key, DEFAULTS) for key in range(50)]


@pytest.mark.parametrize("count", [11, 12, 15, 20, 40, 1000])
def test_shown_count_is_never_under_the_threshold_and_within_the_bound(count):
    shown = [disclosure.show(SECRET, count, key, DEFAULTS).value for key in range(1000)]

    assert all(value is None or (value >= 11 and abs(value - count) <= DEFAULTS.bound) for value in shown)


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 10},
        {"variance": 0.0},
        {"variance": 301.0},
        {"bound": 0},
        {"budget": 0},
        {"looks": 0.5},
        {"blur": 10},
    ],
)
def test_parameters_that_would_not_protect_are_refused(wrong):
    with pytest.raises(UsageError, match="disclosure"):
        Parameters(**wrong)


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ((50, 40, 30), (50, 40, 30)),
        ((50, 40, 3), (50, None, None)),
        ((50, 40, 3, 4), (50, None, None, None)),
        ((50, 9, 8), (50, None, None)),
        ((3,), (None,)),
        ((0, 50, 60), (None, None, 60)),
    ],
)
def test_row_hides_a_companion_of_a_masked_cell(counts, shown):
    assert disclosure.protect_row(counts) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(11, 25), (341, 350), (362, 350), (363, 375), (1240, 1200), (98_765, 99_000)]
)
def test_rows_are_rounded_to_more_than_twice_the_threshold(count, shown):
    assert disclosure.round_count(count) == shown


def test_question_already_asked_is_free_to_the_account_that_was_shown_it():
    shown = Account("study", 3, 1, frozenset({("r1", "a")}))
    fresh = Account("person", 3)

    assert [account.price([("r1", "a"), ("r1", "c"), ("r1", "c")]) for account in (shown, fresh)] == [1, 2]
    assert disclosure.check_budget((shown, fresh), [("r1", "a"), ("r1", "c")], DEFAULTS) == 2
    assert disclosure.check_budget((shown,), [("r1", "a")], DEFAULTS) == 0


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("study", "2 new counts and 1 of the study's 3 are left"),
        ("person", "1 of your 3 in 365 days, over all studies, are left"),
        ("drafts", "1 of your 3 in 365 days for studies that were never submitted are left"),
    ],
)
def test_budget_refuses_what_is_not_left(kind, sentence):
    paid = Account(kind, 3, 2)

    disclosure.check_budget([paid], [("r1", "a")], DEFAULTS)
    with pytest.raises(RefusedError, match=sentence):
        disclosure.check_budget([Account("study", 9), paid], [("r1", "a"), ("r1", "b")], DEFAULTS)
    assert Account(kind, 3, 9).left == 0


def test_the_parameters_shipped_are_the_defaults():
    assert load_parameters(PROJECT / "conf" / "disclosure.toml") == Parameters()


@pytest.mark.parametrize(
    "least", [{"bound": 1, "variance": 1 / 3}, {"budget": 1}, {"looks": 1.0}, {"variance": 0.5}, {"variance": 300.0}]
)
def test_the_least_that_protects_is_taken(least):
    Parameters(**least)


@pytest.mark.parametrize(
    ("count", "noise", "shown"), [(11, 0, 11), (11, -1, None), (12, -1, 11), (10, 9, None), (100, 5, 105)]
)
def test_what_is_shown_at_the_threshold(monkeypatch, count, noise, shown):
    monkeypatch.setattr(disclosure, "cell_noise", lambda *_: noise)

    assert disclosure.show(SECRET, count, 0, DEFAULTS).value == shown


def test_a_cell_at_the_threshold_is_shown_and_two_hidden_ones_that_reach_it_are_enough():
    assert disclosure.protect_row((50, 11, 30)) == (50, 11, 30)
    assert disclosure.protect_row((50, 5, 6)) == (50, None, None)


def test_limit_is_drawn_by_key_for_what_it_is_about():
    parameters = Parameters()
    limits = [disclosure.blurred_limit(SECRET, b"%d" % n, parameters) for n in range(4000)]

    assert limits == [disclosure.blurred_limit(SECRET, b"%d" % n, parameters) for n in range(4000)]
    assert limits[:50] != [disclosure.blurred_limit(b"another", b"%d" % n, parameters) for n in range(50)]
    assert (min(limits), max(limits)) == (disclosure.THRESHOLD, disclosure.THRESHOLD + parameters.blur)
    for over in (5, 17, 28):
        share = sum(limit >= disclosure.THRESHOLD + over for limit in limits) / len(limits)
        assert share == pytest.approx(math.cos(math.pi * over / 2 / (parameters.blur + 1)) ** 2, abs=0.03)
