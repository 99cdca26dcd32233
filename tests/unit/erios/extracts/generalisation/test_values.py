"""The text of a value at a level, at its edges; groupings that the build and the risk search share."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from erios.errors import UsageError
from erios.extracts.generalisation.values import check_level, level_sql, standard_groupings
from erios.extracts.generalisation.vocabulary import describe_level


def at_level(level: str, value: str | None) -> Any:
    sql = level_sql(level, "v", standard_groupings())
    with duckdb.connect() as connection:
        ((answer,),) = connection.execute(f"SELECT {sql} FROM (SELECT ?::VARCHAR AS v)", [value]).fetchall()
    return answer


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0", "0"),
        ("1", "1-2"),
        ("2", "1-2"),
        ("2.5", "1-2"),
        ("3", "3-9"),
        ("9", "3-9"),
        ("10", "10+"),
        ("11", "10+"),
        ("1-2", "1-2"),
        ("3-8", "3-9"),
        ("2-3", "2-3"),
        ("9-10", "9-10"),
        ("10-12", "10+"),
        ("3+", "3+"),
        ("10+", "10+"),
        ("many", "many"),
    ],
)
def test_a_number_or_a_band_is_in_the_step_that_holds_it_whole(value: str, shown: str) -> None:
    assert at_level("steps:0,1,3,10", value) == shown


@pytest.mark.parametrize(("value", "shown"), [("4", "4"), ("5", "5-9"), ("9", "5-9"), ("10", "10+")])
def test_what_is_below_the_first_step_stays(value: str, shown: str) -> None:
    assert at_level("steps:5,10", value) == shown


@pytest.mark.parametrize(
    ("name", "former"), [("keep", "exact"), ("category", "prefix:3"), ("region", "map:region"), ("atc:5", "prefix:5")]
)
@pytest.mark.parametrize("value", ["E11.9", "69", "A10BA02", None])
def test_a_word_of_a_specification_means_what_the_risk_search_did(name: str, former: str, value: str | None) -> None:
    assert at_level(name, value) == at_level(former, value)


@pytest.mark.parametrize("level", ["band", "band:0", "band:x", "keep:3", "study-key", "steps:3,1", "map:nowhere", ""])
def test_a_level_that_the_search_does_not_know_is_refused(level: str) -> None:
    with pytest.raises(UsageError, match=f"here: unknown generalisation '{level}'; known are keep, day, "):
        check_level(level, standard_groupings(), "here")


@pytest.mark.parametrize(
    ("level", "french", "english"),
    [
        ("years:5", "tranches de 5 ans", "bands of 5 years"),
        ("steps:0,1,3", "tranches à partir de 0, 1, 3", "bands from 0, 1, 3"),
        ("map:region", "région", "région"),
        ("exact", "tel quel", "as it is"),
        ("unheard of", "unheard of", "unheard of"),
    ],
)
def test_a_level_has_words(level: str, french: str, english: str) -> None:
    assert (describe_level(level, "fr"), describe_level(level, "en")) == (french, english)
