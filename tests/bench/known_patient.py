"""How much one learns of a patient one knows: `python -m tests.bench.known_patient --hospitals N`.

The attacker knows a result v of a patient, the lowest of an analyte, and wants to know whether the patient has a
diagnosis. Two questions differ by that patient alone: "result under v and diagnosis", "result of v or less and
diagnosis". Where the answers are equal the attacker says "no", where they differ "yes"; where one is refused it draws.
Half of the patients have the diagnosis, so who knows nothing is right once in two. The two questions are asked in two
drafts, by two people, in two nights, in all of these at once, with another criterion that makes the groups small, or
one of them as the cohort of an extract whose page the team reads.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erios.errors import RefusedError
from erios.extracts.counts import Counter
from erios.extracts.criteria import Age, And, Criterion, Diagnosis, Laboratory, Leaf, Not
from erios.extracts.overlaps import Cohorts
from erios.extracts.risk.figures import wilson
from erios.governance.disclosure import Parameters
from tests.desk import Desk

PATIENTS, ANALYTES, DIAGNOSES = 1500, 6, 12
UNLIMITED = Parameters(budget=10**6, person=10**6, before_submission=10**6)
"""Budgets that end no attack: what is left is what the near groups and the refusal of crossings do."""


class Ward:
    """An engine over made-up patients: lowest results of analytes, diagnoses, ages; ``night`` adds what a load adds."""

    def __init__(self, seed: int, night: int = 0, patients: int = PATIENTS) -> None:
        draw = np.random.default_rng(seed)
        many = patients + 40
        self.keys = draw.choice(2**58, many, replace=False)
        self.results = np.round(draw.lognormal(2, 0.5, (ANALYTES, many)), 2)
        shares = draw.uniform(0.05, 0.5, DIAGNOSES)
        self.diagnoses = draw.random((DIAGNOSES, many)) < shares[:, None]
        self.ages = draw.integers(18, 95, many)
        self.present = np.arange(many) < patients + 5 * night
        for _ in range(night):
            again = draw.choice(many, 4, replace=False)
            self.results[:, again] = np.minimum(self.results[:, again], np.round(draw.lognormal(2, 0.5), 2))

    def record_keys(self) -> Any:
        return self.keys[self.present].astype(np.int64)

    def members(self, wanted: Sequence[Leaf]) -> tuple[Any, list[Any]]:
        return self.record_keys(), [self.who(leaf)[self.present] for leaf in wanted]

    def who(self, leaf: Criterion) -> NDArray[np.bool_]:
        """Patients who meet a criterion."""
        match leaf:
            case Laboratory():
                lowest, value = self.results[int(leaf.loinc[0])], float(leaf.value or 0)
                return np.asarray(lowest < value if leaf.op == "<" else lowest <= value)
            case Diagnosis():
                return np.asarray(self.diagnoses[int(leaf.codes[0][1:])])
            case Age():
                return np.asarray((self.ages >= (leaf.min or 0)) & (self.ages <= (leaf.max or 200)))
        raise AssertionError(leaf)

    def meets(self, question: Criterion) -> NDArray[np.bool_]:
        """Patients of the release who meet an "and" of criteria."""
        assert isinstance(question, And)
        flags = [~self.who(part.criterion) if isinstance(part, Not) else self.who(part) for part in question.all]
        return np.asarray(np.logical_and.reduce([self.present, *flags]))


class Night:
    """A release."""

    def __init__(self, name: str) -> None:
        self.id = name

    def names(self) -> list[str]:
        return ["patient", "condition", "observation", "encounter"]


class Hospital:
    """A desk and a counter a night."""

    def __init__(self, seed: int, parameters: Parameters) -> None:
        self.draw, self.desk = random.Random(seed), Desk(parameters)
        self.wards = [Ward(seed, night) for night in (0, 1)]
        secret = random.Random(f"secret {seed}").randbytes(32)
        self.counters = [
            Counter(Night(f"r{n}"), ward, secret, parameters)  # type: ignore[arg-type]
            for n, ward in enumerate(self.wards)
        ]
        self.asked = self.refused = 0

    def count(self, question: Criterion, person: str, study: str, night: int = 0) -> str:
        """What the page says."""
        self.asked += 1
        answer = self.desk.ask(self.counters[night], question, person, study)
        return str(answer.total)


@dataclass(frozen=True)
class Pair:
    """A known patient and a diagnosis: two questions that differ by that patient, and the truth."""

    under: Criterion
    reaching: Criterion
    has: bool
    number: int


def pairs(hospital: Hospital, many: int, *, small: bool = False) -> list[Pair]:
    """As many patients who have the diagnosis as who have not; ``small``: among patients of about their age."""
    ward, draw = hospital.wards[0], hospital.draw
    made: list[Pair] = []
    while len(made) < many:
        patient, analyte, code = draw.randrange(PATIENTS), draw.randrange(ANALYTES), draw.randrange(DIAGNOSES)
        has = bool(ward.diagnoses[code, patient])
        if has == (len(made) % 2 == 0):
            value = Decimal(str(ward.results[analyte, patient]))
            wanted = _others(ward, draw, patient, code, small=small)
            under, reaching = (And((Laboratory(f"{analyte}-0", op, value, "g/L"), *wanted)) for op in ("<", "<="))
            made.append(Pair(under, reaching, has, len(made)))
    draw.shuffle(made)
    return made


def _others(ward: Ward, draw: random.Random, patient: int, code: int, *, small: bool) -> tuple[Criterion, ...]:
    diagnosis = Diagnosis((f"D{code:02d}",))
    if not small:
        return (diagnosis,)
    age = int(ward.ages[patient])
    return (diagnosis, Age(max(18, age - draw.randint(1, 12)), age + draw.randint(1, 12)))


Attack = Callable[[Hospital, Pair], bool]
"""Does the attacker see a difference? RefusedError where an answer is refused."""


def drafts(hospital: Hospital, pair: Pair) -> bool:
    """One person, two drafts."""
    first = hospital.count(pair.under, "ada", f"draft {pair.number} a")
    return first != hospital.count(pair.reaching, "ada", f"draft {pair.number} b")


def accounts(hospital: Hospital, pair: Pair) -> bool:
    """Two people who share no study."""
    first = hospital.count(pair.under, "ada", f"draft {pair.number} a")
    return first != hospital.count(pair.reaching, "bob", f"draft {pair.number} b")


def nights(hospital: Hospital, pair: Pair) -> bool:
    """One study, before and after a load."""
    first = hospital.count(pair.under, "ada", f"draft {pair.number}", night=0)
    return first != hospital.count(pair.reaching, "ada", f"draft {pair.number}", night=1)


def together(hospital: Hospital, pair: Pair) -> bool:
    """Two people who share no study, each in a draft of their own, and a load in between."""
    first = hospital.count(pair.under, "ada", f"draft {pair.number} a", night=0)
    return first != hospital.count(pair.reaching, "bob", f"draft {pair.number} b", night=1)


def extract_page(hospital: Hospital, pair: Pair) -> bool:
    """A count of a draft, and an extract's page as the team reads it: is it nearly what was counted?"""
    hospital.count(pair.under, "ada", f"draft {pair.number}")
    hospital.asked += 1
    ward = hospital.wards[0]
    new, old = ward.meets(pair.reaching), ward.meets(pair.under)
    page = Cohorts.describe(int((new & ~old).sum()), int((old & ~new).sum()), hospital.desk.parameters.threshold)
    return not page["near"]


