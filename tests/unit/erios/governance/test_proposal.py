"""The linter of proposals: what stops a submission, what is advice, and what each finding is about."""

from __future__ import annotations

from typing import Any

import pytest

from erios.governance.proposal import FINDINGS, AiClass, Finding, LegalRoute, abbreviations, declarations, lint
from erios.governance.purposes import FORBIDDEN

ROUTES = [
    LegalRoute("mr-004", "1", "Old", "source", "2018-01-01", "2019-12-31", 20),
    LegalRoute("mr-004", "2", "New", "source", "2020-01-01", "", 5, ("information",)),
    LegalRoute("open", "1", "Open", "source", "2018-01-01"),
]
WORDS = "plain words of a proposal "
WHOLE: dict[str, Any] = {
    "title": "A title",
    "summary": WORDS * 10,
    "question": WORDS * 10,
    "method": WORDS * 10,
    "interest": WORDS * 10,
    "information": WORDS * 10,
    "route": "mr-004",
    "retention_years": 5,
    "starts": "2031-01-01",
    "ends": "2032-01-01",
    "data": [{"table": "patient", "why": "the cohort", "columns": [{"name": "birth_date"}]}],
    "cohort": {"all": []},
}


def findings(today: Any = "2031-01-01", team: Any = 1, **changes: Any) -> list[tuple[str, str, bool]]:
    """(field, code, blocks) of each finding about a proposal that lacks nothing but the changes."""
    found = lint({**WHOLE, **changes}, routes=ROUTES, team=team, today=today)
    assert all(finding.code in FINDINGS for finding in found)
    return [(finding.field, finding.code, finding.blocks) for finding in found]


def test_a_whole_proposal_has_nothing_to_mend() -> None:
    assert findings() == []


@pytest.mark.parametrize(
    "name", ["title", "summary", "question", "method", "interest", "information", "starts", "ends"]
)
@pytest.mark.parametrize("value", ["", None])
def test_an_empty_field_stops_the_submission(name: str, value: object) -> None:
    assert findings(**{name: value}) == [(name, "empty", True)]


@pytest.mark.parametrize("name", ["route", "retention_years", "summary"])
def test_blank_text_is_empty(name: str) -> None:
    assert (name, "empty", True) in findings(**{name: "  " if name == "summary" else ""})


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"ends": "2031-01-01"}, ("ends", "dates", True)),
        ({"ends": "2030-12-31"}, ("ends", "dates", True)),
        ({"route": "other"}, ("route", "unknown-route", True)),
        ({"retention_years": 5.5}, ("retention_years", "too-long", True)),
        ({"retention_years": "6"}, ("retention_years", "too-long", True)),
        ({"cohort": {}}, ("cohort", "no-cohort", True)),
        ({"data": []}, ("data", "no-data", True)),
        ({"data": None}, ("data", "no-data", True)),
        ({"data": [{"why": "x", "columns": []}]}, ("data", "unjustified", True)),
        ({"data": [{"why": "x"}]}, ("data", "unjustified", True)),
        ({"data": [{"columns": [{"why": "x"}, {"why": " "}]}]}, ("data", "unjustified", True)),
        ({"data": [WHOLE["data"][0], {"columns": [{}]}]}, ("data", "unjustified", True)),
        ({"ai": {"used": True}}, ("ai", "unclassed-ai", True)),
        ({"ai": {"used": True, "class": ""}}, ("ai", "unclassed-ai", True)),
        ({"ai": {"used": True, "class": AiClass.NONE}}, ("ai", "unclassed-ai", True)),
        ({"ai": {"class": "prohibited"}}, ("ai", "prohibited-ai", True)),
    ],
)
def test_what_stops_a_submission(changes: dict[str, Any], finding: tuple[str, str, bool]) -> None:
    assert findings(**changes) == [finding]


