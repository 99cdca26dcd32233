"""DuckDB and Spark count alike on a release, whatever the criteria, and the settings say which of them counts."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from erios.extracts.counts import Counter, DuckEngine, SparkEngine, load_parameters
from erios.extracts.criteria import And, Leaf, leaves, parse
from erios.governance.study import State
from erios.settings import Settings
from etl.warehouse.release import open_release
from tests.desk import Desk
from tests.portal.stories import at
from tests.portal.test_pages import client
from tests.property.test_criteria import EVENTS, PATIENTS, any_criterion

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SECRET = b"a secret of this test, thirty-two"
pytestmark = pytest.mark.parametrize("template", ["sqlite"], indirect=True)


def questions() -> list[And]:
    """Every form of criterion alone, then drawn ones with and, or, not and within."""
    draw = random.Random(5)
    drawn = [any_criterion(draw.choice) for _ in range(4)]
    return [And((parse(one),)) for one in [*PATIENTS, *EVENTS, *drawn]]


@pytest.fixture
def engines(counted: Settings, spark: SparkSession) -> tuple[DuckEngine, SparkEngine]:
    release = open_release(counted.warehouse)
    return DuckEngine(release), SparkEngine(release, spark)


@pytest.mark.slow
def test_both_engines_find_the_same_patients_and_show_the_same_counts(
    engines: tuple[DuckEngine, SparkEngine], counted: Settings
) -> None:
    duck, jvm = engines
    asked = list(dict.fromkeys(leaf for question in questions() for leaf in leaves(question)))
    kinds = {type(leaf).__name__ for leaf in asked}
    assert kinds >= {"Sex", "Age", "Stay", "Diagnosis", "Laboratory", "Treatment", "Procedure"}
    release, found = open_release(counted.warehouse), []
    for n in range(0, len(asked), 16):
        sides = [_members(engine, asked[n : n + 16]) for engine in (duck, jvm)]
        assert sides[0] == sides[1]
        found += sides[0]
    assert sum(bool(who) for who in found) > len(asked) // 2  # criteria that nobody meets show nothing
    counters = [Counter(release, engine, SECRET, load_parameters()) for engine in (duck, jvm)]
    for question in questions()[-2:]:
        duck_answer, jvm_answer = (Desk().ask(counter, question) for counter in counters)
        assert duck_answer.steps == jvm_answer.steps
        assert duck_answer.entry.answers == jvm_answer.entry.answers


def _members(engine: DuckEngine | SparkEngine, asked: list[Leaf]) -> list[set[int]]:
    keys, flags = engine.members(asked)
    return [{int(key) for key, flag in zip(keys, who, strict=True) if flag} for who in flags]


def test_the_settings_say_who_counts(counted: Settings, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    number = at(State.DRAFT).study.number
    shown = {}
    for engine, other in (("duckdb", SparkEngine), ("spark", DuckEngine)):
        monkeypatch.setenv("ERIOS_COUNTS__ENGINE", engine)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(other, "members", _never)
            form = {"rows": "1", "json": '{"and": [{"sex": "female"}]}'}
            page = client("ada").post(f"/etudes/{number}/v1/faisabilite/compte/", form, secure=True).content.decode()
        shown[engine] = re.findall(r'class="big"[^>]*>([^<]+)<', page)
    assert shown["duckdb"]
    assert shown["duckdb"] == shown["spark"]


def _never(*_arguments: object) -> None:
    raise AssertionError("the other engine was asked")


def test_a_server_without_java_says_so_on_the_page(counted: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    def fails(_settings: Settings, *, quick: bool) -> None:
        assert not quick
        raise PySparkRuntimeError(errorClass="JAVA_GATEWAY_EXITED", messageParameters={})

    monkeypatch.setenv("ERIOS_COUNTS__ENGINE", "spark")
    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: None)
    monkeypatch.setattr("erios.workflows.spark_session._build", fails)
    monkeypatch.setattr("erios.workflows.spark_session._resident", [])
    number = at(State.DRAFT).study.number
    form = {"json": '{"sex": "female"}'}
    page = client("ada").post(f"/etudes/{number}/v1/faisabilite/compte/", form, secure=True)
    assert "Spark needs Java 17" in page.content.decode()


@pytest.mark.parametrize("written", ["{", "[]", '{"sex": "x"}', "null", '{"nonsense": 1}'])
def test_criteria_that_are_no_criteria_are_one_sentence_on_the_page(written: str, counted: Settings) -> None:
    number = at(State.DRAFT).study.number
    page = client("ada").post(f"/etudes/{number}/v1/faisabilite/compte/", {"json": written}, secure=True)
    assert page.status_code == 200
    assert 'class="note bad"' in page.content.decode()