ATTACKS: dict[str, tuple[Attack, bool]] = {
    "drafts": (drafts, False),
    "small groups": (drafts, True),
    "accounts": (accounts, False),
    "nights": (nights, False),
    "together": (together, False),
    "extract page": (extract_page, False),
}


@dataclass(frozen=True)
class Learned:
    """``right`` of ``pairs`` guesses, with its interval (95 %, Wilson); ``prior``: of who asks nothing; ``refused``:
    questions; ``differing``: pairs whose two answers differed."""

    attack: str
    pairs: int
    right: float
    low: float
    high: float
    prior: float
    refused: float
    differing: float


def attack_one(name: str, seed: int, many: int, parameters: Parameters) -> tuple[int, int, int]:
    """Right guesses about ``many`` patients of one hospital, refusals, and pairs with two different answers."""
    attack, small = ATTACKS[name]
    hospital = Hospital(seed, parameters)
    right = refused = differing = 0
    for pair in pairs(hospital, many, small=small):
        try:
            guess = attack(hospital, pair)
            differing += guess
        except RefusedError:
            refused += 1
            guess = hospital.draw.random() < 0.5
        right += guess == pair.has
    return right, refused, differing


def learn(name: str, hospitals: int, many: int, parameters: Parameters, run: Callable[..., Any] = map) -> Learned:
    """An attack on ``many`` patients of each of so many hospitals."""
    trial = partial(attack_one, name, many=many, parameters=parameters)
    found = list(run(trial, range(1, hospitals + 1)))
    asked = hospitals * many
    right, refused, differing = (sum(one[k] for one in found) for k in range(3))
    _, low, high = wilson(right, asked)
    return Learned(name, asked, right / asked, low, high, 0.5, refused / asked, differing / asked)


def main() -> None:
    """Print one line an attack: with the budgets as they are, and without."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.known_patient")
    parser.add_argument("--hospitals", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=120)
    options = parser.parse_args()
    for parameters in (Parameters(), replace(UNLIMITED)):
        for name in ATTACKS:
            learned = learn(name, options.hospitals, options.pairs, parameters)
            print(json.dumps({"budget": parameters.budget, **asdict(learned)}), flush=True)


if __name__ == "__main__":
    main()
