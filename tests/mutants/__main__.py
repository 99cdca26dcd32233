"""``python -m tests.mutants``: the mutation score of the modules whose rules protect people.

``--sample N`` takes the N mutants of each module whose digests are smallest: the same ones until the code changes.
The hand-made mutants of ``named.py`` are always taken. The guards of a sample are not run on the unchanged modules: it
is taken where they run anyway. The exit status is 1 when the score is below ``--least``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import sys
import time
from collections.abc import Collection, Sequence

from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.guards import GUARDS
from tests.mutants.named import named_trials
from tests.mutants.operators import Mutant, mutants_of
from tests.mutants.run import ROOT, Trial, preload, run

SAMPLE_LIMIT = 60.0
"""Seconds of processor time for a mutant of a sample; the slowest guards take a few."""


def main(arguments: Sequence[str]) -> int:
    """Print survivors and scores; 1 when too few mutants were killed."""
    options = _options(arguments)
    files = [file for file in GUARDS if options.only in file]
    os.environ["CI"] = "1"  # the same Hypothesis examples every time
    preload()
    named = [trial for trial in named_trials() if options.only in trial.file]
    guards = {trial.tests for trial in named} | {GUARDS[file] for file in files}
    limit = SAMPLE_LIMIT if options.sample else 10 * check_guards(guards, options.jobs) + 5
    trials = [*named, *(_trial(mutant) for file in files for mutant in chosen(file, options.sample))]
    killed: dict[str, int] = {}
    survivors = []
    for trial, passed in run(trials, options.jobs, limit):
        killed[trial.file] = killed.get(trial.file, 0) + (not passed)
        if passed:
            survivors.append(trial)
            print(f"survived: {trial.file}: {trial.name}", flush=True)
    return _report(trials, killed, options.least)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sample", type=int, default=0, help="mutants of each module; 0 for all")
    parser.add_argument("--only", default="", help="modules whose path has this in it")
    parser.add_argument("--least", type=float, default=90.0, help="per cent that must be killed")
    return parser.parse_args(arguments)


def check_guards(guards: Collection[tuple[str, ...]], jobs: int) -> float:
    """Run the tests on the unchanged modules: they pass and there are some. Their processor time, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    for trial, passed in run([Trial("", "unchanged", None, tests) for tests in sorted(guards)], jobs, 600):
        if not passed:
            raise SystemExit(f"these guards fail without a mutant, or are not there: {' '.join(trial.tests)}")
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def chosen(file: str, sample: int) -> list[Mutant]:
    """The mutants of a file that are not known to be equivalent; of these the sample's, if one is wanted."""
    mutants = [mutant for mutant in mutants_of(ROOT, file) if (file, mutant.name) not in EQUIVALENT]
    if not sample:
        return mutants
    return sorted(mutants, key=lambda mutant: hashlib.sha256(f"{file} {mutant.name}".encode()).digest())[:sample]


def _trial(mutant: Mutant) -> Trial:
    return Trial(mutant.file, f"line {mutant.line}: {mutant.name}", mutant.tree, GUARDS[mutant.file])


def _report(trials: Sequence[Trial], killed: dict[str, int], least: float) -> int:
    for file in dict.fromkeys(trial.file for trial in trials):
        total = sum(trial.file == file for trial in trials)
        print(f"{100 * killed.get(file, 0) / total:6.1f} %  {killed.get(file, 0):4} of {total:4}  {file}")
    score = 100 * sum(killed.values()) / len(trials)
    print(
        f"mutation score {score:.1f} %: {sum(killed.values())} of {len(trials)} mutants killed; "
        f"{len(EQUIVALENT)} listed as equivalent; processor time {time.process_time():.0f} s here"
    )
    return int(score < least)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
