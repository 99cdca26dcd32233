"""What a study's answers, taken together, would give away: pure algebra over sets of patients (NumPy arrays of flags).

Owns three rules beyond masking and noise. A part of a question that concerns fewer than ``threshold`` patients is
left out of it; a group that differs from one already named by fewer than ``threshold`` is taken for that one,
whether it is a whole cohort or a part of its criteria; and no group may come to be known, by crossing answers, better
than ``looks`` fresh answers would tell. It must never decide by the size of a group under the threshold: none of
0 … threshold - 1 may be told from another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import reduce
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from erios.extracts.criteria import And, Criterion, Leaf, Not, Or

Flags: TypeAlias = NDArray[np.bool_]
Packed: TypeAlias = NDArray[np.uint8]
MAX_LEAVES = 12


def evaluate(criterion: Criterion, of: Mapping[Leaf, Flags], everybody: Flags) -> Flags:
    """Who meets the criterion; ``of`` says who meets each leaf."""
    match criterion:
        case And(parts):
            return reduce(np.logical_and, (evaluate(part, of, everybody) for part in parts), everybody)
        case Or(parts):
            return reduce(np.logical_or, (evaluate(part, of, everybody) for part in parts))
        case Not(inner):
            return ~evaluate(inner, of, everybody)
        case _:
            return of[criterion]


def without_small_parts(
    criterion: Criterion, distinct: Sequence[Leaf], of: Mapping[Leaf, Flags], everybody: Flags, threshold: int
) -> Flags:
    """Who meets the criterion, small parts left out.

    The leaves cut the patients into parts. A part under the threshold is answered as the parts most like it (fewest
    leaves apart, the more patients the more weight), never as the question says, so that "A or B" and "A" have one
    answer when few are in B alone. Where the small parts together reach the threshold the question is answered as
    asked: then they are no small group.
    """
    exact = evaluate(criterion, of, everybody)
    codes = _codes(distinct, of, len(everybody))
    sizes = np.bincount(codes, minlength=1 << len(distinct))
    small = np.flatnonzero((sizes > 0) & (sizes < threshold))
    big = np.flatnonzero(sizes >= threshold)
    if not len(small) or not len(big):
        return exact
    truth = _truth(criterion, distinct)
    smooth = truth.copy()
    smooth[small] = _as_neighbours(small, big, truth, sizes)
    answered = smooth[codes]
    return answered if np.count_nonzero(answered != exact) < threshold else exact


def _codes(distinct: Sequence[Leaf], of: Mapping[Leaf, Flags], patients: int) -> NDArray[np.int64]:
    """Each patient's part: bit n is leaf n."""
    codes = np.zeros(patients, dtype=np.int64)
    for bit, leaf in enumerate(distinct):
        codes |= of[leaf].astype(np.int64) << bit
    return codes


def _truth(criterion: Criterion, distinct: Sequence[Leaf]) -> Flags:
    """The criterion's answer for every part."""
    parts = np.arange(1 << len(distinct))
    of = {leaf: (parts >> bit & 1).astype(bool) for bit, leaf in enumerate(distinct)}
    return evaluate(criterion, of, np.ones(len(parts), dtype=bool))


def _as_neighbours(small: NDArray[np.intp], big: NDArray[np.intp], truth: Flags, sizes: NDArray[np.intp]) -> Flags:
    apart = np.bitwise_count(small[:, None] ^ big[None, :])
    nearest = apart == apart.min(axis=1, keepdims=True)
    votes: NDArray[np.int64] = nearest @ (np.where(truth[big], 1, -1) * sizes[big])
    return votes > 0


