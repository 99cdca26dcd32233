"""The airlock against a hundred files that must not leave and a hundred that may, each drawn anew with a seed."""

from __future__ import annotations

from collections import Counter

import pytest

from erios.airlock.check import check_file
from tests.airlock.corpus import SAFE, UNSAFE, drawn_files, fair_model
from tests.airlock.unsafe_files import exposed_model
from tests.figures import Record

SEED = 1
MODELS = {exposed_model: 3, fair_model: 1}
"""Attacks on a model take seconds: a sample here, all of them with the mark ``long``."""
SEEDS = range(2, 12)


def sample(kinds):
    return dict(drawn_files({kind: MODELS.get(kind, times) for kind, times in kinds.items()}, SEED))


UNSAFE_FILES, SAFE_FILES = sample(UNSAFE), sample(SAFE)


def is_held(planted, folder):
    path, context = planted.write(folder)
    return check_file(path, context).held


@pytest.mark.parametrize("name", UNSAFE_FILES)
def test_an_unsafe_file_is_held(tmp_path, name):
    assert is_held(UNSAFE_FILES[name], tmp_path)


def test_nine_safe_files_of_ten_pass(tmp_path):
    held = []
    for name, planted in SAFE_FILES.items():
        (tmp_path / name).mkdir()
        held += [name] if is_held(planted, tmp_path / name) else []

    assert len(SAFE_FILES) >= 98
    assert len(held) <= len(SAFE_FILES) // 10, held


def upper_bound(held: int, size: int) -> float:
    """Upper end of the 95 % interval of Clopper and Pearson, in percent."""
    from scipy.stats import beta

    return 100.0 if held == size else 100 * float(beta.ppf(0.975, held + 1, size - held))


@pytest.mark.long
def test_the_full_set_of_files_at_the_airlock(tmp_path, figure: Record):
    wrong: dict[bool, list[str]] = {True: [], False: []}
    sizes: Counter[bool] = Counter()
    for seed in SEEDS:
        for kinds, unsafe in ((UNSAFE, True), (SAFE, False)):
            for name, planted in drawn_files(kinds, seed):
                folder = tmp_path / f"{seed}-{unsafe}-{name}"
                folder.mkdir()
                sizes[unsafe] += 1
                wrong[unsafe] += [folder.name] if is_held(planted, folder) != unsafe else []

    passed, held = len(wrong[True]), len(wrong[False])
    figure("unsafe files that pass", f"{passed} of {sizes[True]} (at most {upper_bound(passed, sizes[True]):.1f}%)")
    figure("safe files that are held", f"{held} of {sizes[False]} (at most {upper_bound(held, sizes[False]):.1f}%)")
    assert wrong[True] == []
    assert held <= sizes[False] // 10
