"""Which levels of a summary of stays, and how many stays a patient, hide whole records and still tell of the outcome.

Owns the search. Rows are held as small numbers (levels of at most ``MOST_STAYS`` stays), never with a key. From the
finest levels on, the step is taken that frees most records for what the column told of the outcome, until the records
are few enough: with e different records of n patients, one who has a patient's record finds e/n of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np

from erios.extracts.risk.figures import wilson
from erios.extracts.stay_summary import COLUMNS, STAYS, SummaryColumn

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_STAYS = 200_000
STAYS_A_PATIENT = (None, 5, 3, 2, 1)
"""How many stays of a patient a summary may keep; None: all."""
LEFT_OUT = ""
_FOLDS, _LEAST_POSITIVE, _NEWTON = 5, 20, 12
_PATIENCE = (1e-4, 1e-3, 1e-2)
"""Nats of what is told of the outcome that a step may lose and still count as free: the search goes each way."""
_MIXER = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Usefulness:
    """Area under the ROC curve of a plain logistic model of the outcome, by cross-validation over patients."""

    auc: float
    low: float


@dataclass(frozen=True)
class SummaryChoice:
    """What the search found: a form a column (those left out are absent), stays a patient, and how it does."""

    forms: Mapping[str, str]
    stays: int | None
    share: float
    k: int
    usefulness: Usefulness | None


class Stays:
    """Stays as numbers: ``patients`` and ``places`` (of a stay among the patient's, by chance), a column each."""

    def __init__(self, columns: Mapping[str, NDArray[Any]], patients: NDArray[Any], seed: int) -> None:
        numbers = np.unique(patients, return_inverse=True)[1]
        order = np.lexsort((np.random.default_rng(seed).permutation(len(numbers)), numbers))
        self.columns = {name: values[order] for name, values in columns.items()}
        self.patients = numbers[order]
        starts = np.flatnonzero(np.diff(self.patients, prepend=-1))
        self.places = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
        self._levels: dict[tuple[str, str], NDArray[Any]] = {}
        self._hashes: dict[tuple[str, str], NDArray[Any]] = {}

    @cached_property
    def present(self) -> tuple[SummaryColumn, ...]:
        """The columns that are there, in their order."""
        return tuple(column for column in COLUMNS[STAYS] if column.name in self.columns)

    @cached_property
    def outcome(self) -> NDArray[Any]:
        """0 or 1."""
        return self.columns["returned"].astype(int)

    def levels(self, column: SummaryColumn, form: str) -> NDArray[Any]:
        """The column's values at a form, as numbers."""
        if (column.name, form) not in self._levels:
            self._levels[column.name, form] = self._on_level(self.columns[column.name], form)
        return self._levels[column.name, form]

    @staticmethod
    def _on_level(values: NDArray[Any], form: str) -> NDArray[Any]:
        if form.startswith("steps:"):
            edges = [float(edge) for edge in form.removeprefix("steps:").split(",")]
            return np.searchsorted(edges, values, side="right")
        if form.startswith("band:"):
            return np.floor(values / int(form.removeprefix("band:"))).astype(np.int64)
        return values.astype(np.int64)

    def hashes(self, column: SummaryColumn, form: str) -> NDArray[Any]:
        """A hash of each level; nothing of a column that is left out."""
        if (column.name, form) not in self._hashes:
            salt = np.uint64(1 + 1_000_003 * [entry.name for entry in COLUMNS[STAYS]].index(column.name))
            levels = self.levels(column, form).astype(np.uint64) if form else np.zeros(len(self.places), np.uint64)
            self._hashes[column.name, form] = _mixed(_mixed(levels) + salt)
        return self._hashes[column.name, form]


def search(stays: Stays, limit: float, threshold: int) -> list[SummaryChoice]:
    """The choices that suffice, those that tell most of the outcome first, by the lower end of its interval."""
    found: dict[Any, SummaryChoice] = {}
    for most, patience in product(STAYS_A_PATIENT, _PATIENCE):
        kept = np.flatnonzero(stays.places < (most or len(stays.places)))
        if len(kept) and (forms := _climbed(stays, kept, limit, threshold, patience)):
            choice = _chosen(stays, kept, _lowered(stays, kept, forms, limit, threshold), most)
            found.setdefault((tuple(choice.forms.items()), most), choice)
    return sorted(found.values(), key=lambda choice: -(choice.usefulness.low if choice.usefulness else 0.0))


def _suffices(stays: Stays, kept: NDArray[Any], forms: Mapping[str, str], limit: float, threshold: int) -> bool:
    share, k = _figures(stays, kept, forms)
    n = len(np.unique(stays.patients[kept]))
    return wilson(share * n, n)[2] <= limit and k >= threshold


def _climbed(
    stays: Stays, kept: NDArray[Any], limit: float, threshold: int, patience: float
) -> Mapping[str, str] | None:
    """From the finest forms, the step that frees most for its loss, until records are few enough; None where never."""
    forms: Mapping[str, str] = {column.name: column.forms[0] for column in stays.present}
    while not _suffices(stays, kept, forms, limit, threshold):
        steps = list(_steps(stays, forms))
        if not steps:
            return None
        share, k = _figures(stays, kept, forms)
        worth = [_worth(stays, kept, forms, step, share, k, patience) for step in steps]
        forms = steps[worth.index(max(worth))]
    return forms


def _lowered(
    stays: Stays, kept: NDArray[Any], forms: Mapping[str, str], limit: float, threshold: int
) -> Mapping[str, str]:
    """The same with steps taken back that turned out to be needless, the most useful first."""
    while True:
        finer = [step for step in _steps_back(stays, forms) if _suffices(stays, kept, step, limit, threshold)]
        if not finer:
            return forms
        told = [sum(_told(stays, kept, column, step[column.name]) for column in stays.present) for step in finer]
        forms = finer[told.index(max(told))]


def _chosen(stays: Stays, kept: NDArray[Any], forms: Mapping[str, str], most: int | None) -> SummaryChoice:
    share, k = _figures(stays, kept, forms)
    return SummaryChoice(_present(forms), most, share, k, _usefulness(stays, kept, forms))


def _present(forms: Mapping[str, str]) -> dict[str, str]:
    return {name: form for name, form in forms.items() if form != LEFT_OUT}


def _steps(stays: Stays, forms: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """One column a level coarser, or left out after its last one."""
    for column in stays.present:
        form = forms[column.name]
        if not column.outcome and form != LEFT_OUT:
            ladder = (*column.forms, LEFT_OUT)
            yield {**forms, column.name: ladder[ladder.index(form) + 1]}


def _steps_back(stays: Stays, forms: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """One column a level finer."""
    for column in stays.present:
        ladder = (*column.forms, LEFT_OUT)
        place = ladder.index(forms[column.name])
        if place and not column.outcome:
            yield {**forms, column.name: ladder[place - 1]}


def _worth(
    stays: Stays,
    kept: NDArray[Any],
    forms: Mapping[str, str],
    step: Mapping[str, str],
    share: float,
    k: int,
    patience: float,
) -> float:
    """Records freed for what the changed column told of the outcome."""
    name = next(name for name in forms if forms[name] != step[name])
    column = next(column for column in stays.present if column.name == name)
    lost = _told(stays, kept, column, forms[name]) - _told(stays, kept, column, step[name])
    after, least = _figures(stays, kept, step)
    freed = log(share / after) + 0.2 * log(max(least, 1) / max(k, 1))
    return freed / (max(lost, 0.0) + patience)


def _told(stays: Stays, kept: NDArray[Any], column: SummaryColumn, form: str) -> float:
    """Mutual information with the outcome in nats, less what chance alone gives (Miller, Madow)."""
    if form == LEFT_OUT:
        return 0.0
    levels = np.unique(stays.levels(column, form)[kept], return_inverse=True)[1]
    outcome, n = stays.outcome[kept], len(kept)
    joint = np.bincount(levels * 2 + outcome, minlength=2 * (levels.max() + 1)).reshape(-1, 2) / n
    alone = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / alone[there])).sum()) - (len(joint) - 1) / (2 * n)


