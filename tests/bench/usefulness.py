"""How far answers are from the truth for people who rework a normal question: `python -m tests.bench.usefulness`.

Clinicians plan a study each: they begin with a diagnosis, a laboratory threshold and an age, and change one thing at a
time, as one does. *Alone*: each has a ledger of their own, as if nobody else counted. *Together*: all ask in one
hospital, one after the other in turns, and each answer may be borrowed of a colleague's.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from decimal import Decimal

import numpy as np

from erios.errors import RefusedError
from erios.extracts.counts import Counter
from erios.extracts.criteria import Age, And, Criterion, Diagnosis, Laboratory
from erios.governance.disclosure import Parameters
from tests.bench.known_patient import ANALYTES, DIAGNOSES, Night, Ward
from tests.desk import Desk

PATIENTS, EDITS = 20_000, 30


def reworked(draw: random.Random) -> Iterator[And]:
    """The question after each edit: another threshold, another age, a diagnosis more or less."""
    diagnoses, analyte = draw.sample(range(DIAGNOSES), 2), draw.randrange(ANALYTES)
    value, low, high = draw.uniform(4, 12), draw.randrange(18, 60), draw.randrange(65, 95)
    for _ in range(EDITS):
        laboratory = Laboratory(f"{analyte}-0", "<", Decimal(f"{value:.1f}"), "g/L")
        parts: tuple[Criterion, ...] = (Diagnosis((f"D{diagnoses[0]:02d}",)), laboratory, Age(low, high))
        yield And(parts if draw.random() < 0.7 else (*parts, Diagnosis((f"D{diagnoses[1]:02d}",))))
        match draw.randrange(3):
            case 0:
                value = max(2.0, value + draw.uniform(-1, 1))
            case 1:
                low = min(high - 5, max(18, low + draw.randint(-5, 5)))
            case _:
                high = max(low + 5, min(95, high + draw.randint(-5, 5)))


def measure(
    clinicians: int, *, together: bool, seed: int = 1, parameters: Parameters | None = None
) -> dict[str, float]:
    """Errors (patients) of the counts shown, and shares of questions refused and masked without need."""
    ward = Ward(seed, patients=PATIENTS)
    counter = Counter(Night("r1"), ward, b"a secret of the bench, of 32 bytes", parameters or Parameters())  # type: ignore[arg-type]
    desks = [Desk(parameters)] * clinicians if together else [Desk(parameters) for _ in range(clinicians)]
    questions = [list(reworked(random.Random(f"{seed} {n}"))) for n in range(clinicians)]
    errors, refused, masked, asked = [], 0, 0, 0
    for turn in range(EDITS):
        for n, desk in enumerate(desks):
            question, asked = questions[n][turn], asked + 1
            truth = int(ward.meets(question).sum())
            try:
                shown = desk.ask(counter, question, f"clinician {n}", f"study {n}").total.value
            except RefusedError:
                refused += 1
                continue
            masked += shown is None and truth >= 11
            errors += [] if shown is None else [abs(shown - truth)]
    return {
        "questions": asked,
        "refused_percent": round(100 * refused / asked, 1),
        "masked_percent": round(100 * masked / asked, 1),
        **{f"error_p{p}": float(np.percentile(errors, p)) for p in (50, 90, 99)},
    }


def main() -> None:
    """Print one line alone, one together."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.usefulness")
    parser.add_argument("--clinicians", type=int, default=20)
    options = parser.parse_args()
    for together in (False, True):
        found = measure(options.clinicians, together=together)
        print(json.dumps({"ledger": "one" if together else "each their own", **found}), flush=True)


if __name__ == "__main__":
    main()
