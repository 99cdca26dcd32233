"""Every figure of the report: what it means, where it comes from, how it is computed.

The table of docs/risk.md derives from it (``documentation_tables``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from erios.extracts.risk import figures
from erios.extracts.risk.figures import Classes, share_of
from erios.extracts.risk.report import ClassSize, Risk


@dataclass(frozen=True)
class Metric:
    """``name``: the field of the report that carries it; ``unit``: how it is shown, a count, a number or a share.

    ``compute``: its value of the equivalence classes, for the fields of ``Risk``; the others are computed where their
    tables are.
    """

    name: str
    definition: str
    source: str
    formula: str
    unit: str = "number"
    compute: Callable[[Classes], int | float | None] | None = None


_EL_EMAM = "El Emam, Guide to the De-Identification of Personal Health Information, 2013"
_L = "Machanavajjhala, Kifer, Gehrke, Venkitasubramaniam, l-Diversity, ACM TKDD 1(1), 2007"
_T = "Li, Li, Venkatasubramanian, t-Closeness, ICDE 2007"
_WP = "Article 29 Working Party, Opinion 05/2014 on Anonymisation Techniques (WP216)"

METRICS: tuple[Metric, ...] = (
    Metric(
        "k",
        "Patients in the smallest equivalence class: those with the same value of every quasi-identifier",
        "Samarati, Sweeney, 1998; Sweeney, k-Anonymity, IJUFKS 10(5), 2002; 11 wanted: EMA Policy 0070 (0.09)",
        "min f_j over the classes j",
        "count",
        lambda classes: classes.smallest,
    ),
    Metric("histogram", "How many classes have each size", "as k", "size f → number of classes with f_j = f", "count"),
    Metric(
        "under_threshold",
        "Records at risk: patients in classes smaller than the threshold",
        f"{_EL_EMAM} (pRa, jRa's simple form)",
        "Σ f_j over f_j < threshold",
        "count",
        lambda classes: figures.under_threshold(classes.sizes, classes.threshold),
    ),
    Metric(
        "share_under",
        "The same, as a share of the patients",
        f"{_EL_EMAM} (pRa)",
        "(1/n) Σ f_j over f_j < threshold",
        "share",
        lambda classes: share_of(figures.under_threshold(classes.sizes, classes.threshold), classes.patients),
    ),
    Metric(
        "uniques",
        "Patients whom no other resembles",
        "Sweeney, 2002",
        "number of classes with f_j = 1",
        "count",
        figures.uniques,
    ),
    Metric(
        "mean_class",
        "Average class size",
        "LeFevre, DeWitt, Ramakrishnan, Mondrian, ICDE 2006",
        "n / |J|",
        compute=lambda classes: share_of(classes.patients, classes.count),
    ),
    Metric(
        "prosecutor_max",
        "Greatest chance to be found by one who knows that the patient is in the extract",
        f"{_EL_EMAM} (pRb)",
        "1 / min f_j",
        "share",
        lambda classes: share_of(1, classes.smallest or 0),
    ),
    Metric(
        "prosecutor_mean",
        "The same, on average over patients",
        f"{_EL_EMAM} (pRc)",
        "|J| / n",
        "share",
        lambda classes: share_of(classes.count, classes.patients),
    ),
    Metric(
        "marketer",
        "Share of patients that one who matches everybody with a list of the same people finds",
        "Dankar, El Emam, A method for evaluating marketer re-identification risk, PAIS 2010",
        "(1/n) Σ f_j · 1/f_j = |J| / n",
        "share",
        lambda classes: share_of(classes.count, classes.patients),
    ),
    Metric(
        "journalist_max",
        "Greatest chance to be found by one who only knows that the patient is in the population",
        f"{_EL_EMAM} (jRb); 1/F_j by Benedetti, Franconi, NTTS 1998",
        "max E[1/F_j | f_j], F_j | f_j negative binomial with π = n/N",
        "share",
        figures.journalist_max,
    ),
    Metric(
        "journalist_mean",
        "The same, on average",
        f"{_EL_EMAM} (jRc)",
        "max(|J| / N, (1/n) Σ f_j E[1/F_j | f_j])",
        "share",
        figures.journalist_mean,
    ),
    Metric(
        "population_marketer",
        "Share of patients that one who matches everybody with a list of the population finds",
        "Dankar, El Emam, 2010 (mR2)",
        "(1/n) Σ f_j E[1/F_j | f_j]",
        "share",
        figures.population_marketer,
    ),
    Metric(
        "population_uniques",
        "Share of the extract's uniques that are unique in the population",
        "Zayatz, US Bureau of the Census, SRR 91/08, 1991",
        "u_1 / Σ_i u_i · i (1-π)^(i-1), u_i classes of size i",
        "share",
        figures.population_uniques,
    ),
    Metric(
        "distinct_l",
        "Fewest distinct values (of a set column: distinct sets) in a class",
        _L,
        "min over classes of the number of values",
    ),
    Metric("entropy_l", "Fewest values that are well represented", _L, "min over classes of exp(-Σ p ln p)"),
    Metric(
        "homogeneous_patients",
        "Patients in classes where all have the same value (or set): the class tells it",
        f"{_L}: homogeneity attack",
        "Σ f_j over classes with one value",
    ),
    Metric(
        "confidence",
        "Greatest share of a class that has one value: how sure an attacker is who knows the class",
        "Wong, Li, Fu, Wang, (α,k)-Anonymity, KDD 2006",
        "max over classes and values of patients with the value / f_j",
    ),
    Metric(
        "t, mean_t (categories)",
        "How far a class's values are from everybody's",
        f"{_T}: equal distance, i.e. total variation",
        "½ Σ_v |p_v - q_v|; greatest over classes, and mean over patients",
    ),
    Metric(
        "t, mean_t (numbers)",
        "The same, where neighbouring values are near",
        f"{_T}: ordered distance (earth mover's)",
        "1/(m-1) Σ_i |Σ_{v≤i} (p_v - q_v)| over the m ordered values",
    ),
    Metric(
        "ncp",
        "What a generalisation loses, by the values that become one",
        "Xu et al., Utility-based anonymization, KDD 2006; Iyengar, KDD 2002 (LM)",
        "mean over patients of (|g| - 1)/(|D| - 1), |g| values of the extract in the group of |D|; mean over columns",
    ),
    Metric(
        "entropy_loss",
        "What a generalisation loses, by information",
        "Gionis, Tassa, k-Anonymization with Minimal Loss of Information, TKDE 21(2), 2009",
        "1 - H(generalised) / H(as it is); mean over columns",
    ),
    Metric(
        "loss",
        "What a proposal loses; proposals are ranked by it",
        "as ncp; a suppressed record loses all: Samarati, TKDE 13(6), 2001",
        "ncp · (1 - s) + s, s the share of patients left out",
    ),
    Metric(
        "singled_share, under_share",
        "Drawn patients whom the known facts fit alone, or with fewer than the threshold",
        f"{_WP}: singling out; de Montjoye et al., Unique in the Crowd, Sci. Rep. 3, 2013",
        "patients with every known fact: 1, or fewer than the threshold",
    ),
    Metric(
        "reidentified",
        "Drawn patients whom one finds who knows some facts, or the rarest, and draws one of all whom they fit",
        "de Montjoye et al., 2013; expected success of a draw: Dankar, El Emam, 2010",
        "(1/drawn) Σ 1 / patients with every known fact",
    ),
    Metric(
        "trajectory",
        "Share of patients whom one finds who has the whole record of each",
        "as marketer, with the whole record as quasi-identifier; limit 0.09: EMA Policy 0070",
        "different records / n",
    ),
    Metric(
        "auc, auc_low, auc_finest",
        "What a summary is good for: area under the ROC curve of a plain logistic model of a return",
        "Hanley, McNeil, Radiology 143, 1982 (interval)",
        "Mann and Whitney's share of pairs in order, five folds of patients",
    ),
    Metric(
        "linkage share",
        "Drawn patients for whom the likeliest of the other extract is the right one",
        f"{_WP}: linkability; Narayanan, Shmatikov, S&P 2008; Fellegi, Sunter, JASA 1969",
        "weighted Jaccard of facts, weights ln(N / support); top 1 right / drawn; chance: 1 / N",
    ),
    Metric(
        "…_low, …_high",
        "95 % confidence interval of a share of drawn patients",
        "Wilson, JASA 22, 1927",
        "score interval, z = 1.96",
    ),
)


def risk_of(sizes: Sequence[ClassSize], threshold: int, population: int | None = None) -> Risk:
    """The risk of classes of these sizes, for patients drawn from ``population`` people (None: not known)."""
    classes = Classes(sizes, threshold, population)
    values: dict[str, Any] = {metric.name: metric.compute(classes) for metric in METRICS if metric.compute}
    return Risk(patients=classes.patients, classes=classes.count, **values)
