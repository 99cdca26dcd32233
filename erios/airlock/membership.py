"""Membership inference: can an attacker tell the patients whom a model was trained on from others?

Owns the attacks on saved predictions: the worst case, in which the attacker has the model's answers for known members
and others and learns from half of them, as thresholds and as classifiers; and LiRA with shadow models. Sources:
Shokri et al. 2017; Yeom et al. 2018; Carlini et al. 2022 (LiRA); the worst-case attack of SACRO-ML; the interval of
the AUC of Hanley and McNeil 1982 as DeLong et al. 1988 refine it, of a share that of Clopper and Pearson. It must
never see a patient's key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from erios.airlock.cells import Shape, fold
from erios.airlock.findings import Finding, Verdict
from erios.airlock.tables import Table
from erios.settings_sections import AirlockSettings

Numbers: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
FALSE_ALARMS = 0.01
_FOLDS = 5
_TINY = 1e-6
_SIGMAS = 1.6448536269514722
"""One-sided 95 % of a normal law."""


@dataclass(frozen=True)
class Predictions:
    """What a model answers for members of its training set and others: a row a person, a column a class or score."""

    member: Flags
    scores: Numbers
    label: NDArray[np.int64] | None
    shadow_scores: Numbers | None = None
    shadow_members: Flags | None = None


@dataclass(frozen=True)
class Attack:
    """How well one attack does: area under the curve, members named at 1 % of false alarms, upper 95 % bounds."""

    name: str
    auc: float
    auc_high: float
    tpr: float
    tpr_high: float


def predictions_of(tables: Sequence[Table]) -> Predictions | None:
    """The predictions among tables that were given with a model: a column "member" (0 or 1), "label" if there is one,
    one or more of scores; "shadow_1" … and "in_1" … for LiRA: the confidence of a shadow model, and whether it saw
    the row."""
    for table in tables:
        names = [fold(name).replace("-", "_").replace(" ", "_") for name in table.names]
        if "member" in names and len(table.rows) > 1:
            return _read(table, names)
    return None


def _read(table: Table, names: Sequence[str]) -> Predictions | None:
    columns = {name: _column(table, place) for place, name in enumerate(names)}
    member = columns.pop("member")
    label = columns.pop("label", None)
    shadow = [columns.pop(name, None) for name in names if name.startswith("shadow_")]
    inside = [columns.pop(f"in_{name.removeprefix('shadow_')}", None) for name in names if name.startswith("shadow_")]
    scores = [column for column in columns.values() if column is not None]
    if member is None or not scores or not set(np.unique(member)) <= {0.0, 1.0}:
        return None
    whole = bool(shadow) and all(column is not None for column in (*shadow, *inside))
    return Predictions(
        member == 1,
        np.column_stack(scores),
        None if label is None else np.unique(label, return_inverse=True)[1].astype(np.int64),
        np.column_stack([column for column in shadow if column is not None]) if whole else None,
        np.column_stack([column for column in inside if column is not None]) == 1 if whole else None,
    )


def _column(table: Table, column: int) -> Numbers | None:
    cells = [table.cell(row, column) for row in table.rows]
    if not all(cell.shape == Shape.NUMBER for cell in cells):
        return None
    values = np.array([float(cell.figures[0].value) for cell in cells])
    return values if np.isfinite(values).all() else None


def check_membership(tables: Sequence[Table], settings: AirlockSettings) -> Iterator[Finding]:
    """What the best attack reaches; not measurable with too few people, held without predictions."""
    predictions = predictions_of(tables)
    if predictions is None:
        yield Finding("predictions-missing")
        return
    members, others = int(predictions.member.sum()), int((~predictions.member).sum())
    if min(members, others) < settings.attack_members:
        values = {"members": members, "others": others, "needed": settings.attack_members}
        yield Finding("too-few-members", Verdict.UNMEASURED, values=values)
    if min(members, others) >= _FOLDS * 2:
        yield from _judged(predictions, settings, certain=min(members, others) >= settings.attack_members)


def _judged(predictions: Predictions, settings: AirlockSettings, certain: bool) -> Iterator[Finding]:
    """With few people what is seen is told, and holds the model where even the lower side is too much."""
    for attack in attacks(predictions, settings):
        auc = attack.auc_high if certain else 2 * attack.auc - attack.auc_high
        tpr = attack.tpr if certain else 0.0
        verdict = Verdict.HELD if auc > settings.attack_auc or tpr > settings.attack_tpr else Verdict.NOTE
        figures = {"auc": round(attack.auc_high, 3), "tpr": round(100 * attack.tpr_high, 1)}
        yield Finding(f"attack-{attack.name}", verdict, values=figures)
    shadows = 0 if predictions.shadow_scores is None else predictions.shadow_scores.shape[1]
    if 0 < shadows < settings.shadow_models:
        yield Finding(
            "too-few-shadows", Verdict.UNMEASURED, values={"shadows": shadows, "needed": settings.shadow_models}
        )


def attacks(predictions: Predictions, settings: AirlockSettings) -> Iterator[Attack]:
    """Every attack that these predictions allow."""
    signals = _signals(predictions)
    yield _best_threshold(signals, predictions.member)
    for name, scores in _learned(signals, predictions.member):
        yield _measured(name, scores, predictions.member)
    if predictions.shadow_scores is not None and predictions.shadow_scores.shape[1] >= settings.shadow_models:
        yield _measured("lira", _lira(predictions), predictions.member)


def _signals(predictions: Predictions) -> Numbers:
    """What tells members: the scores, sorted, and for the label's class its confidence, loss and margin."""
    scores, label = predictions.scores, predictions.label
    if scores.shape[1] == 1 and label is not None and label.max() <= 1 and scores.min() >= 0 and scores.max() <= 1:
        scores = np.column_stack([1 - scores[:, 0], scores[:, 0]])
    sorted_scores = np.sort(scores, axis=1)[:, ::-1][:, :4]
    columns = [scores, sorted_scores]
    if label is not None and label.max() < scores.shape[1]:
        own = scores[np.arange(len(label)), label]
        rest = np.where(np.arange(scores.shape[1])[None, :] == label[:, None], -np.inf, scores).max(axis=1)
        columns += [own[:, None], _logit(own)[:, None], (own - rest)[:, None]] if scores.shape[1] > 1 else []
    elif label is not None:
        columns.append(np.abs(scores[:, :1] - label[:, None]))
    return np.column_stack(columns)


