"""Who reads which figure of an extract that is built and not released."""

from __future__ import annotations

import json
from typing import Any

import pytest

from erios.governance.extract import State
from erios.settings import Settings
from erios.studies.models import Extract
from tests.portal.conftest import seal_everything
from tests.portal.test_compliance import extract_at
from tests.portal.test_pages import client
from tests.portal.test_risk_figures import REPORT

pytestmark = pytest.mark.parametrize("template", ["sqlite"], indirect=True)
OVERLAPS: list[dict[str, Any]] = [
    {"with": "count c50", "kind": "count", "same": False, "isolates": False, "near": False, "only_new": 8113}
    | {"only_old": 8070},
    {"with": "count or", "kind": "count", "same": False, "isolates": True, "near": True, "only_new": None}
    | {"only_old": 0},
]
PATIENTS = 8183


@pytest.fixture
def extract(database: Settings) -> Extract:
    known: dict[str, Any] = {"patients": PATIENTS, "rows": {"patient": PATIENTS}, "release": "r000001"}
    known |= {"data": {"patient": {"gender": "facteur"}}}
    made = extract_at(State.ASSESSED, report=json.loads(REPORT.to_json()), overlaps=OVERLAPS, **known)
    assert isinstance(made, Extract)
    return made


def _page(login: str, extract: Extract) -> str:
    answer = client(login).get(f"/extraits/{extract.number}/", secure=True)
    assert answer.status_code == 200
    return answer.content.decode().replace("\u202f", "")


@pytest.mark.parametrize("login", ["ada", "bob", "com1"])
def test_team_and_committee_read_no_exact_figure_before_the_release(extract: Extract, login: str) -> None:
    page = _page(login, extract)

    assert [figure for figure in ("8113", "8070", str(PATIENTS), "<dd>1</dd>") if figure in page] == []
    assert page.count("<strong>oui</strong>") == 1  # which of them it nearly is


def test_dpo_reads_overlaps_and_figures_and_others_who_judge_read_no_overlap(extract: Extract) -> None:
    dpo, chief = _page("dpo", extract), _page("chief", extract)

    assert [figure in dpo for figure in ("8113", "8070", str(PATIENTS))] == [True] * 3
    assert [figure in chief for figure in ("8113", "8070", str(PATIENTS))] == [False, False, True]


def test_team_reads_the_figures_of_a_released_extract_and_still_no_overlap(extract: Extract) -> None:
    Extract.objects.filter(pk=extract.pk).update(state=State.RELEASED)
    seal_everything()
    page = _page("ada", extract)

    assert str(PATIENTS) in page
    assert "8113" not in page