class Named:
    """The groups that a study has named so far, each once: one that is nearly another is taken for it.

    ``shared`` says of any two, by their indices, how many patients they have in common. It grows by a row a group: on a
    large hospital, reckoning all of it anew is what would make a person wait.
    """

    def __init__(self, threshold: int, everybody: Packed) -> None:
        self._threshold = threshold
        self._table = np.empty((0, len(everybody)), dtype=np.uint8)
        self.shared = np.empty((0, 0), dtype=np.int64)
        self._name(everybody, self._overlaps(everybody))

    def copy(self) -> Named:
        """The same, to go on from."""
        return copy(self)  # arrays are replaced when they grow, never changed

    def nearest(self, who: Flags) -> Flags:
        """The earliest named group that differs by fewer than the threshold, else this one, named from now on."""
        if np.count_nonzero(who) < self._threshold:
            return who
        packed = np.packbits(who)
        overlaps = self._overlaps(packed)
        alike = np.flatnonzero(self._apart(overlaps) < self._threshold)
        if len(alike):
            return np.unpackbits(self._table[alike[0]], count=len(who)).view(bool)
        self._name(packed, overlaps)
        return who

    def index(self, packed: Packed) -> int:
        """The index of exactly this group, which is named from now on if it was not."""
        overlaps = self._overlaps(packed)
        same = np.flatnonzero(self._apart(overlaps) == 0)
        if not len(same):
            self._name(packed, overlaps)
        return int(same[0]) if len(same) else len(self._table) - 1

    def _overlaps(self, packed: Packed) -> NDArray[np.int64]:
        """How many patients the group has in common with each named one, and last with itself."""
        common = np.bitwise_count(np.vstack([self._table & packed, packed]))
        counted: NDArray[np.int64] = common.sum(axis=1, dtype=np.int64)
        return counted

    def _apart(self, overlaps: NDArray[np.int64]) -> NDArray[np.int64]:
        """In how many patients each named group and the one of these overlaps differ."""
        apart: NDArray[np.int64] = self.shared.diagonal() + overlaps[-1] - 2 * overlaps[:-1]
        return apart

    def _name(self, packed: Packed, overlaps: NDArray[np.int64]) -> None:
        self._table = np.vstack([self._table, packed])
        self.shared = np.block([[self.shared, overlaps[:-1, None]], [overlaps[None]]])


def evaluate_named(
    criterion: Criterion,
    of: Mapping[Leaf, Flags],
    small_parts: Mapping[Criterion, Packed],
    everybody: Flags,
    named: Named,
) -> Flags:
    """``evaluate``, each group inside without its small parts and taken for the earlier one that it nearly is."""

    def inner(part: Criterion) -> Flags:
        return evaluate_named(part, of, small_parts, everybody, named)

    match criterion:
        case And(parts):
            who = reduce(np.logical_and, map(inner, parts), everybody)
        case Or(parts):
            who = reduce(np.logical_or, map(inner, parts))
        case Not(part):
            who = ~inner(part)
        case _:
            who = of[criterion]
    changed = np.unpackbits(small_parts[criterion], count=len(everybody)).view(bool)
    # A part inside has lost its small parts already; what is left to change is where it still meets the question.
    return named.nearest(_without(who, changed, evaluate(criterion, of, everybody)))


def _without(who: Flags, changed: Flags, exact: Flags) -> Flags:
    """Patients of the small parts are answered against what the question says of them."""
    return np.where(changed, ~exact, who)


def is_overexposed(shared: NDArray[np.int64], shown: Sequence[int], variance: float, looks: float) -> bool:
    """Would answers about the groups ``shown`` (each with noise of this variance) tell the size of a named group but
    everybody's, the first, better than ``looks`` independent answers about that group would?

    ``shown`` are indices in ``shared`` (``Named``). Where each patient's presence is uncertain with variance 1, the
    best linear estimate of |X| has the variance |X| - g' (G + variance I)⁻¹ g, G the sizes of the intersections of what
    was shown, g those with X (Gaussian process regression, the posterior variance).
    """
    indices = np.array(shown)
    seen = shared[indices, 1:].astype(np.float64)
    gram = shared[np.ix_(indices, indices)].astype(np.float64)
    precision = np.linalg.solve(gram + variance * np.eye(len(indices)), seen)
    sizes = shared.diagonal()[1:].astype(np.float64)
    left = sizes - np.einsum("ij,ij->j", seen, precision)
    return bool(np.any(left < 1 / (1 / sizes + looks / variance)))
