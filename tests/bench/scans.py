"""What scanning the limits tells of a patient one knows: `python -m tests.bench.scans --patients N`.

The attacker knows on which day a patient came, and wants to know whether the patient has a diagnosis. About half have
it, so who knows nothing is right once in two. Two people who share no study ask in turn, each question in a draft of
its own, every second one after a night's load. Two periods that end with the patient's day and with the day before
differ by that patient alone; each begins on a day of its own, so that neither is nearly the other.

Where do the answers to [l, d] and to [l, u] part? *steps* halves the distance from u to d until it is known, *votes*
asks often at a distance where chance decides. *masks*: for which u is the count of [u, d] shown? With one limit for
all, both tell exactly where the eleventh patient with the diagnosis lies, with the patient and without.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erios.errors import RefusedError
from erios.extracts.counts import Counter
from erios.extracts.criteria import And, Criterion, Diagnosis, Leaf, Or
from erios.extracts.risk.figures import wilson
from erios.governance.disclosure import Parameters
from tests.bench.known_patient import UNLIMITED, Night
from tests.desk import Desk

PATIENTS, SHARE, ZERO = 4000, 0.4, date(2015, 1, 1)
LATEST, EARLIEST = 2 * PATIENTS, 110
"""The last day, and how far apart the days are on which periods begin: well over a limit of patients lie between."""
ILL = Diagnosis(("D01",))


class Days:
    """An engine over made-up patients, each of whom came on one day; ``night`` adds what a load adds."""

    def __init__(self, seed: int, night: int = 0) -> None:
        draw, many = np.random.default_rng(seed), PATIENTS + 8
        self.keys = draw.choice(2**58, many, replace=False).astype(np.int64)
        self.days = draw.permutation(LATEST)[:many]
        self.ill = draw.random(many) < SHARE
        self.present = np.arange(many) < PATIENTS + 8 * night

    def record_keys(self) -> Any:
        return self.keys[self.present]

    def members(self, wanted: list[Leaf]) -> tuple[Any, list[Any]]:
        return self.record_keys(), [self._who(leaf)[self.present] for leaf in wanted]

    def _who(self, leaf: Leaf) -> NDArray[np.bool_]:
        assert isinstance(leaf, Diagnosis)
        if leaf == ILL:
            return self.ill
        assert leaf.start
        assert leaf.end
        return np.asarray((self.days >= (leaf.start - ZERO).days) & (self.days <= (leaf.end - ZERO).days))


def _ill(begin: int, end: int) -> Criterion:
    """Patients with the diagnosis who came in a period of days."""
    return And((ILL, Diagnosis(("S01",), start=ZERO + timedelta(begin), end=ZERO + timedelta(end))))


class Desks:
    """The attackers' side: a patient, and questions in turns of accounts, drafts and nights."""

    def __init__(self, seed: int, parameters: Parameters) -> None:
        self.draw, self.desk = random.Random(seed), Desk(parameters)
        wards = [Days(seed, night) for night in (0, 1)]
        secret = self.draw.randbytes(32)
        self.counters = [
            Counter(Night(f"r{n}"), ward, secret, parameters)  # type: ignore[arg-type]
            for n, ward in enumerate(wards)
        ]
        self.has = self.draw.random() < 0.5
        late = np.flatnonzero((wards[0].ill == self.has) & (wards[0].days > LATEST - 1500) & wards[0].present)
        self.day = int(wards[0].days[self.draw.choice(late.tolist())])
        self.begins = list(range(0, LATEST - 2000, EARLIEST))
        self.draw.shuffle(self.begins)
        self.bands = [_ill(begin, begin + 140) for begin in range(0, 1200, 200)]
        self.asked = self.refused = 0

    def count(self, begin: int, end: int) -> str:
        """What the page says of patients with the diagnosis who came in a period."""
        return self._ask(_ill(begin, end))

    def _ask(self, question: Criterion) -> str:
        self.asked += 1
        person, counter = ("ada", "bob")[self.asked % 2], self.counters[self.asked // 2 % 2]
        try:
            return str(self.desk.ask(counter, question, person, f"draft {self.asked}").total)
        except RefusedError:
            self.refused += 1
            raise

    def changes(self, begin: int, end: int) -> bool:
        """Is some group apart from a period counted, and not with those of the period who have the diagnosis?"""
        return any(self._is_shown(band) != self._is_shown(Or((band, _ill(begin, end)))) for band in self.bands)

    def _is_shown(self, question: Criterion) -> bool:
        return self._ask(question)[0].isdigit()

    def parted(self, end: int, until: int) -> bool:
        """Do the answers to two periods, with what lies between ``until`` and ``end`` and without, differ?"""
        begin = self.begins.pop()
        return self.count(begin, end) != self.count(begin, until)


def steps(desks: Desks) -> bool:
    """The last day from which on the answers part, with the patient and without, by halving."""
    return _edge(desks, desks.day) != _edge(desks, desks.day - 1)


def _edge(desks: Desks, end: int) -> int:
    parted, one = desks.day - 150, desks.day - 2
    while one - parted > 1:
        middle = (one + parted) // 2
        parted, one = (middle, one) if desks.parted(end, middle) else (parted, middle)
    return parted


def votes(desks: Desks) -> bool:
    """How often answers part where the limit of a pair decides, with the patient and without."""
    between = round((desks.desk.parameters.threshold + desks.desk.parameters.blur / 2) / (SHARE * 0.5))
    until = desks.day - between
    lead = sum(desks.parted(desks.day, until) - desks.parted(desks.day - 1, until) for _ in range(12))
    return lead > 0 if lead else desks.draw.random() < 0.5


def masks(desks: Desks) -> bool:
    """How many periods are counted, with the patient and without."""
    days = range(desks.day - 70, desks.day - 25, 2)
    lead = sum(_shown(desks, day, desks.day) - _shown(desks, day, desks.day - 1) for day in days)
    return lead != 0


def bands(desks: Desks) -> bool:
    """Does a period with the diagnosis, put beside groups apart from it, ever change whether those are counted?"""
    return _from_where(desks, desks.day) != _from_where(desks, desks.day - 1)


def _from_where(desks: Desks, end: int) -> int:
    """The latest begin of a period that changes it, by halving."""
    changes, none = end - 150, end - 10
    while none - changes > 1:
        middle = (none + changes) // 2
        changes, none = (middle, none) if desks.changes(middle, end) else (changes, middle)
    return changes


def _shown(desks: Desks, begin: int, end: int) -> bool:
    return desks.count(begin, end)[0].isdigit()


Attack = Callable[[Desks], bool]
ATTACKS: dict[str, Attack] = {attack.__name__: attack for attack in (steps, votes, masks, bands)}


@dataclass(frozen=True)
class Learned:
    """``right`` of ``patients`` guesses, with its interval (95 %, Wilson); ``asked``: questions a patient; ``refused``:
    attacks that ended with a refusal, whose answer is drawn."""

    attack: str
    patients: int
    right: float
    low: float
    high: float
    asked: float
    refused: float


def attack_one(name: str, seed: int, parameters: Parameters) -> tuple[bool, int, int]:
    """Was the guess about one patient right; questions; refused ones."""
    desks = Desks(seed, parameters)
    try:
        guess = ATTACKS[name](desks)
    except RefusedError:
        guess = desks.draw.random() < 0.5
    return guess == desks.has, desks.asked, desks.refused


def learn(name: str, patients: int, parameters: Parameters, run: Callable[..., Any] = map) -> Learned:
    """An attack on one patient of each of so many hospitals."""
    found = list(run(partial(attack_one, name, parameters=parameters), range(patients)))
    right, asked, refused = (sum(one[k] for one in found) for k in range(3))
    _, low, high = wilson(right, patients)
    return Learned(name, patients, right / patients, low, high, asked / patients, refused / patients)


def main() -> None:
    """Print one line an attack."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scans")
    parser.add_argument("--patients", type=int, default=480)
    parser.add_argument("--attack", choices=sorted(ATTACKS), nargs="*", default=list(ATTACKS))
    options = parser.parse_args()
    for name in options.attack:
        print(json.dumps(asdict(learn(name, options.patients, UNLIMITED))), flush=True)


if __name__ == "__main__":
    main()
