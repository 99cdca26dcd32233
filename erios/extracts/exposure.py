"""What a study's answers, taken together, would give away: pure algebra over sets of patients (NumPy arrays of flags).

Owns three rules beyond masking and noise. A part of a question that concerns fewer than ``threshold`` patients is
left out of it; a group that differs from one already named by fewer than ``threshold`` is taken for that one,
whether it is a whole cohort or a part of its criteria; and no group may come to be known, by crossing answers, better
than ``looks`` fresh answers would tell. It must never decide by the size of a group under the threshold: none of
0 … threshold - 1 may be told from another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    criterion: Criterion, found: Sequence[Leaf], of: Mapping[Leaf, Flags], everybody: Flags, threshold: int
) -> Flags:
    """Who meets the criterion, small parts left out.

    The leaves cut the patients into parts. A part under the threshold is answered as the parts most like it (fewest
    leaves apart, the more patients the more weight), never as the question says, so that "A or B" and "A" have one
    answer when few are in B alone. Where the small parts together reach the threshold the question is answered as
    asked: then they are no small group.
    """
    exact = evaluate(criterion, of, everybody)
    codes = _codes(found, of, len(everybody))
    sizes = np.bincount(codes, minlength=1 << len(found))
    small = np.flatnonzero((sizes > 0) & (sizes < threshold))
    big = np.flatnonzero(sizes >= threshold)
    if not len(small) or not len(big):
        return exact
    truth = _truth(criterion, found)
    smooth = truth.copy()
    smooth[small] = _as_neighbours(small, big, truth, sizes)
    answered = smooth[codes]
    return answered if np.count_nonzero(answered != exact) < threshold else exact


def _codes(found: Sequence[Leaf], of: Mapping[Leaf, Flags], patients: int) -> NDArray[np.int64]:
    """Each patient's part: bit n is leaf n."""
    codes = np.zeros(patients, dtype=np.int64)
    for place, leaf in enumerate(found):
        codes |= of[leaf].astype(np.int64) << place
    return codes


def _truth(criterion: Criterion, found: Sequence[Leaf]) -> Flags:
    """The criterion's answer for every part."""
    parts = np.arange(1 << len(found))
    of = {leaf: (parts >> place & 1).astype(bool) for place, leaf in enumerate(found)}
    return evaluate(criterion, of, np.ones(len(parts), dtype=bool))


def _as_neighbours(small: NDArray[np.intp], big: NDArray[np.intp], truth: Flags, sizes: NDArray[np.intp]) -> Flags:
    apart = np.bitwise_count(small[:, None] ^ big[None, :])
    nearest = apart == apart.min(axis=1, keepdims=True)
    votes: NDArray[np.int64] = nearest @ (np.where(truth[big], 1, -1) * sizes[big])
    return votes > 0


class Named:
    """The groups that a study has named so far, each once: one that is nearly another is taken for it."""

    def __init__(self, threshold: int, known: Sequence[Packed] = ()) -> None:
        self.known: list[Packed] = list(known)
        self._threshold = threshold
        self._table = np.stack(known) if known else None

    def copy(self) -> Named:
        """The same, to go on from."""
        return Named(self._threshold, self.known)

    def nearest(self, who: Flags) -> Flags:
        """The earliest named group that differs by fewer than the threshold, else this one, named from now on."""
        if np.count_nonzero(who) < self._threshold:
            return who
        packed = np.packbits(who)
        near = self._near(packed)
        if near is not None:
            return np.unpackbits(near, count=len(who)).view(bool)
        self.known.append(packed)
        self._table = packed[None] if self._table is None else np.vstack([self._table, packed])
        return who

    def _near(self, packed: Packed) -> Packed | None:
        if self._table is None:
            return None
        apart = np.bitwise_count(self._table ^ packed).sum(axis=1, dtype=np.int64)
        found = np.flatnonzero(apart < self._threshold)
        return self.known[found[0]] if len(found) else None


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


def nodes(criterion: Criterion) -> list[Criterion]:
    """The criterion and every criterion inside it."""
    match criterion:
        case And(parts) | Or(parts):
            return [criterion, *(node for part in parts for node in nodes(part))]
        case Not(inner):
            return [criterion, *nodes(inner)]
        case _:
            return [criterion]


def is_overexposed(shown: Sequence[Flags], watched: Sequence[Flags], variance: float, looks: float) -> bool:
    """Would answers about the sets ``shown`` (each with noise of this variance) tell the size of one of the sets
    ``watched`` better than ``looks`` independent answers about that set would?

    For one who holds each patient's presence uncertain with variance 1, the best linear estimate of |X| has the
    variance |X| - g' (G + variance I)⁻¹ g, G the sizes of the intersections of what was shown, g those with X
    (Gaussian process regression, the posterior variance).
    """
    answers, groups = (np.stack(sets).astype(np.float32) for sets in (shown, watched))
    seen = (answers @ groups.T).astype(np.float64)
    gram = (answers @ answers.T).astype(np.float64)
    precision = np.linalg.solve(gram + variance * np.eye(len(answers)), seen)
    sizes = groups.sum(axis=1, dtype=np.float64)
    left = sizes - np.einsum("ij,ij->j", seen, precision)
    return bool(np.any(left < 1 / (1 / sizes + looks / variance)))