def _figures(stays: Stays, kept: NDArray[Any], forms: Mapping[str, str]) -> tuple[float, int]:
    """The share of patients whom one with their whole record finds, and the smallest class of age, gender, stays."""
    hashes = [stays.hashes(column, forms[column.name])[kept] for column in stays.present]
    rows = np.asarray(np.sum(hashes, axis=0, dtype=np.uint64))
    starts = np.flatnonzero(np.diff(stays.patients[kept], prepend=-1))
    records = np.add.reduceat(_mixed(rows), starts)
    return len(np.unique(records)) / len(records), _smallest(stays, kept, forms, starts)


def _smallest(stays: Stays, kept: NDArray[Any], forms: Mapping[str, str], starts: NDArray[Any]) -> int:
    classes = np.diff(starts, append=len(kept)).astype(np.uint64)
    for column in stays.present:
        if column.name in ("age", "gender") and forms[column.name] != LEFT_OUT:
            classes = _mixed(classes + np.minimum.reduceat(stays.hashes(column, forms[column.name])[kept], starts))
    return int(np.unique(classes, return_counts=True)[1].min())


def _mixed(numbers: NDArray[Any]) -> NDArray[Any]:
    """A hash of 64 bits."""
    with np.errstate(over="ignore"):
        mixed = (numbers ^ (numbers >> np.uint64(31))) * np.uint64(_MIXER) + np.uint64(1)
        return np.asarray(mixed ^ (mixed >> np.uint64(29)))


