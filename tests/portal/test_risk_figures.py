"""The figures of a risk report in words."""

from __future__ import annotations

import pytest

from erios.extracts.risk.metrics import risk_of
from erios.extracts.risk.report import Change, ClassSize, Proposal, RiskReport, Search, SensitiveColumn
from erios.portal.risk_figures import figures
from erios.translation import using

SIZES = (ClassSize(1, 2), ClassSize(5, 2), ClassSize(11, 3))
RISK = risk_of(SIZES, 11)
PROPOSAL = Proposal(
    (Change("birth", "exact", "years:5"), Change("place", "keep", "region")), 0, 0.0, 0.2, 0.2, 0.2, RISK, RISK
)
REPORT = RiskReport(
    version="1",
    threshold=11,
    seed=1,
    population=None,
    patients=45,
    tables=(),
    unweighed=(),
    quasi=(),
    risk=RISK,
    histogram=SIZES,
    sensitive=(SensitiveColumn("deaths", "Décès", "Deaths", "patient", ("deceased",), "category", ()),),
    contributions=(),
    proposals=(PROPOSAL,),
    search=Search(1, 1, True, 0.05),
    attacks=(),
)


@pytest.mark.parametrize(("language", "words"), [("fr", "non mesuré"), ("en", "not measured")])
def test_a_figure_that_is_not_in_a_report_is_shown_as_not_measured(language: str, words: str) -> None:
    with using(language):
        shown = figures(REPORT)

    assert (shown["risk"]["journalist_mean"], shown["sensitive"][0]["l"], shown["sensitive"][0]["t"]) == (words,) * 3
    assert shown["risk"]["k"] == "1"


def test_a_proposal_speaks_as_a_specification_does() -> None:
    with using("fr"):
        assert figures(REPORT)["proposals"][0]["changes"] == [
            "birth : tel quel → tranches de 5 ans",
            "place : tel quel → région",
        ]


def test_patients_are_counted_by_the_size_of_their_class() -> None:
    with using("en"):
        bars = figures(REPORT)["classes"]

    assert [(bar["label"], bar["patients"], bar["low"]) for bar in bars[:4]] == [
        ("1", 2, True),
        ("2–4", 0, True),
        ("5–10", 10, True),
        ("11–19", 33, False),
    ]
