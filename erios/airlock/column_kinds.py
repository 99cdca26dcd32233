"""What the figures of a column are: counts, shares, means … as its author declares it, or as its name says.

Owns the words. Where no word is known a whole number is taken for a count, and a decimal one for nothing: its author
must say what it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from erios.airlock.cells import fold


class Kind(StrEnum):
    """What a figure is. ``LABEL`` says which row it is; ``STATISTIC``: a mean, score, coefficient: no count in it."""

    LABEL = "label"
    COUNT = "count"
    STRUCTURAL = "count-structural"
    SHARE = "share"
    STATISTIC = "measure"
    QUANTILE = "quantile"
    EXTREME = "extreme"
    SUM = "sum"
    LARGEST = "largest"
    SECOND = "second-largest"
    UNKNOWN = "unknown"


DECLARABLE = tuple(kind for kind in Kind if kind not in (Kind.UNKNOWN, Kind.EXTREME))
"""What an author may declare: figures of single patients, as a least and a largest value, have no declaration."""

_WORDS: tuple[tuple[Kind, str], ...] = (
    (Kind.SECOND, r"second largest|second contributor|deuxieme (plus )?(grande?|gros)|top 2"),
    (
        Kind.LARGEST,
        r"largest|biggest|(plus )?(grande?|gros) contribut\w*|max(imum|imale?)? contribut\w*|contribut\w* max\w*|top 1",
    ),
    (
        Kind.STATISTIC,
        r"(max|min|n|nb|num|number of) (depth|epochs?|iter\w*|child|samples (split|leaf)|estimators?"
        r"|splits?|jobs?|neighbors?"
        r"|components?|folds?|clusters?|layers?|trials?|bins?|features?|repeats?|boot\w*|steps?|channels?|class(es)?|heads?"
        r"|seeds?|models?|draws?|chains?|workers|weight)|minmax|sigma|alpha|lambda|observed|observe|predicted|predit|expected"
        r"|attendu",
    ),
    (
        Kind.EXTREME,
        r"min(imum|imale?)?|max(imum|imale?)?|range|etendue|plus (petite?|jeune|agee?|vieux|haute?"
        r"|basse?)|youngest|oldest"
        r"|lowest|highest|smallest|extremes?|outliers?|valeurs? extremes?",
    ),
    (
        Kind.QUANTILE,
        r"median\w*|q[1-4]|q ?\d\d|p ?[1-9]\d?|p ?99|iqr|eiq|quartiles?|percentiles?|centiles?|deciles?|quantiles?"
        r"|interquartile",
    ),
    (
        Kind.SHARE,
        r"%|pct|perc\w*|pourcent\w*|part|taux|proportions?|shares?|rates?|prevalence|incidence|survival|survie|surv"
        r"|freq(uence)? rel\w*|ratio",
    ),
    (
        Kind.STATISTIC,
        r"mean|moyennes?|moyens?|moy|avg|average|sd|std|stdev|ecarts? types?|se|sem|var(iance)?|ci|ic"
        r"|ic95|ci95|lower|upper|borne\w*"
        r"|low|high|inf|sup|p|pval\w*|p values?|coef\w*|betas?|or|hr|rr|ors|hrs|odds|hazard\w*"
        r"|risque relatif|auc\w*|auroc|auprc"
        r"|accuracy|exactitude|sens\w*|spec\w*|f1|dice|loss|pertes?|scores?|estimat\w*|r2|rmse|mae|mse|brier"
        r"|precision|recall|rappel|ppv|npv|vpp|vpn|slope|pente|intercept|kappa|z|t|chi2|statisti\w+|df|ddl|aic|bic|lr"
        r"|learning rate|weights?|poids|importance|shap|gain|tpr|fpr|calibration|correlation|pearson|spearman"
        r"|smd|difference|diff|effect|effet|dof|tau|rho|icc|likelihood|entropy|val|train loss|hausdorff\w*|iou|jaccard",
    ),
    (
        Kind.SUM,
        r"sums?|sommes?|montants?|couts?|costs?|euros?|eur|€|charges?|depenses?|amounts?|journees|recettes?|revenue|tarifs?"
        r"|durees? totales?|total (days|hours|cost|amount)|volumes? total\w*",
    ),
    (
        Kind.COUNT,
        r"n|nb|nbr|nbre|no|num|number|nombres?|effectifs?|eff|freq\w*|counts?|patient\w*|personnes?|persons?|people|sujets?|subjects?"
        r"|sejours?|stays?|cas|cases?|temoins?|controls?|ev[eé]nements?|events?|deces|deaths?|morts?|total|totaux|ensemble"
        r"|admissions?|individus?|participants?|hommes?|femmes?|men|women|males?|females?|inclus\w*|exclu\w*|expos\w*"
        r"|malades?|tous|all|oui|non|yes|vivants?|alive|dead|denominat\w*|numerat\w*|at risk|a risque"
        r"|population|tp|fp|tn|fn"
        r"|vp|fp|vn|fn|support|contributors?|size|taille (de )?(l )?(echantillon|groupe)",
    ),
    (
        Kind.LABEL,
        r"years?|annees?|an|mois|months?|age|ages|classes?|groups?|groupes?|clusters?|folds?|bins?|tranches?|epochs?|epoques?|steps?"
        r"|iterations?|times?|temps|delai|days?|jours?|semaines?|weeks?|ranks?|rangs?|stages?|stades?|grades?|codes?"
        r"|levels?|niveaux?|quarters?|trimestres?|layers?|seeds?|thresholds?|seuils?|categor\w*|etage|scenario|depth|ordre|order|batch|lot"
        r"|k|size|version|model|modele|degree|degre",
    ),
)
_PATTERNS = tuple((kind, re.compile(rf"(?<![a-z])(?:{words})(?![a-z])")) for kind, words in _WORDS)
_TOTAL = re.compile(
    r"(?<![a-z])(?:(sous[ -]?|sub[ -]?|grand )?totals?|totaux|ensemble|tous|toutes|all|both|overall"
    r"|somme|sum|any|les deux"
    r"|les 2|confondus|every(body|one)?|tout|entire|global|population|cohorte|cohort|whole)(?![a-z])"
)
_SIZE = re.compile(r"[(\[]?\s*\b(?:n|N)\s*[=:]\s*(\d[\d  ]*)\s*[)\]]?")
_COUNT_AND_SHARE = re.compile(r"(?<![a-z])(?:n|no|nb|nombre|effectifs?|count)[ ,;/]*[(\[]? *(?:%|pct|col)")
_TYPES = re.compile(r"[^a-z0-9%€]+")


def kind_of_name(name: str) -> Kind | None:
    """What a header or a row's label says its figures are; None where it says nothing."""
    if _COUNT_AND_SHARE.search(fold(name)):
        return Kind.COUNT
    plain = _TYPES.sub(" ", fold(_SIZE.sub(" ", name)))
    return next((kind for kind, pattern in _PATTERNS if pattern.search(plain)), None)


def names_rows(name: str) -> bool:
    """Whether a header says that its column, whatever its figures, tells the rows apart: "year", "age (years)"."""
    plain = _TYPES.sub(" ", fold(re.sub(r"\(.*?\)", " ", name))).strip()
    return any(kind == Kind.LABEL and pattern.fullmatch(plain) for kind, pattern in _PATTERNS)


def declared_kind(name: str, columns: Mapping[str, str]) -> Kind | None:
    """What the author declares a column to be; None where nothing, or what is no kind."""
    declared = {fold(column): kind for column, kind in columns.items()}.get(fold(name))
    return Kind(declared) if declared in set(DECLARABLE) else None


def is_total(label: str) -> bool:
    """Whether a label says that its row or column is of all others."""
    return _TOTAL.search(_TYPES.sub(" ", fold(label))) is not None


def sizes_in(text: str) -> list[int]:
    """Numbers of patients that a header, title or note gives: "(n = 120)"."""
    return [int(re.sub(r"\D", "", match[1])) for match in _SIZE.finditer(text)]
