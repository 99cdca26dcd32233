"""How much a differencing attacker learns: `python -m tests.bench.differencing --trials N`.

A hospital of made-up patients holds a masked group T of 0 to 10 patients (each size as likely). The attacker knows the
method, every parameter and which groups are disjoint, and not a size of a small one. It spends a study's whole budget
on questions of one family, reckons |T| by least squares, and guesses the likeliest size, by what half of the trials
taught about such estimates; it is scored on the other half. Every size is tried equally often, so the best guess
without a question is right once in eleven.

Trials are spread over processes, each with one thread of algebra: the matrices are small, and more would only wait for
each other.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np

from erios.errors import RefusedError
from erios.extracts.counts import Counter
from erios.extracts.criteria import And, Criterion, Diagnosis, Leaf, Not, Or
from erios.governance.disclosure import Parameters
from tests.desk import Desk

SIZES = 11
BANDS, BAND = 40, 50


def _leaf(name: str, number: int) -> Diagnosis:
    return Diagnosis((f"{name}{number:02d}",))


TARGET, LOW, HIGH, ONE, OTHER = (_leaf(name, 0) for name in "TLHXY")
BAND_LEAVES = [_leaf("C", n) for n in range(BANDS)]


@dataclass
class Hospital:
    """An engine over made-up groups: bands of one size each, and the masked group T apart from them.

    L and H are two large groups of which H has T more; X and Y two large ones that have T in common.
    """

    size: int
    seed: int
    groups: dict[Leaf, set[int]] = field(default_factory=dict)
    patients: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        draw = random.Random(self.seed)
        self.patients = [draw.getrandbits(60) for _ in range(BANDS * BAND + 600)]
        rest = iter(self.patients)
        self.groups = {leaf: self._take(rest, BAND + draw.randint(-15, 15)) for leaf in BAND_LEAVES}
        target = set(sorted(self._take(rest, SIZES - 1))[: self.size])
        low = self._take(rest, 100 + draw.randint(-20, 20))
        more = [self._take(rest, 100 + draw.randint(-20, 20)) for _ in range(2)]
        self.groups |= {TARGET: target, LOW: low, HIGH: low | target}
        self.groups |= {ONE: more[0] | target, OTHER: more[1] | target}

    @staticmethod
    def _take(rest: Iterator[int], many: int) -> set[int]:
        return {next(rest) for _ in range(many)}

    def record_keys(self) -> Any:
        return np.array(self.patients, dtype=np.int64)

    def members(self, found: Sequence[Leaf]) -> tuple[Any, list[Any]]:
        return self.record_keys(), [np.array([p in self.groups[leaf] for p in self.patients]) for leaf in found]


Row = tuple[Criterion, dict[Leaf, float]]
"""A question, and how often each unknown group counts in its answer."""
UNKNOWN = [*BAND_LEAVES, TARGET, LOW, ONE, OTHER]


def _union(*leaves: Leaf) -> Criterion:
    return Or(leaves) if len(leaves) > 1 else leaves[0]


def _once(*groups: Leaf) -> dict[Leaf, float]:
    return dict.fromkeys(groups, 1.0)


def pairs(draw: random.Random) -> Iterator[Row]:
    """Each band, with T and without."""
    for band in draw.sample(BAND_LEAVES, BANDS):
        yield band, {band: 1}
        yield _union(band, TARGET), {band: 1, TARGET: 1}


def unions(draw: random.Random) -> Iterator[Row]:
    """Each band with T, and unions of several with T: T counts once for each band and once in all."""
    for band in draw.sample(BAND_LEAVES, BANDS):
        yield _union(band, TARGET), {band: 1, TARGET: 1}
    yield from _random_unions(draw, lambda: True)


def random_unions(draw: random.Random) -> Iterator[Row]:
    """Unions of bands at random, with T or without."""
    yield from _random_unions(draw, lambda: draw.random() < 0.5)


def _random_unions(draw: random.Random, has_target: Callable[[], bool]) -> Iterator[Row]:
    for _ in range(400):
        bands = draw.sample(BAND_LEAVES, draw.randint(1, 8))
        more = [TARGET] if has_target() else []
        yield _union(*bands, *more), _once(*bands, *more)


def complements(draw: random.Random) -> Iterator[Row]:
    """Two large groups but for T, in one writing and another."""
    for band in draw.sample(BAND_LEAVES, BANDS):
        yield _union(band, ONE), {band: 1, ONE: 1, TARGET: 1}
        yield And((_union(band, ONE), Not(TARGET))), {band: 1, ONE: 1}
        yield And((_union(band, ONE), Or((_union(band, OTHER), Not(ONE))))), {band: 1, TARGET: 1}


def edges(draw: random.Random) -> Iterator[Row]:
    """H = L and T is never cut out: each is asked beside many bands, and the two sizes are compared."""
    yield LOW, {LOW: 1}
    yield HIGH, {LOW: 1, TARGET: 1}
    bands = draw.sample(BAND_LEAVES, BANDS)
    for place, band in enumerate(bands):
        yield band, {band: 1}
        more = _once() if place % 2 else _once(TARGET)
        yield _union(band, LOW if place % 2 else HIGH), {band: 1, LOW: 1, **more}
    for _ in range(200):
        some, has = draw.sample(bands, draw.randint(2, 8)), draw.random() < 0.5
        known = _once(*some, LOW, *([TARGET] if has else []))
        yield _union(*some, HIGH if has else LOW), known


def crossings(draw: random.Random) -> Iterator[Row]:
    """|X| + |Y| - |X or Y| = |T|, each beside many bands."""
    sides: list[tuple[tuple[Leaf, ...], dict[Leaf, float]]] = [
        ((ONE,), {ONE: 1, TARGET: 1}),
        ((OTHER,), {OTHER: 1, TARGET: 1}),
        ((ONE, OTHER), {ONE: 1, OTHER: 1, TARGET: 1}),
    ]
    for leaves, known in sides:
        yield _union(*leaves), dict(known)
    for _ in range(400):
        bands = draw.sample(BAND_LEAVES, draw.randint(1, 4))
        leaves, known = draw.choice(sides)
        yield _union(*bands, *leaves), _once(*bands) | known


ATTACKS: dict[str, Callable[[random.Random], Iterator[Row]]] = {
    attack.__name__: attack for attack in (pairs, unions, random_unions, complements, edges, crossings)
}


@dataclass(frozen=True)
class Measure:
    """``success``: right guesses; ``prior``: those of the best guess without a question; ``margin``: two standard
    errors; ``correlation`` of its estimate with the truth; ``shown``, ``refused``: counts and questions, on average."""

    attack: str
    success: float
    prior: float
    margin: float
    correlation: float
    shown: float
    refused: float


def estimate(attack: str, size: int, seed: int, parameters: Parameters, accounts: int = 1) -> tuple[float, int, int]:
    """The attacker's estimate of |T| with a whole budget, the counts shown, and the questions refused.

    With several ``accounts``, people who share no study ask in turn and put their answers together.
    """
    secret = random.Random(f"secret {seed}").randbytes(32)
    counter = Counter(_Made(), Hospital(size, seed), secret, parameters)  # type: ignore[arg-type]
    desk = Desk(parameters)
    rows: list[tuple[dict[Leaf, float], int]] = []
    refused = 0
    asked = islice(ATTACKS[attack](random.Random(f"{attack} {seed}")), accounts * parameters.budget)
    for n, (question, known) in enumerate(asked):
        try:
            answer = desk.ask(counter, question, f"person {n % accounts}", f"study {n % accounts}")
        except RefusedError:
            refused += 1
            continue
        if answer.total.value is not None:
            rows.append((known, answer.total.value))
    shown = sum(desk.shown_to(f"person {n}") for n in range(accounts))
    return _least_squares(rows, parameters), shown, refused


class _Made:
    id = "made-up"

    def names(self) -> list[str]:
        return ["patient", "condition"]


def _least_squares(rows: Sequence[tuple[dict[Leaf, float], int]], parameters: Parameters) -> float:
    """Posterior mean of |T|: sizes of the large groups are known give or take 20, |T| is 5 give or take √10."""
    design = np.array([[known.get(leaf, 0.0) for leaf in UNKNOWN] for known, _ in rows]).reshape(-1, len(UNKNOWN))
    mean = np.array([5.0 if leaf == TARGET else BAND if leaf in BAND_LEAVES else 100.0 for leaf in UNKNOWN])
    spread = np.array([10.0 if leaf == TARGET else 400.0 for leaf in UNKNOWN])
    precision = np.diag(1 / spread) + design.T @ design / parameters.variance
    gap = np.array([value for _, value in rows]) - design @ mean
    return float((mean + np.linalg.solve(precision, design.T @ gap / parameters.variance))[UNKNOWN.index(TARGET)])


def measure(
    attack: str,
    trials: int,
    parameters: Parameters,
    seed: int = 1,
    run: Callable[..., Any] = map,
    accounts: int = 1,
) -> Measure:
    """``trials`` hospitals, each size equally often; ``run`` is ``map``, or that of a pool of processes."""
    sizes = [n % SIZES for n in range(trials)]
    random.Random(seed).shuffle(sizes)
    trial = partial(estimate, attack, parameters=parameters, accounts=accounts)
    found = list(run(trial, sizes, range(seed * 1_000_000, seed * 1_000_000 + trials)))
    hits = _hits([value for value, _, _ in found], sizes)
    share = hits / trials
    margin = 2 * (max(share, 1 / SIZES) * (1 - share) / trials) ** 0.5
    shown, refused = (float(np.mean([f[k] for f in found])) for k in (1, 2))
    correlation = float(np.corrcoef([value for value, _, _ in found], sizes)[0, 1])
    return Measure(attack, share, 1 / SIZES, margin, correlation, shown, refused)


def _hits(estimates: Sequence[float], sizes: Sequence[int]) -> int:
    """Right guesses of each half of the trials: the likeliest size by a line and a spread fitted to the other half."""
    half = len(sizes) // 2
    hits = 0
    for learn, test in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
        slope, level = np.polyfit(sizes[learn], estimates[learn], 1)
        expected = level + slope * np.arange(SIZES)
        guesses = [int(np.abs(expected - value).argmin()) for value in estimates[test]]
        hits += sum(guess == size for guess, size in zip(guesses, sizes[test], strict=True))
    return hits


def main() -> None:
    """Print one line an attack, and JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.differencing")
    parser.add_argument("--trials", type=int, default=440)
    parser.add_argument("--attack", choices=sorted(ATTACKS), nargs="*", default=list(ATTACKS))
    parser.add_argument("--budget", type=int, default=Parameters().budget)
    parser.add_argument("--variance", type=float, default=Parameters().variance)
    parser.add_argument("--looks", type=float, default=Parameters().looks)
    parser.add_argument("--accounts", type=int, default=1, help="people who share no study and work together")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    more = {"budget": options.budget, "variance": options.variance, "looks": options.looks}
    parameters = replace(Parameters(bound=max(18, round(3 * options.variance**0.5))), **more)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read by the processes that are started below
    started = time.monotonic()
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        for attack in options.attack:
            measured = measure(attack, options.trials, parameters, run=pool.map, accounts=options.accounts)
            print(json.dumps(asdict(measured)), flush=True)
    print(f"{options.trials} trials an attack, {options.processes} processes, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
