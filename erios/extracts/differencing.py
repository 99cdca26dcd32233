"""What answers, taken together, would give away: pure algebra over sets of patients (NumPy arrays of flags).

Owns three rules beyond masking and noise. A part of a question that concerns fewer than ``threshold`` patients is
left out of it; a group that differs by fewer than ``threshold`` from one that anybody in the hospital named before is
taken for that one, whether it is a whole cohort or a part of its criteria; and no group may come to be known, by
crossing answers, better than ``looks`` fresh answers would tell. It must never decide by the size of a group under the
threshold: none of 0 … threshold - 1 may be told from another.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from erios.extracts.criteria import And, Criterion, Leaf, Not, Or
from erios.governance.disclosure import Parameters, blurred_limit

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
            return everybody & ~evaluate(inner, of, everybody)
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


class Limits:
    """By how many patients two groups may differ and be taken for one another: the same for all pairs."""

    def __init__(self, most: int) -> None:
        self.most = most

    def of(self, one: Packed, other: Packed) -> int:
        """Of these two."""
        return self.most


class BlurredLimits(Limits):
    """A limit of its own for each pair, drawn by key."""

    def __init__(self, secret: bytes, parameters: Parameters) -> None:
        super().__init__(parameters.threshold + parameters.blur)
        self._secret, self._parameters = secret, parameters

    def of(self, one: Packed, other: Packed) -> int:
        pair = sorted((one.tobytes(), other.tobytes()))
        return blurred_limit(self._secret, b"pair " + hashlib.sha256(b"\0".join(pair)).digest(), self._parameters)


class Groups:
    """The groups that were named so far, each once, in order: one that is nearly another is taken for it.

    A group is a set of places of the hospital's roster (``erios.extracts.ledger``), one bit a place, so that groups of
    two releases compare. ``below`` are groups that come first and do not change here: what one question names is a
    layer over what the hospital named.
    """

    def __init__(self, threshold: int, below: Groups | None = None, limits: Limits | None = None) -> None:
        self.threshold = threshold
        self._limits = limits or Limits(threshold)
        self._below = below
        self._first = len(below) if below else 0
        self._packed: list[bytes] = []
        self._sizes: list[int] = []

    def __len__(self) -> int:
        return self._first + len(self._packed)

    def add(self, packed: Packed) -> int:
        """Name a group; its place."""
        self._sizes.append(count_bits(packed))
        self._packed.append(zlib.compress(packed.tobytes(), 1))
        return len(self) - 1

    def packed(self, place: int) -> Packed:
        """The bits of a group, without empty places after its last."""
        if self._below and place < self._first:
            return self._below.packed(place)
        return np.frombuffer(zlib.decompress(self._packed[place - self._first]), dtype=np.uint8)

    def added(self) -> tuple[Packed, ...]:
        """The groups of this layer."""
        return tuple(self.packed(self._first + n) for n in range(len(self._packed)))

    def near(self, packed: Packed) -> int | None:
        """The place of the earliest group that differs from this one by fewer patients than the limit of the two."""
        return next(
            (place for place, apart in self._within(packed, self._limits.most) if self._is_near(place, packed, apart)),
            None,
        )

    def same(self, packed: Packed) -> int | None:
        """The place of exactly this group."""
        return next((place for place, _apart in self._within(packed, 1)), None)

    def _is_near(self, place: int, packed: Packed, apart: int) -> bool:
        return apart < self.threshold or apart < self._limits.of(self.packed(place), packed)

    def _within(self, packed: Packed, within: int) -> Iterator[tuple[int, int]]:
        """Place and distance of each group that differs by fewer than so many patients, the earliest first."""
        if self._below:
            yield from self._below._within(packed, within)
        apart = np.abs(np.array(self._sizes, dtype=np.int64) - count_bits(packed))
        for n in np.flatnonzero(apart < within):
            place = self._first + int(n)
            distance = count_apart(self.packed(place), packed)
            if distance < within:
                yield place, distance


class Naming:
    """What one question names: in ``layer``, over the hospital's groups; ``named``: the places of all its groups.

    ``drift`` is by how many patients its leaves differ from the groups that they were taken for.
    """

    def __init__(self, layer: Groups) -> None:
        self.layer = layer
        self.named: dict[int, None] = {}
        self.drift = 0

    def nearest(self, who: Flags) -> Flags:
        """The earliest named group that differs by fewer than the threshold, else this one, named from now on."""
        if np.count_nonzero(who) < self.layer.threshold:
            return who
        packed = pack(who)
        place = self.layer.near(packed)
        place = self.layer.add(packed) if place is None else place
        self.named[place] = None
        return unpack(self.layer.packed(place), len(who))

    def nearest_leaf(self, who: Flags) -> Flags:
        """``nearest`` of a leaf, whose distance is kept."""
        taken = self.nearest(who)
        self.drift += int(np.count_nonzero(taken != who))
        return taken

    def place(self, who: Flags) -> int:
        """Where exactly this group stands, which is named from now on if it was not."""
        packed = pack(who)
        place = self.layer.same(packed)
        place = self.layer.add(packed) if place is None else place
        self.named[place] = None
        return place


def pack(who: Flags) -> Packed:
    """One bit a place, without the empty bytes at the end: a longer roster changes no group."""
    return np.trim_zeros(np.packbits(who), "b")


def unpack(packed: Packed, places: int) -> Flags:
    """Flags of so many places."""
    who = np.zeros(places, dtype=bool)  # unpackbits leaves what an empty array does not fill as it lay in memory
    some = np.unpackbits(packed)[:places]
    who[: len(some)] = some
    return who


def count_bits(packed: Packed) -> int:
    return int(np.bitwise_count(packed).sum(dtype=np.int64))


def count_apart(one: Packed, other: Packed) -> int:
    """In how many patients two groups differ."""
    both = min(len(one), len(other))
    return count_bits(one[:both] ^ other[:both]) + count_bits(one[both:]) + count_bits(other[both:])


class Overlaps:
    """How many patients any two of some groups have in common: ``shared``, in the order of ``places``.

    It grows by a row a group: reckoning all of it anew is what would make a person wait on a large hospital.
    """

    def __init__(self) -> None:
        self.places: list[int] = []
        self.shared = np.empty((0, 0), dtype=np.int64)
        self._table = np.empty((0, 0), dtype=np.uint8)

    def __len__(self) -> int:
        """Bytes that it holds."""
        return self._table.nbytes + self.shared.nbytes

    def extend(self, groups: Mapping[int, Packed]) -> None:
        """Add groups by their places."""
        grown = self.extended(groups)
        self.places, self.shared, self._table = grown.places, grown.shared, grown._table

    def extended(self, groups: Mapping[int, Packed]) -> Overlaps:
        """These and more groups; this one stays as it is."""
        before, wide = len(self.places), max([self._table.shape[1], *map(len, groups.values())])
        grown = Overlaps()
        grown.places = [*self.places, *groups]
        grown._table = np.zeros((len(grown.places), wide), dtype=np.uint8)
        grown._table[:before, : self._table.shape[1]] = self._table
        for row, group in enumerate(groups.values(), before):
            grown._table[row, : len(group)] = group
        grown.shared = np.zeros((len(grown.places),) * 2, dtype=np.int64)
        grown.shared[:before, :before] = self.shared
        for row in range(before, len(grown.places)):
            common = np.bitwise_count(grown._table[: row + 1] & grown._table[row]).sum(axis=1, dtype=np.int64)
            grown.shared[row, : row + 1] = grown.shared[: row + 1, row] = common
        return grown


def evaluate_named(
    criterion: Criterion,
    of: Mapping[Leaf, Flags],
    small_parts: Mapping[Criterion, Flags],
    everybody: Flags,
    naming: Naming,
) -> Flags:
    """``evaluate``, each group inside without its small parts and taken for the earlier one that it nearly is."""

    def inner(part: Criterion) -> Flags:
        return evaluate_named(part, of, small_parts, everybody, naming)

    match criterion:
        case And(parts):
            who = reduce(np.logical_and, map(inner, parts), everybody)
        case Or(parts):
            who = reduce(np.logical_or, map(inner, parts))
        case Not(part):
            who = everybody & ~inner(part)
        case _:
            who = of[criterion]
    # A part inside has lost its small parts already; what is left to change is where it still meets the question.
    return naming.nearest(_without(who, small_parts[criterion], evaluate(criterion, of, everybody)))


def _without(who: Flags, changed: Flags, exact: Flags) -> Flags:
    """Patients of the small parts are answered against what the question says of them."""
    return np.where(changed, ~exact, who)


def is_overexposed(
    shared: NDArray[np.int64], shown: Sequence[int], secret: Sequence[int], variance: float, looks: float
) -> bool:
    """Would answers about the groups ``shown`` (each with noise of this variance) tell the size of one of ``secret``
    better than ``looks`` independent answers about that group would?

    Both are indices of ``shared`` (``Overlaps``). For one who holds each patient's presence uncertain with variance 1,
    the best linear estimate of |X| has the variance |X| - g' (G + variance I)⁻¹ g, G the sizes of the intersections of
    what was shown, g those with X (Gaussian process regression, the posterior variance).
    """
    seen = shared[np.ix_(shown, secret)].astype(np.float64)
    gram = shared[np.ix_(shown, shown)].astype(np.float64)
    precision = np.linalg.solve(gram + variance * np.eye(len(shown)), seen)
    sizes = shared.diagonal()[np.asarray(secret)].astype(np.float64)
    left = sizes - np.einsum("ij,ij->j", seen, precision)
    return bool(np.any(left < 1 / (1 / sizes + looks / variance)))