def _usefulness(stays: Stays, kept: NDArray[Any], forms: Mapping[str, str]) -> Usefulness | None:
    """None with too few stays of either outcome."""
    outcome = stays.outcome[kept]
    positive = int(outcome.sum())
    features = [_one_hot(stays, kept, c, forms[c.name]) for c in stays.present if not c.outcome and forms[c.name]]
    if min(positive, len(outcome) - positive) < _LEAST_POSITIVE or not features:
        return None
    table = np.column_stack([np.ones(len(kept)), *features])
    folds, scores = stays.patients[kept] % _FOLDS, np.zeros(len(outcome))
    for fold in range(_FOLDS):
        scores[folds == fold] = table[folds == fold] @ _logistic(table[folds != fold], outcome[folds != fold])
    auc = _area(scores, outcome)
    return Usefulness(auc, auc - 1.96 * _error(auc, positive, len(outcome) - positive))


def _logistic(table: NDArray[Any], outcome: NDArray[Any]) -> NDArray[Any]:
    """Weights of a ridge logistic regression (penalty 1), by Newton's steps."""
    weights = np.zeros(table.shape[1])
    for _ in range(_NEWTON):
        chance = 1 / (1 + np.exp(-table @ weights))
        hessian = (table * (chance * (1 - chance))[:, None]).T @ table + np.eye(len(weights))
        weights = weights + np.linalg.solve(hessian, table.T @ (outcome - chance) - weights)
    return weights


def _area(scores: NDArray[Any], outcome: NDArray[Any]) -> float:
    """Area under the ROC curve: the share of pairs in order, ties counting half (Mann, Whitney)."""
    _, places, counts = np.unique(np.round(scores, 9), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positive = int(outcome.sum())
    return float((ranks[outcome == 1].sum() - positive * (positive + 1) / 2) / (positive * (len(outcome) - positive)))


def _one_hot(stays: Stays, kept: NDArray[Any], column: SummaryColumn, form: str) -> NDArray[Any]:
    levels = stays.levels(column, form)[kept]
    return np.asarray(levels[:, None] == np.unique(levels)[None, :], dtype=float)


def _error(auc: float, positive: int, negative: int) -> float:
    """Standard error of the area (Hanley, McNeil, Radiology 143, 1982)."""
    first, second = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = auc * (1 - auc) + (positive - 1) * (first - auc**2) + (negative - 1) * (second - auc**2)
    return float((variance / (positive * negative)) ** 0.5)


def usefulness_of_finest(stays: Stays) -> Usefulness | None:
    """What the finest summary of all stays tells of the outcome."""
    forms = {column.name: column.forms[0] for column in stays.present}
    return _usefulness(stays, np.arange(len(stays.places)), _binned(stays, forms))


def _binned(stays: Stays, forms: Mapping[str, str]) -> dict[str, str]:
    """Numbers in the first of their coarser forms: a model of one weight a value would learn them by heart."""
    finer = {column.name: column.forms for column in stays.present if len(column.forms) > 1}
    return {name: finer[name][1] if name in finer else form for name, form in forms.items()}


def read_stays(frame: Mapping[str, Any], names: Collection[str], seed: int) -> Stays:
    """Stays from the columns ``names`` of the finest summary; what is not known counts as -1."""
    columns: dict[str, NDArray[Any]] = {}
    for name in names:
        values = np.ma.asarray(frame[name])
        if values.dtype.kind in "OUS":
            values = np.ma.asarray(np.unique(np.ma.filled(values, "").astype(str), return_inverse=True)[1])
        numbers = np.ma.filled(values.astype(float), -1.0)
        columns[name] = np.where(np.isnan(numbers), -1.0, numbers)
    return Stays(columns, np.asarray(frame["patient_key"]).astype(str), seed)
