"""What a question is answered with: masked, perturbed, borrowed or refused, and never the true count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from erios.errors import InputError, RefusedError, UsageError
from erios.extracts.counts import Cell, Counter, load_parameters
from erios.extracts.criteria import And, Criterion, Diagnosis, Leaf, Not, Or, canonical_json, parse
from erios.governance.disclosure import Parameters

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


class Release:
    id = "r1"

    def names(self) -> list[str]:
        return ["patient", "condition"]


def _counter(**parameters: Any) -> Counter:
    return Counter(Release(), Groups(), SECRET, Parameters(**parameters))  # type: ignore[arg-type]


def _ask_all(counter: Counter, questions: Sequence[Criterion], history: list[Cell]) -> None:
    for question in questions:
        history += counter.count(question, history).cells


def _tens(low: int, high: int) -> Diagnosis:
    return Diagnosis((f"A{low:02d}-B{high:02d}",))


def test_same_cohort_has_one_answer_however_it_is_asked():
    whole, parts = _tens(0, 60), Or((_tens(0, 20), _tens(20, 60)))
    cut = And((_tens(0, 80), Not(_tens(60, 80))))

    answers = {_counter().count(question).total for question in (whole, parts, cut)}

    assert len(answers) == 1
    assert abs((answers.pop().value or 0) - 600) <= Parameters().bound


@pytest.mark.parametrize("group", [_tens(5, 5), _tens(5, 6)], ids=["nobody", "ten"])
def test_small_group_is_masked_and_leaves_no_trace_beside_another(group):
    counter = _counter()
    base: Criterion = _tens(20, 50)

    assert str(counter.count(group).total) == "fewer than 11"
    plain = counter.count(base).total
    for question in (Or((base, group)), And((base, Not(group))), And((Or((base, group)), Not(And((base, group)))))):
        assert counter.count(question).total == plain


@pytest.mark.parametrize(("exact", "shown"), [(10, False), (11, True)])
def test_what_fewer_than_eleven_meet_exactly_is_masked_whatever_the_group_that_answers(exact, shown):
    counter, question = _counter(), And((_tens(20, 50),))
    text = canonical_json(question)
    groups = replace(counter._groups([text])[text], exact=exact)

    cell = counter._answer(question, text, groups, counter._replayed([]))

    assert (cell.value is not None) == shown


def test_group_of_eleven_and_more_is_counted_beside_another():
    counter = _counter()

    assert counter.count(Or((_tens(20, 50), _tens(5, 15)))).total != counter.count(_tens(20, 50)).total


def test_nearly_the_same_cohort_borrows_the_answer_of_the_earlier_one():
    counter = _counter()
    first = counter.count(_tens(20, 50))

    second = counter.count(_tens(20, 51), first.cells)

    assert second.total == first.total
    assert not second.cells[-1].fresh
    assert counter.count(_tens(20, 53), first.cells).cells[-1].fresh


def test_question_asked_again_is_free_and_the_same():
    counter = _counter(budget=3)
    question = And((_tens(0, 90), _tens(30, 99)))
    first = counter.count(question)
    again = counter.count(And((_tens(0, 90), _tens(30, 99))), first.cells)

    assert (first.cost, again.cost, again.cells) == (2, 0, ())
    assert again.steps == first.steps


def test_budget_refuses_what_is_left_over():
    counter = _counter(budget=1)
    history = counter.count(_tens(0, 40)).cells

    with pytest.raises(RefusedError, match="1 new counts and 0 of the study's 1 are left"):
        counter.count(_tens(40, 90), history)
    assert counter.count(_tens(40, 90), history, spent=0).cost == 1


def test_history_of_another_release_spends_and_answers_nothing():
    counter = _counter()
    old = [cell.__class__(**{**cell.__dict__, "release": "r0"}) for cell in counter.count(_tens(0, 40)).cells]

    assert counter.count(_tens(0, 40), old).cost == 1


def test_crossing_answers_about_one_group_is_refused():
    counter = _counter()
    history = list(counter.count(_tens(80, 99)).cells)
    bands = [_tens(n, n + 2) for n in range(0, 80, 2)]

    with pytest.raises(RefusedError, match="too precisely"):
        _ask_all(counter, [question for band in bands for question in (band, Or((band, _tens(80, 99))))], history)
    assert 5 < len(history) < 40


def test_attrition_has_a_count_for_each_step_in_the_order_asked():
    answer = _counter().count(And((_tens(0, 90), _tens(30, 99), _tens(40, 41))))

    assert [step.criterion for step in answer.steps] == [_tens(0, 90), _tens(30, 99), _tens(40, 41)]
    assert [step.shown.value is None for step in answer.steps] == [False, False, True]
    assert answer.total == answer.steps[-1].shown


def test_leaves_are_asked_of_the_engine_once():
    counter = _counter()
    counter.count(And((_tens(0, 90), _tens(30, 99))))
    counter.count(And((_tens(30, 99), _tens(0, 90))))

    assert counter._engine.asked == 1  # type: ignore[attr-defined]


def test_table_that_the_release_lacks_is_named():
    with pytest.raises(InputError, match="release r1 has no table observation"):
        _counter().count(parse({"laboratory": {"loinc": "718-7"}}))


def test_question_of_too_many_criteria_is_refused():
    with pytest.raises(InputError, match="at most 12 different criteria, this one 13"):
        _counter().count(Or(tuple(_tens(n, n + 5) for n in range(13))))


def test_parameters_of_the_repository_are_the_defaults():
    assert load_parameters() == Parameters()


@pytest.mark.parametrize("text", ["threshold = 5", "threshold =", "limit = 3"])
def test_parameters_file_not_as_it_must_be_is_refused(text, tmp_path):
    file = tmp_path / "disclosure.toml"
    file.write_text(text)

    with pytest.raises(UsageError, match="disclosure"):
        load_parameters(file)
