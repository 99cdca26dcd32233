"""The hospital's disclosure ledger: every answer that was given to anybody, and the group of patients it is about.

Owns the roster (which place of a group's bits is which patient, over all releases), the groups and the answers, as they
are used; ``erios.studies.ledger`` keeps them in the database. Patients stand in the roster under keyed digests of their
record keys: without the keyring nobody can tell who is in a group. It must never hold a count that was not shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from erios.extracts.differencing import Groups, Limits, Naming, Overlaps, Packed, is_overexposed
from erios.governance.disclosure import Account, Parameters

Digests: TypeAlias = NDArray[np.int64]
Key: TypeAlias = tuple[str, str]
"""Of an answer: its release and the digest of its question."""
_POSITIVE = (1 << 60) - 1
_OVERLAPS_BYTES = 256 * 2**20


def patient_digests(secret: bytes, record_keys: Iterable[int]) -> Digests:
    """Keyed digests (60 bits) of record keys, in their order."""
    found = [
        int.from_bytes(hashlib.blake2b(int(key).to_bytes(8, "big"), key=secret[:64], digest_size=8).digest(), "big")
        & _POSITIVE
        for key in record_keys
    ]
    return np.array(found, dtype=np.int64)


class Roster:
    """Digests of the patients of all releases, in the order in which they came; 0 for one who was erased."""

    def __init__(self) -> None:
        self.digests: Digests = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.digests)

    def add(self, digests: Digests) -> None:
        self.digests = np.concatenate([self.digests, digests])

    def missing(self, digests: Digests) -> Digests:
        """Those who have no place yet."""
        return np.setdiff1d(digests, self.digests)

    def places(self, digests: Digests) -> NDArray[np.intp]:
        """The place of each; all must have one."""
        order = np.argsort(self.digests, kind="stable")
        places: NDArray[np.intp] = order[np.searchsorted(self.digests, digests, sorter=order)]
        return places


@dataclass(frozen=True)
class Answer:
    """What the hospital answers to a question about a release, to whoever asks.

    ``value`` None is masked; ``group``: the place of the group that it is about, None of a small one; ``named``: places
    of all groups that the question named; ``fresh`` tells an answer of its own from one borrowed of a near group.
    """

    release: str
    canonical: str
    digest: str
    value: int | None
    group: int | None = None
    named: tuple[int, ...] = ()
    fresh: bool = False

    @property
    def key(self) -> Key:
        return self.release, self.digest


@dataclass(frozen=True)
class Entry:
    """What an answer adds to the ledger: groups, which take the next places, and answers."""

    groups: tuple[Packed, ...]
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Figure:
    """Something that is the same for everybody: what it is, its value, and digests of the patients it is about."""

    canonical: str
    value: int
    patients: Digests


@dataclass(frozen=True)
class Reader:
    """Who asks: the accounts that pay, and all answers that they and the people around them were shown (``circle``).

    ``name`` is the person's: how their groups overlap is kept by it for the next question.
    """

    name: str = ""
    accounts: tuple[Account, ...] = ()
    circle: frozenset[Key] = frozenset()


@dataclass
class Ledger:
    """All of it in memory. ``values``: what was shown of each group that has an answer of its own, by its place."""

    threshold: int
    roster: Roster = field(default_factory=Roster)
    groups: Groups = field(init=False)
    answers: dict[Key, Answer] = field(default_factory=dict)
    values: dict[int, int | None] = field(default_factory=dict)
    _by_question: dict[str, list[Answer]] = field(default_factory=dict)
    _overlaps: dict[str, Overlaps] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.groups = Groups(self.threshold)

    def add(self, entry: Entry) -> None:
        """Append what an answer adds."""
        for group in entry.groups:
            self.groups.add(group)
        for answer in entry.answers:
            self.answers[answer.key] = answer
            self._by_question.setdefault(answer.digest, []).append(answer)
            if answer.fresh and answer.group is not None:
                self.values.setdefault(answer.group, answer.value)

    def enrol(self, digests: Digests) -> None:
        """Give the patients of a release their places."""
        self.roster.add(self.roster.missing(digests))

    def publish(self, release: str, figures: Iterable[Figure], limits: Limits | None = None) -> tuple[list[int], Entry]:
        """Values of figures that everybody may read, on the hospital's own account, and what they add to the ledger.

        A figure about nearly the group that it was about in an earlier release keeps its value.
        """
        layer = Groups(self.threshold, self.groups, limits)
        values, new = [], []
        for figure in figures:
            answer = self._published(release, figure, layer)
            if answer.key not in self.answers:
                new.append(answer)
            values.append(figure.value if answer.value is None else answer.value)
        return values, Entry(layer.added(), tuple(new))

    def _published(self, release: str, figure: Figure, layer: Groups) -> Answer:
        digest = hashlib.sha256(figure.canonical.encode()).hexdigest()
        if (release, digest) in self.answers:
            return self.answers[release, digest]
        who = np.zeros(len(self.roster), dtype=bool)
        who[self.roster.places(figure.patients)] = True
        naming = Naming(layer)
        naming.nearest(who)
        group = next(iter(naming.named), None)
        before = [one.value for one in self._by_question.get(digest, ()) if one.group == group is not None]
        value = before[0] if before else figure.value
        return Answer(release, figure.canonical, digest, value, group, tuple(naming.named))

    def groups_of(self, digest: str) -> list[int]:
        """The groups that earlier answers to a question were about, of any release."""
        return [answer.group for answer in self._by_question.get(digest, ()) if answer.group is not None]

    def is_overexposed(
        self, reader: Reader, new: Sequence[Answer], layer: Groups, everybody: str, parameters: Parameters
    ) -> bool:
        """Would these answers, with those of the reader's circle, tell the size of a group too precisely?

        Everybody's count (``everybody``: its digest) is public, and no secret.
        """
        answers = [*(self.answers[key] for key in sorted(reader.circle) if key in self.answers), *new]
        public = {answer.group for answer in answers if answer.digest == everybody}
        shown = dict.fromkeys(answer.group for answer in answers if answer.group is not None)
        secret = dict.fromkeys(n for answer in answers for n in (*answer.named, answer.group) if n is not None)
        hidden = [place for place in secret if place not in public]
        if not hidden or not shown:
            return False
        overlaps = self._overlaps_of(reader.name, [*shown, *hidden], layer)
        index = {place: n for n, place in enumerate(overlaps.places)}
        return is_overexposed(
            overlaps.shared,
            [index[place] for place in shown],
            [index[place] for place in hidden],
            parameters.variance,
            parameters.looks,
        )

    def _overlaps_of(self, name: str, places: Collection[int], layer: Groups) -> Overlaps:
        """Of the groups of a reader; those of the layer, which may never be kept, are only in the answer."""
        kept = self._overlaps.pop(name, Overlaps())
        self._overlaps[name] = kept
        while len(self._overlaps) > 1 and sum(map(len, self._overlaps.values())) > _OVERLAPS_BYTES:
            self._overlaps.pop(next(iter(self._overlaps)))
        lacking = set(places) - set(kept.places)
        kept.extend({n: layer.packed(n) for n in sorted(lacking) if n < len(self.groups)})
        return kept.extended({n: layer.packed(n) for n in sorted(lacking) if n >= len(self.groups)})
