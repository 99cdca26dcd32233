"""Figures of re-identification risk from nothing but the sizes of the equivalence classes.

Owns the formulas; their meaning and sources are in ``metrics.METRICS``. Knows no database and no value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from erios.extracts.risk.report import ClassSize

_EXACT = 12
_NORMAL = 1.959963984540054
_RECURRED, _TERMS = 60, 400


def rounded(value: float) -> float:
    """Without the last digits, which depend on the order in which threads add up."""
    return round(float(value), _EXACT) + 0.0


@dataclass(frozen=True)
class Classes:
    """Equivalence classes by size, and what their figures depend on; ``population``: people drawn from, if known."""

    sizes: Sequence[ClassSize]
    threshold: int
    population: int | None = None

    @property
    def patients(self) -> int:
        return sum(group.size * group.classes for group in self.sizes)

    @property
    def count(self) -> int:
        """How many classes there are."""
        return sum(group.classes for group in self.sizes)

    @property
    def smallest(self) -> int | None:
        """Patients of the smallest class; None without patients."""
        return min((group.size for group in self.sizes), default=None)

    @property
    def fraction(self) -> float | None:
        """The share of the population that the patients are; None where it is not known."""
        return None if self.population is None else min(1.0, self.patients / self.population)


def under_threshold(sizes: Sequence[ClassSize], threshold: int) -> int:
    """Patients in classes smaller than the threshold."""
    return sum(group.size * group.classes for group in sizes if group.size < threshold)


def uniques(classes: Classes) -> int:
    """Classes of one patient."""
    return sum(group.classes for group in classes.sizes if group.size == 1)


def share_of(count: float, whole: float) -> float:
    """A share; 0 of nothing."""
    return rounded(count / whole) if whole else 0.0


def journalist_max(classes: Classes) -> float | None:
    """E[1/F] of the smallest class."""
    if classes.fraction is None or classes.smallest is None:
        return None
    return rounded(expected_inverse(classes.smallest, classes.fraction))


def journalist_mean(classes: Classes) -> float | None:
    """The mean of E[1/F], at least the population's classes over its people."""
    expected = _population_marketer(classes)
    if expected is None or classes.population is None:
        return None
    return rounded(max(classes.count / max(classes.population, classes.patients), expected))


def population_marketer(classes: Classes) -> float | None:
    """The mean of E[1/F] over patients."""
    expected = _population_marketer(classes)
    return None if expected is None else rounded(expected)


def _population_marketer(classes: Classes) -> float | None:
    fraction = classes.fraction
    if fraction is None or not classes.patients:
        return None
    total = sum(group.size * group.classes * expected_inverse(group.size, fraction) for group in classes.sizes)
    return total / classes.patients


def expected_inverse(size: int, fraction: float) -> float:
    """E[1/F] for a class of ``size`` in a sample of this fraction of the population; F is its size there.

    F given f is negative binomial: E[1/F | f] = π I(f), I(f) = ∫₀¹ yᶠ⁻¹ / (π + qy) dy, q = 1 - π. The recurrence
    I(f+1) = (1/f - π I(f)) / q holds its digits while π < q and f is small; else the series Σ qᵏ k! (f-1)! / (k+f)!.
    """
    rest = 1 - fraction
    if rest <= 0:
        return 1 / size
    if fraction < rest and size <= _RECURRED:
        integral = math.log(1 / fraction) / rest
        for f in range(1, size):
            integral = (1 / f - fraction * integral) / rest
        return fraction * integral
    return fraction * _series(size, rest)


def _series(size: int, rest: float) -> float:
    term = total = 1 / size
    for k in range(_TERMS):
        term *= rest * (k + 1) / (k + size + 1)
        total += term
        if term < total * 1e-17:
            break
    return total


def population_uniques(classes: Classes) -> float | None:
    """Zayatz: the share of the sample's uniques that are unique in the population too."""
    if classes.fraction is None or not classes.patients:
        return None
    if not uniques(classes):
        return 0.0
    likely = sum(group.classes * group.size * (1 - classes.fraction) ** (group.size - 1) for group in classes.sizes)
    return rounded(uniques(classes) / likely)


def wilson(hits: float, trials: int) -> tuple[float, float, float]:
    """Share, and the ends of its 95 % confidence interval (Wilson's score interval); chances may add up to ``hits``,
    whose interval errs on the side of width."""
    if not trials:
        return 0.0, 0.0, 1.0
    share, square = hits / trials, _NORMAL**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    reach = _NORMAL * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2)) / (1 + square / trials)
    return rounded(share), rounded(max(0.0, middle - reach)), rounded(min(1.0, middle + reach))