@pytest.mark.parametrize(
    "changes",
    [
        {"retention_years": 50, "route": "open"},
        {"data": [{"columns": [{"why": "because"}, {"why": "so"}]}]},
        {"data": [{"why": "because", "columns": [{"why": ""}]}]},
        {"ai": {"used": True, "class": AiClass.HIGH}},
        {"ai": {"used": False, "class": ""}},
        {"ai": None},
        {"ends": "2031-01-02"},
    ],
)
def test_what_is_as_it_should_be(changes: dict[str, Any]) -> None:
    assert findings(**changes) == []


@pytest.mark.parametrize(
    ("today", "years", "wanted"),
    [
        ("2019-12-31", 20, []),
        ("2019-12-31", 21, ["too-long"]),
        ("2020-01-01", 20, ["too-long"]),
        ("2018-01-01", 5, []),
        ("2017-12-31", 5, ["unknown-route"]),
    ],
)
def test_a_legal_route_holds_from_its_first_to_its_last_day(today: str, years: int, wanted: list[str]) -> None:
    assert [code for _, code, _ in findings(today=today, retention_years=years)] == wanted


@pytest.mark.parametrize(
    ("name", "least"), [("summary", 200), ("question", 80), ("method", 150), ("interest", 80), ("information", 40)]
)
def test_a_short_text_is_advice(name: str, least: int) -> None:
    assert findings(**{name: " " + "x" * (least - 1) + " "}) == [(name, "short", False)]
    assert findings(**{name: "x" * least}) == []


def test_advice_on_team_words_and_dates() -> None:
    assert findings(team=0) == [("team", "alone", False)]
    assert findings(summary=WORDS * 10 + "ICU") == [("summary", "jargon", False)]
    exact = [{"why": "x", "columns": [{"name": "a"}, {"name": "b", "dates": "exact"}]}]
    assert findings(data=exact) == [("data", "precise-dates", False)]
    assert findings(data=[{"why": "x", "columns": [{"dates": "month"}]}]) == []


def test_what_stops_comes_before_advice() -> None:
    assert findings(team=0, summary="short", cohort=None, title="") == [
        ("title", "empty", True),
        ("cohort", "no-cohort", True),
        ("summary", "short", False),
        ("team", "alone", False),
    ]
    assert lint(WHOLE | {"title": ""}, routes=ROUTES, team=1, today="2031-01-01") == [Finding("title", "empty", True)]


def test_an_empty_proposal_is_told_everything_at_once() -> None:
    found = lint({}, routes=ROUTES, team=0, today="2031-01-01")

    assert {finding.field for finding in found if finding.code == "empty"} == {
        "title",
        "summary",
        "question",
        "method",
        "interest",
        "route",
        "information",
        "retention_years",
        "starts",
        "ends",
    }
    assert [finding.code for finding in found if finding.code != "empty"] == ["no-data", "no-cohort", "alone"]


def test_abbreviations_are_words_of_capitals_each_once() -> None:
    assert abbreviations("The ICU (ICU), «AVC», I and X2 or NYHA. Été ÉTÉ") == ["ICU", "AVC", "NYHA", "ÉTÉ"]


def test_declarations_say_of_each_purpose_what_the_proposal_says() -> None:
    content = {
        "title": "Marketing",
        "purposes": {
            "promotion": {"declared": 1, "explanation": "posters"},
            "manipulation": {"explanation": None},
            "re-identification": None,
        },
    }
    said = {declaration.code: declaration for declaration in declarations(content)}

    assert list(said) == [purpose.code for purpose in FORBIDDEN]
    assert (said["promotion"].declared, said["promotion"].mentioned, said["promotion"].explanation) == (
        True,
        True,
        "posters",
    )
    others = [said[code] for code in said if code != "promotion"]
    assert not any(one.declared or one.mentioned or one.explanation for one in others)


@pytest.mark.parametrize("name", ["title", "summary", "question", "method", "interest"])
def test_a_mention_is_looked_for_in_each_text(name: str) -> None:
    assert [one.code for one in declarations({name: "marketing"}) if one.mentioned] == ["promotion"]
    assert not any(one.mentioned for one in declarations({"information": "marketing"}))
