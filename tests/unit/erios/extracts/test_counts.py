"""What a question is answered with: masked, perturbed, borrowed or refused, and never the true count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from erios.errors import InputError, RefusedError, UsageError
from erios.extracts.counts import Counter, Feasibility, load_parameters
from erios.extracts.criteria import And, Criterion, Diagnosis, Leaf, Not, Or, parse
from erios.extracts.differencing import count_bits
from erios.governance.disclosure import Parameters
from tests.desk import Desk

SECRET = b"a secret of thirty-two bytes ....."
PATIENTS = 2000


class Groups:
    """An engine in which the diagnosis "A12-B34" holds the patients from number 12·10 to 34·10."""

    asked = 0

    def record_keys(self) -> Any:
        return np.arange(PATIENTS, dtype=np.int64) * 7919 + 2**58

    def members(self, found: Sequence[Leaf]) -> tuple[Any, list[Any]]:
        self.asked += 1
        return self.record_keys(), [self._flags(leaf) for leaf in found]

    def _flags(self, leaf: Leaf) -> Any:
        assert isinstance(leaf, Diagnosis)
        numbers, flags = np.arange(PATIENTS), np.zeros(PATIENTS, dtype=bool)
        for code in leaf.codes:
            low, high = (int(part[1:]) * 10 for part in code.split("-"))
            flags |= (numbers >= low) & (numbers < high)
        return flags


class Shifted(Groups):
    """The same the year after: each group has lost its first fifty patients, and fifty others have come."""

    def _flags(self, leaf: Leaf) -> Any:
        return np.roll(super()._flags(leaf), 50)


class Release:
    def __init__(self, name: str = "r1") -> None:
        self.id = name

    def names(self) -> list[str]:
        return ["patient", "condition"]


def _counter(**parameters: Any) -> Counter:
    return Counter(Release(), Groups(), SECRET, Parameters(**parameters))  # type: ignore[arg-type]


def _ask(question: Criterion, **parameters: Any) -> Feasibility:
    return Desk().ask(_counter(**parameters), question)


def _ask_in_a_draft_each(desk: Desk, counter: Counter, questions: Sequence[Criterion]) -> None:
    for n, question in enumerate(questions):
        desk.ask(counter, question, study=f"draft {n}")


def _tens(low: int, high: int) -> Diagnosis:
    return Diagnosis((f"A{low:02d}-B{high:02d}",))


def test_same_cohort_has_one_answer_however_it_is_asked():
    whole, parts = _tens(0, 60), Or((_tens(0, 20), _tens(20, 60)))
    cut = And((_tens(0, 80), Not(_tens(60, 80))))

    answers = {_ask(question).total for question in (whole, parts, cut)}

    assert len(answers) == 1
    assert abs((answers.pop().value or 0) - 600) <= Parameters().bound


@pytest.mark.parametrize("group", [_tens(5, 5), _tens(5, 6)], ids=["nobody", "ten"])
def test_small_group_is_masked_and_leaves_no_trace_beside_another(group):
    base: Criterion = _tens(20, 50)

    assert str(_ask(group).total) == "fewer than 11"
    plain = _ask(base).total
    for question in (Or((base, group)), And((base, Not(group))), And((Or((base, group)), Not(And((base, group)))))):
        assert _ask(question).total == plain


@pytest.mark.parametrize(("exact", "shown"), [(10, False), (11, True)])
def test_what_fewer_than_eleven_meet_exactly_is_masked_whatever_the_group_that_answers(exact, shown, monkeypatch):
    counter = _counter()
    answered = counter._answered
    monkeypatch.setattr(counter, "_answered", lambda *asked: (*answered(*asked)[:2], exact))

    assert (Desk().ask(counter, _tens(20, 50)).total.value is not None) == shown


def test_group_of_eleven_and_more_is_counted_beside_another():
    assert _ask(Or((_tens(20, 50), _tens(5, 15)))).total != _ask(_tens(20, 50)).total


def test_nearly_the_same_cohort_borrows_the_answer_of_the_earlier_one():
    desk, counter = Desk(), _counter()
    first = desk.ask(counter, _tens(20, 50))
    second = desk.ask(counter, _tens(20, 51))

    assert second.total == first.total
    assert not second.entry.answers[-1].fresh
    assert desk.ask(counter, _tens(20, 53)).entry.answers[-1].fresh


def test_another_person_in_another_study_is_given_the_same_answers():
    desk, counter = Desk(), _counter()
    first = desk.ask(counter, _tens(20, 50), "ada", "draft 1")

    assert desk.ask(counter, _tens(20, 51), "bob", "draft 2").total == first.total
    assert desk.ask(counter, _tens(20, 50), "bob", "draft 2").entry.answers == ()


def test_group_of_the_next_release_is_taken_for_that_of_the_release_before():
    desk, counter, tomorrow = Desk(), _counter(), Counter(Release("r2"), Groups(), SECRET, Parameters())  # type: ignore[arg-type]
    first = desk.ask(counter, _tens(20, 50))
    second = desk.ask(tomorrow, _tens(20, 51))

    assert (second.total, second.everybody) == (first.total, first.everybody)
    assert second.cost == 1


def test_what_changed_between_two_releases_is_a_group_that_is_not_counted_better_than_another():
    desk, question = Desk(), _tens(20, 50)
    desk.ask(_counter(), question)
    moved = Counter(Release("r2"), Shifted(), SECRET, Parameters())  # type: ignore[arg-type]
    answer = desk.ask(moved, question).entry.answers[-1]

    sizes = sorted(count_bits(desk.ledger.groups.packed(place)) for place in answer.named)
    assert sizes == [50, 50, 300, PATIENTS]


def test_question_asked_again_is_free_and_the_same():
    desk, counter = Desk(Parameters(budget=3)), _counter()
    question = And((_tens(0, 90), _tens(30, 99)))
    first = desk.ask(counter, question)
    again = desk.ask(counter, And((_tens(0, 90), _tens(30, 99))))

    assert (first.cost, again.cost, again.entry.answers) == (2, 0, ())
    assert again.steps == first.steps


def test_budget_of_a_study_refuses_what_is_left_over():
    desk, counter = Desk(Parameters(budget=1)), _counter()
    desk.ask(counter, _tens(0, 40), "ada", "S1")

    with pytest.raises(RefusedError, match="1 new counts and 0 of the study's 1 are left"):
        desk.ask(counter, _tens(40, 90), "bob", "S1")
    assert desk.ask(counter, _tens(40, 90), "bob", "S2").cost == 1


def test_budget_of_a_person_does_not_grow_by_opening_studies():
    desk, counter = Desk(Parameters(person=3, before_submission=2)), _counter()
    desk.ask(counter, _tens(0, 40), "ada", "draft 1")
    desk.ask(counter, _tens(10, 50), "ada", "draft 2")

    with pytest.raises(RefusedError, match="0 of your 2 in 365 days for studies that were never submitted are left"):
        desk.ask(counter, _tens(20, 60), "ada", "draft 3")
    assert desk.ask(counter, _tens(0, 40), "ada", "draft 3").cost == 1  # the new study's account alone pays
    desk.ask(counter, _tens(20, 60), "ada", "S1")
    with pytest.raises(RefusedError, match="0 of your 3 in 365 days, over all studies, are left"):
        desk.ask(counter, _tens(40, 90), "ada", "S1")


def test_release_of_tomorrow_costs_anew():
    desk, question = Desk(), _tens(0, 40)
    desk.ask(_counter(), question)

    assert desk.ask(Counter(Release("r2"), Groups(), SECRET, Parameters()), question).cost == 1  # type: ignore[arg-type]


def test_crossing_answers_about_one_group_is_refused():
    desk, counter = Desk(), _counter()
    desk.ask(counter, _tens(80, 99))
    bands = [_tens(n, n + 2) for n in range(0, 80, 2)]

    with pytest.raises(RefusedError, match="too precisely"):
        _ask_in_a_draft_each(desk, counter, [q for band in bands for q in (band, Or((band, _tens(80, 99))))])
    assert 5 < desk.shown_to("ada") < 40


def test_attrition_has_a_count_for_each_step_in_the_order_asked():
    answer = _ask(And((_tens(0, 90), _tens(30, 99), _tens(40, 41))))

    assert [step.criterion for step in answer.steps] == [_tens(0, 90), _tens(30, 99), _tens(40, 41)]
    assert [step.shown.value is None for step in answer.steps] == [False, False, True]
    assert answer.total == answer.steps[-1].shown


def test_leaves_are_asked_of_the_engine_once():
    desk, counter = Desk(), _counter()
    desk.ask(counter, And((_tens(0, 90), _tens(30, 99))))
    desk.ask(counter, And((_tens(30, 99), _tens(0, 90))))

    assert counter._engine.asked == 1  # type: ignore[attr-defined]


def test_table_that_the_release_lacks_is_named():
    with pytest.raises(InputError, match="release r1 has no table observation"):
        _ask(parse({"laboratory": {"loinc": "718-7"}}))


def test_question_of_too_many_criteria_is_refused():
    with pytest.raises(InputError, match="at most 12 different criteria, this one 13"):
        _ask(Or(tuple(_tens(n, n + 5) for n in range(13))))


def test_parameters_of_the_repository_are_the_defaults():
    assert load_parameters() == Parameters()


@pytest.mark.parametrize("text", ["threshold = 5", "threshold =", "limit = 3"])
def test_parameters_file_not_as_it_must_be_is_refused(text, tmp_path):
    file = tmp_path / "disclosure.toml"
    file.write_text(text)

    with pytest.raises(UsageError, match="disclosure"):
        load_parameters(file)
