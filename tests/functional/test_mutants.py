"""Faults put into the rules on purpose are found by the fast tests that guard them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.figures import Record
from tests.mutants.named import NAMED

ROOT = Path(__file__).resolve().parents[2]


def mutants(*options: str) -> subprocess.CompletedProcess[str]:
    """``python -m tests.mutants`` in a process of its own, which forks."""
    return subprocess.run(
        [sys.executable, "-m", "tests.mutants", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_nine_mutants_of_ten_of_a_sample_are_killed() -> None:
    """The mutants made by hand, all of them, and one of each module: the same ones until the code changes."""
    run = mutants("--sample", "1", "--least", "90")

    by_hand = [mutant.title for mutant in NAMED if f"{mutant.title}\n" in run.stdout]
    assert by_hand == [], run.stdout

    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.long
def test_nine_mutants_of_ten_are_killed(figure: Record) -> None:
    run = mutants("--least", "90")

    assert run.returncode == 0, run.stdout + run.stderr
    (score,) = re.findall(r"mutation score ([\d.]+ %: \d+ of \d+)", run.stdout)
    figure("mutants killed", score)
