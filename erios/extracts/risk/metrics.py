"""Every figure of the report: what it means, where it comes from, how it is computed.

Owns the words of the table in docs/risk.md, which a test compares. Write it anew with
``python -m erios.extracts.risk.metrics docs/risk.md``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

START, END = "<!-- metrics -->", "<!-- /metrics -->"


@dataclass(frozen=True)
class Metric:
    """``name`` is the field of the report that carries it."""

    name: str
    definition: str
    source: str
    formula: str


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
    ),
    Metric("histogram", "How many classes have each size", "as k", "size f → number of classes with f_j = f"),
    Metric(
        "under_threshold, share_under",
        "Records at risk: patients in classes smaller than the threshold",
        f"{_EL_EMAM} (pRa, jRa's simple form)",
        "Σ f_j over f_j < threshold; the same / n",
    ),
    Metric("uniques", "Patients whom no other resembles", "Sweeney, 2002", "number of classes with f_j = 1"),
    Metric("mean_class", "Average class size", "LeFevre, DeWitt, Ramakrishnan, Mondrian, ICDE 2006", "n / |J|"),
    Metric(
        "prosecutor_max",
        "Greatest chance to be found by one who knows that the patient is in the extract",
        f"{_EL_EMAM} (pRb)",
        "1 / min f_j",
    ),
    Metric("prosecutor_mean", "The same, on average over patients", f"{_EL_EMAM} (pRc)", "|J| / n"),
    Metric(
        "marketer",
        "Share of patients that one who matches everybody with a list of the same people finds",
        "Dankar, El Emam, A method for evaluating marketer re-identification risk, PAIS 2010",
        "(1/n) Σ f_j · 1/f_j = |J| / n",
    ),
    Metric(
        "journalist_max",
        "Greatest chance to be found by one who only knows that the patient is in the population",
        f"{_EL_EMAM} (jRb); 1/F_j by Benedetti, Franconi, NTTS 1998",
        "max E[1/F_j | f_j], F_j | f_j negative binomial with π = n/N",
    ),
    Metric(
        "journalist_mean",
        "The same, on average",
        f"{_EL_EMAM} (jRc)",
        "max(|J| / N, (1/n) Σ f_j E[1/F_j | f_j])",
    ),
    Metric(
        "population_marketer",
        "Share of patients that one who matches everybody with a list of the population finds",
        "Dankar, El Emam, 2010 (mR2)",
        "(1/n) Σ f_j E[1/F_j | f_j]",
    ),
    Metric(
        "population_uniques",
        "Share of the extract's uniques that are unique in the population",
        "Zayatz, US Bureau of the Census, SRR 91/08, 1991",
        "u_1 / Σ_i u_i · i (1-π)^(i-1), u_i classes of size i",
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


def metrics_table() -> str:
    """The metrics as a Markdown table."""
    rows = (f"| `{one.name}` | {one.definition} | {_cell(one.formula)} | {one.source} |" for one in METRICS)
    return "\n".join(["| figure | meaning | formula | source |", "|---|---|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def with_table(page: str) -> str:
    """A page with the table between its marks as it must be."""
    before, _, rest = page.partition(START)
    return f"{before}{START}\n{metrics_table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
