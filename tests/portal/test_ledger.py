"""The hospital's disclosure ledger in the database: one answer for everybody, charged to person and study."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.core.management import call_command
from django.db import connection

from erios.accounts.models import User
from erios.errors import RefusedError
from erios.extracts.counts import Feasibility, load_parameters, open_counter
from erios.governance.study import State
from erios.settings import Settings
from erios.studies import ledger as ledgers
from erios.studies.actions import ask_count, start_study
from erios.studies.models import LedgerAnswer, LedgerGroup, LedgerPatients, LedgerReading, Study
from erios.workflows.catalogue import table_profile
from tests.portal.conftest import seal_everything
from tests.portal.stories import at, who

# Of 150 patients 93 and some three fewer: near each other, and far from all patients whatever the key draws.
ADULTS: Any = {"age": {"min": 50, "at": "2026-01-01"}}
NEARLY: Any = {"age": {"min": 51, "at": "2026-01-01"}}


def _ask(study: Study, by: User, criteria: Any) -> Feasibility:
    return ask_count(study=study, by=by, criteria=criteria)


@pytest.fixture
def draft(counted: Settings) -> Study:
    return start_study(by=who("ada")).study


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets of a few counts."""
    from dataclasses import replace

    small = replace(load_parameters(), person=3, before_submission=2)
    monkeypatch.setattr("erios.extracts.counts.load_parameters", lambda: small)
    monkeypatch.setattr("erios.studies.ledger.load_parameters", lambda: small)


def test_a_question_has_one_answer_in_the_hospital_and_each_who_reads_it_is_charged(draft: Study) -> None:
    other = at(State.ACTIVE).study
    first, second = _ask(draft, who("ada"), ADULTS), _ask(other, who("dan"), ADULTS)

    assert second.steps == first.steps
    assert (first.cost, second.cost) == (1, 1)
    assert LedgerAnswer.objects.count() == 2  # everybody, and the adults
    readings = LedgerReading.objects.values_list("person__username", "study__number", "draft").distinct()
    assert set(readings) == {("ada", draft.number, True), ("dan", other.number, False)}


def test_near_groups_are_recognised_over_people_and_studies(draft: Study) -> None:
    first = _ask(draft, who("ada"), ADULTS)
    second = _ask(start_study(by=who("bob")).study, who("dan"), NEARLY)

    assert second.total == first.total
    assert not second.entry.answers[-1].fresh


def test_ledger_read_anew_is_the_one_that_was_kept(draft: Study) -> None:
    _ask(draft, who("ada"), {"and": [ADULTS, {"sex": "female"}]})
    with ledgers.open_ledger() as kept:
        answers, groups = dict(kept.answers), len(kept.groups)
    ledgers._reading.begin()

    with ledgers.open_ledger() as anew:
        assert (anew.answers, len(anew.groups)) == (answers, groups)
        assert groups == LedgerGroup.objects.count() > 2


def test_catalogue_is_published_once_a_release_and_costs_its_readers_nothing(draft: Study, counted: Settings) -> None:
    shutil.rmtree(counted.warehouse / "catalogue", ignore_errors=True)
    first = table_profile(counted, "r000001", "patient", "dan")
    published = LedgerAnswer.objects.filter(canonical__contains="catalogue").count()
    shutil.rmtree(counted.warehouse / "catalogue")

    assert table_profile(counted, "r000001", "patient", "ada") == first
    assert LedgerAnswer.objects.filter(canonical__contains="catalogue").count() == published > 2
    assert LedgerReading.objects.count() == 0
    women = next(bar for bar in first.columns["gender"].bars if bar.label == "female")
    answer = _ask(draft, who("ada"), {"sex": "female"}).entry.answers[-1]
    bar = LedgerAnswer.objects.get(canonical__contains=f'"bar": "{women.label}"')
    assert bar.group is not None
    with ledgers.open_ledger():
        assert answer.group == ledgers._reading.places[bar.group.pk]


def test_opening_studies_gives_no_more_counts(draft: Study, tight: None) -> None:
    _ask(draft, who("ada"), {"sex": "female"})
    _ask(start_study(by=who("ada")).study, who("ada"), {"sex": "male"})
    third, active = start_study(by=who("ada")).study, at(State.ACTIVE).study

    assert (ledgers.left(third, who("ada")), ledgers.left(third, who("dan"))) == (0, 2)
    with pytest.raises(RefusedError, match="0 of your 2 in 365 days for studies that were never submitted"):
        _ask(third, who("ada"), ADULTS)
    _ask(active, who("ada"), ADULTS)
    with pytest.raises(RefusedError, match="0 of your 3 in 365 days, over all studies"):
        _ask(active, who("ada"), {"age": {"max": 30, "at": "2026-01-01"}})


def test_refused_question_leaves_nothing_in_the_ledger(draft: Study, tight: None) -> None:
    before = LedgerAnswer.objects.count(), LedgerGroup.objects.count(), LedgerReading.objects.count()

    with pytest.raises(RefusedError, match="3 new counts"):
        _ask(draft, who("ada"), {"and": [{"sex": "female"}, ADULTS, {"age": {"max": 90, "at": "2026-01-01"}}]})
    assert (LedgerAnswer.objects.count(), LedgerGroup.objects.count(), LedgerReading.objects.count()) == before


def test_roster_holds_no_record_key_and_forgets_who_is_erased(draft: Study, counted: Settings) -> None:
    _ask(draft, who("ada"), ADULTS)
    counter = open_counter(counted)
    stored = b"".join(bytes(row.digests) for row in LedgerPatients.objects.all())

    assert len(stored) == 8 * len(counter.patients)
    assert not any(int(key).to_bytes(8, "little") in stored for key in counter._keys)
    ledgers.forget_absent(cast(Any, SimpleNamespace(patients=counter.patients[1:])))
    with ledgers.open_ledger() as ledger:
        assert list(ledger.roster.missing(counter.patients)) == list(counter.patients[:1])


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_counts_of_before_the_ledger_stay_charged(draft: Study) -> None:
    call_command("migrate", "studies", "0003", interactive=False, verbosity=0)
    with connection.cursor() as cursor:
        for digest, value in (("a" * 64, 120), ("b" * 64, None)):
            cursor.execute(
                "INSERT INTO studies_showncount (study_id, release, digest, canonical, value, fresh, asked_by_id, at)"
                " VALUES (%s, 'r000001', %s, '{}', %s, true, %s, '2031-01-01 00:00:00')",
                [draft.pk, digest, value, who("ada").pk],
            )
    call_command("migrate", "studies", interactive=False, verbosity=0)

    assert list(LedgerAnswer.objects.values_list("digest", "value")) == [("a" * 64, 120), ("b" * 64, None)]
    assert list(LedgerReading.objects.values_list("person__username", "draft")) == [("ada", True)] * 2
    seal_everything()  # as the program does when it opens an upgraded database
    assert _ask(draft, who("ada"), ADULTS).cost == 1