def _logit(confidence: Numbers) -> Numbers:
    clipped = np.clip(confidence, _TINY, 1 - _TINY)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float64)


def _best_threshold(signals: Numbers, member: Flags) -> Attack:
    """The signal, and its side, that tells most by a threshold alone."""
    measured = [_measured("threshold", sign * column, member) for column in signals.T for sign in (1, -1)]
    return max(measured, key=lambda attack: attack.auc)


def _learned(signals: Numbers, member: Flags) -> Iterator[tuple[str, Numbers]]:
    """Classifiers that learn who is a member from some, judged on the others."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    models = (
        ("forest", RandomForestClassifier(100, min_samples_leaf=5, random_state=0)),
        ("boosting", HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, random_state=0)),
    )
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    for name, model in models:
        yield name, cross_val_predict(model, signals, member, cv=folds, method="predict_proba")[:, 1]


def _lira(predictions: Predictions) -> Numbers:
    """Carlini et al.: how much likelier the model's confidence is under the shadow models that saw the row than under
    those that did not; normal laws of the logit, one variance for all rows as few models are at hand."""
    assert predictions.shadow_scores is not None
    assert predictions.shadow_members is not None
    shadows, inside = _logit(predictions.shadow_scores), predictions.shadow_members
    target = _logit(_own_confidence(predictions))
    mean_in, mean_out = _means(shadows, inside), _means(shadows, ~inside)
    spread_in = max(_spread(shadows, inside, mean_in), _TINY)
    spread_out = max(_spread(shadows, ~inside, mean_out), _TINY)
    offline = (target - mean_out) / spread_out
    online = offline**2 / 2 - ((target - mean_in) / spread_in) ** 2 / 2
    both = inside.any(axis=1) & (~inside).any(axis=1)
    return np.where(both, online, offline)


def _own_confidence(predictions: Predictions) -> Numbers:
    scores, label = predictions.scores, predictions.label
    if label is None or scores.shape[1] == 1:
        own = scores[:, 0]
        return np.where(label == 1, own, 1 - own) if label is not None and label.max() <= 1 else own
    return np.asarray(scores[np.arange(len(label)), np.minimum(label, scores.shape[1] - 1)], dtype=np.float64)


def _means(values: Numbers, chosen: Flags) -> Numbers:
    count = np.maximum(chosen.sum(axis=1), 1)
    return np.asarray(np.where(chosen, values, 0.0).sum(axis=1) / count, dtype=np.float64)


def _spread(values: Numbers, chosen: Flags, mean: Numbers) -> float:
    squares = np.where(chosen, (values - mean[:, None]) ** 2, 0.0)
    return float(np.sqrt(squares.sum() / max(chosen.sum() - len(mean), 1)))


def _measured(name: str, scores: Numbers, member: Flags) -> Attack:
    """Area and named members of a score that is high for members, with upper bounds."""
    inside, outside = scores[member], scores[~member]
    auc, deviation = _area(inside, outside)
    alarm = np.quantile(outside, 1 - FALSE_ALARMS, method="higher")
    hits = int((inside > alarm).sum())
    return Attack(name, auc, min(auc + _SIGMAS * deviation, 1.0), hits / len(inside), _upper_share(hits, len(inside)))


def _area(inside: Numbers, outside: Numbers) -> tuple[float, float]:
    """The area under the curve and its standard deviation, by placements (DeLong)."""
    order_out, order_in = np.sort(outside), np.sort(inside)
    placed_in = (
        (np.searchsorted(order_out, inside, "left") + np.searchsorted(order_out, inside, "right")) / 2 / len(outside)
    )
    placed_out = 1 - (
        np.searchsorted(order_in, outside, "left") + np.searchsorted(order_in, outside, "right")
    ) / 2 / len(inside)
    variance = placed_in.var(ddof=1) / len(inside) + placed_out.var(ddof=1) / len(outside)
    return float(placed_in.mean()), float(np.sqrt(variance))


def _upper_share(hits: int, people: int) -> float:
    """Upper end of the one-sided 95 % interval of Clopper and Pearson."""
    from scipy.stats import beta

    return 1.0 if hits == people else float(beta.ppf(0.95, hits + 1, people - hits))
