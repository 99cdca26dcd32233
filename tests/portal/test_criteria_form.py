"""The page of the cohort, posted back as a browser would: saved unchanged it keeps every form; no field breaks it."""

from __future__ import annotations

import json
import random
from html.parser import HTMLParser
from typing import Any

import pytest

from erios.extracts.criteria import canonical_json, parse
from erios.governance.study import State
from erios.settings import Settings
from erios.studies import actions
from tests.portal.stories import at, who
from tests.portal.test_pages import client
from tests.property.test_criteria import any_criterion
from tests.property.test_criteria_form import BARE
from tests.unit.erios.extracts.test_criteria import EXAMPLES

pytestmark = pytest.mark.parametrize("template", ["sqlite"], indirect=True)


class Fields(HTMLParser):
    """The fields of a page that a browser would send; buttons left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sent: dict[str, list[str]] = {}
        self._select, self._multiple, self._text = "", False, ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "input":
            self.sent.setdefault(given.get("name", ""), []).append(given.get("value", ""))
        if tag == "select":
            self._select, self._multiple, self._first = given["name"], "multiple" in given, True
        if tag == "option" and self._select:
            if "selected" in given or (self._first and not self._multiple):
                self.sent[self._select] = [*(self.sent.get(self._select, []) if self._multiple else []), given["value"]]
            self._first = False
        if tag == "textarea":
            self._text = given["name"]
            self.sent[self._text] = [""]

    def handle_endtag(self, tag: str) -> None:
        self._select = "" if tag == "select" else self._select
        self._text = "" if tag == "textarea" else self._text

    def handle_data(self, data: str) -> None:
        if self._text:
            self.sent[self._text][0] += data


def cohorts() -> list[dict[str, Any]]:
    draw = random.Random(18)
    return [*map(json.loads, EXAMPLES), *BARE, *(any_criterion(draw.choice, n % 4) for n in range(24))]


def test_saving_the_page_unchanged_keeps_every_cohort(database: Settings) -> None:
    proposal, browser = at(State.DRAFT), client("ada")
    page = f"/etudes/{proposal.study.number}/v1/faisabilite/"
    for cohort in cohorts():
        actions.save_content(proposal=proposal, by=who("ada"), changes={"cohort": cohort})
        shown = browser.get(page, secure=True).content.decode()
        fields = {name: values for name, values in Fields(shown).sent.items() if name[:1].isdigit()}

        answer = browser.post(page, {**fields, "save": "1"}, secure=True)

        proposal.refresh_from_db()
        assert answer.status_code == 302, cohort
        assert canonical_json(parse(proposal.content["cohort"])) == canonical_json(parse(cohort))


@pytest.mark.parametrize(
    "fields",
    [
        {"drop": "²"},
        {"drop": "9" * 60},
        {"add": "\x00"},
        {"save": "1", "0:kind": "age", "0:min": "²"},
        {"save": "1", "0:kind": "age", "0:min": "9" * 60},
        {"save": "1", "²:kind": "sex"},
        {"save": "1", "0:kind": "diagnosis", "0:codes": "a\x00b"},
        {"save": "1", "0:kind": "json", "0:json": "{"},
        {"save": "1", "0:kind": "sex", "1:kind": "stay", "1:join": "within", "1:days": "3"},
    ],
    ids=str,
)
def test_a_field_that_no_browser_sends_is_answered_with_a_page(database: Settings, fields: dict[str, str]) -> None:
    number, browser = at(State.DRAFT).study.number, client("ada")
    for page in ("", "compte/"):
        answer = browser.post(f"/etudes/{number}/v1/faisabilite/{page}", fields, secure=True)
        assert answer.status_code in (200, 302)
