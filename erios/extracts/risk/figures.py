"""Figures of re-identification risk from nothing but the sizes of the equivalence classes.

Owns the formulas; sources stand in ``metrics.METRICS``. Knows no database and no value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from erios.extracts.risk.report import ClassSize, Risk

_EXACT = 12
_NORMAL = 1.959963984540054
_RECURRED, _TERMS = 60, 400


def rounded(value: float) -> float:
    """Without the last digits, which depend on the order in which threads add up."""
    return round(float(value), _EXACT) + 0.0


def risk_of(sizes: Sequence[ClassSize], threshold: int, population: int | None = None) -> Risk:
    """The risk of classes of these sizes, for patients drawn from ``population`` people (None: not known)."""
    patients = sum(one.size * one.classes for one in sizes)
    if not patients:
        return Risk(0, 0, None, 0, 0.0, 0, 0.0, 0.0, 0.0, 0.0)
    classes = sum(one.classes for one in sizes)
    k = min(one.size for one in sizes)
    under = under_threshold(sizes, threshold)
    uniques = sum(one.classes for one in sizes if one.size == 1)
    mean = rounded(classes / patients)
    known = (patients, classes, k, under, rounded(under / patients), uniques, rounded(patients / classes))
    return Risk(*known, rounded(1 / k), mean, mean, *_journalist(sizes, patients, k, population))


def under_threshold(sizes: Sequence[ClassSize], threshold: int) -> int:
    """Patients in classes smaller than the threshold."""
    return sum(one.size * one.classes for one in sizes if one.size < threshold)


def _journalist(
    sizes: Sequence[ClassSize], patients: int, k: int, population: int | None
) -> tuple[float | None, float | None, float | None, float | None]:
    if population is None:
        return None, None, None, None
    fraction = min(1.0, patients / population)
    classes = sum(one.classes for one in sizes)
    found = sum(one.size * one.classes * expected_inverse(one.size, fraction) for one in sizes) / patients
    mean = max(classes / max(population, patients), found)
    highest = expected_inverse(k, fraction)
    return rounded(highest), rounded(mean), rounded(found), rounded(population_uniques(sizes, fraction))


def expected_inverse(size: int, fraction: float) -> float:
    """E[1/F] for a class of ``size`` in a sample of this fraction of the population; F is its size there.

    F given f is negative binomial: E[1/F | f] = π I(f), I(f) = ∫₀¹ yᶠ⁻¹ / (π + qy) dy, q = 1 - π. The recurrence
    I(f+1) = (1/f - π I(f)) / q holds its digits while π < q and f is small; else the series Σ qᵏ k! (f-1)! / (k+f)!.
    """
    rest = 1 - fraction
    if rest <= 0:
        return 1 / size
    if fraction < rest and size <= _RECURRED:
        found = math.log(1 / fraction) / rest
        for one in range(1, size):
            found = (1 / one - fraction * found) / rest
        return fraction * found
    return fraction * _series(size, rest)


def _series(size: int, rest: float) -> float:
    term = total = 1 / size
    for place in range(_TERMS):
        term *= rest * (place + 1) / (place + size + 1)
        total += term
        if term < total * 1e-17:
            break
    return total


def population_uniques(sizes: Sequence[ClassSize], fraction: float) -> float:
    """Zayatz: the share of the sample's uniques that are unique in the population too."""
    ones = sum(one.classes for one in sizes if one.size == 1)
    if not ones:
        return 0.0
    likely = sum(one.classes * one.size * (1 - fraction) ** (one.size - 1) for one in sizes)
    return ones / likely


def wilson(hits: int, trials: int) -> tuple[float, float, float]:
    """Share, and the ends of its 95 % confidence interval (Wilson's score interval)."""
    if not trials:
        return 0.0, 0.0, 1.0
    share, square = hits / trials, _NORMAL**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    reach = _NORMAL * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2)) / (1 + square / trials)
    return rounded(share), rounded(max(0.0, middle - reach)), rounded(min(1.0, middle + reach))
