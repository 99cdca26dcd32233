"""From a report that finds everybody to a specification that finds few: proposals, on their page, and applied."""

from __future__ import annotations

import json
from typing import Any

import pytest

from erios.audit import read_events
from erios.errors import InputError
from erios.extracts.risk import RiskReport
from erios.governance.extract import Action, State
from erios.governance.words import RuleBroken
from erios.settings import Settings
from erios.studies import extract_actions as acts
from erios.studies.extract_selectors import changes_of, linkages_of, specification_of
from erios.studies.models import Extract
from erios.workflows import extract_build, extract_remedies
from tests.functional.conftest import in_process  # noqa: F401 - a fixture
from tests.portal.stories import who
from tests.portal.test_commands import Run, erios  # noqa: F401 - erios is a fixture
from tests.portal.test_extracts import UNTIL, home, requested  # noqa: F401 - home is a fixture
from tests.portal.test_pages import client

REMEDIES = extract_remedies.find_remedies


@pytest.fixture
def assessed(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Extract:  # noqa: F811
    """An extract with its report and what would lower its risk."""
    monkeypatch.setattr(extract_build, "find_remedies", REMEDIES)
    extract = requested()
    acts.move_extract(extract=extract, by=who("dpo"), action=Action.APPROVE_SPECIFICATION)
    return extract_build.build_extract(extract, who("dan"))


@pytest.mark.slow
def test_proposals_are_measured_shown_and_applied(assessed: Extract, erios: Run) -> None:  # noqa: F811
    report = RiskReport.from_json(json.dumps(assessed.report))

    assert report.trajectory is not None
    assert report.trajectory.share > 0.5
    tried = {remedy.technique for remedy in report.remedies}
    assert tried - {"summary"} == {"round", "codes", "times", "rare", "laboratory", "sample", "all"}
    for remedy in report.remedies:
        assert len(remedy.attacks) == 20
        assert [join.other for join in remedy.joins or ()] == ["warehouse"]
        assert all(join.targets and join.low <= join.share <= join.high for join in remedy.joins or ())
        assert remedy.trajectory is not None
        assert remedy.technique == "sample" or remedy.reidentified <= report.trajectory.share
        assert remedy.enough == (remedy.reidentified <= 0.09 and (remedy.risk.k or 0) >= report.threshold)
    assert [remedy.enough for remedy in report.remedies] == sorted((r.enough for r in report.remedies), reverse=True)
    assert linkages_of(assessed)[0]["with"] == "warehouse"
    with pytest.raises(RuleBroken):
        acts.clear(extract=assessed, by=who("dpo"), root=assessed.root, expires=UNTIL)
    code, _out, error = erios("ada", "extract", "apply", assessed.number, len(report.remedies) + 1)
    assert (code, "proposals" in error) == (InputError.exit_code, True)
    with pytest.raises(RuleBroken):
        acts.apply_proposal(extract=assessed, by=who("dpo"), number=1)
    folder = assessed.number
    page = client("ada").get(f"/extraits/{folder}/").content.decode()
    assert "Appliquer la proposition 1" in page
    assert_every_measure_is_shown(client("dpo").get(f"/extraits/{folder}/").content.decode(), report)
    assert "by joining:" in erios("dpo", "extract", "show", folder)[1]
    posted = {"number": "1", "revision": assessed.revision}
    client("ada").post(f"/extraits/{folder}/action/apply a proposal/", posted)
    applied = Extract.objects.get(pk=assessed.pk)
    assert (applied.state, applied.versions.count(), applied.report) == (State.REQUESTED, 2, {})
    assert changes_of(applied)[0][1]
    assert specification_of(applied).tables
    assert "extract.apply-a-proposal" in {event.action for event in read_events(_settings())}


def assert_every_measure_is_shown(page: str, report: RiskReport) -> None:
    """What each proposal does to k, to one to ten facts by chance and the rarest, whole records, joins, rows."""
    for words in (
        *(f"retrouvés avec {n} faits au hasard" for n in range(1, 11)),
        *(f"retrouvés avec les {n} faits les plus rares" for n in range(1, 11)),
        "retrouvés avec le parcours entier",
        "retrouvés par rapprochement avec l&#x27;entrepôt",
        "lignes gardées",
    ):
        assert page.count(words) >= len(report.remedies), words


def _settings() -> Any:
    from erios.settings import load_settings

    return load_settings()
