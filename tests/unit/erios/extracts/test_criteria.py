"""The form of criteria: what is read, what is refused and how, what is the same question, how it reads in words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from erios.errors import InputError
from erios.extracts.criteria import DUCKDB, SPARK, canonical_json, cohort_query, describe, digest, dump, parse
from erios.extracts.criteria.schema import json_schema

DOCUMENT = Path(__file__).parents[4] / "docs" / "criteria.md"
EXAMPLES = re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_example_of_the_documentation_is_read_and_written_back(text):
    criterion = parse(text)

    assert parse(dump(criterion)) == criterion
    assert digest(parse(canonical_json(criterion))) == digest(criterion)
    assert describe(criterion, "fr") != describe(criterion, "en")
    jsonschema.validate(json.loads(text), json_schema())


def test_the_schema_is_one_and_refuses_what_has_another_form():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    accepts = jsonschema.Draft202012Validator(json_schema()).is_valid
    wrong = [
        {},
        {"height": {}},
        {"sex": "f"},
        {"sex": "male", "stay": {}},
        {"and": [{"age": {"min": 3}}]},
        {"age": {"min": 151, "at": "stay"}},
        {"diagnosis": {"code": "E11"}},
        {"or": []},
        {"within": {"event": {"sex": "male"}, "days": 1, "of": {"stay": {}}}},
    ]

    assert [value for value in wrong if accepts(value)] == []


def test_documentation_shows_every_kind_of_criterion():
    shown = set().union(*(re.findall(r'\{"(\w+)":', text) for text in EXAMPLES))

    assert shown >= {"and", "or", "not", "within", "age", "sex", "stay", "diagnosis", "laboratory", "treatment"}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("{", "criteria: not JSON"),
        ({}, "criteria: must be an object with one name, one of age, and, "),
        ({"height": {}}, "criteria: unknown criterion 'height'; one of age, and, "),
        ({"and": [{"sex": "f"}]}, "criteria.and[0].sex: 'f' is not one of female, male, other, unknown"),
        ({"age": {"min": 3}}, "criteria.age: field 'at' is missing"),
        ({"age": {"at": "stay"}}, "criteria.age: needs 'min', 'max' or both"),
        ({"age": {"min": True, "at": "stay"}}, "criteria.age.min: must be a whole number from 0 to 150"),
        ({"age": {"min": 9, "max": 3, "at": "stay"}}, "criteria.age: 'min' is above 'max'"),
        ({"age": {"min": 9, "at": "2024-02-30"}}, "criteria.age.at: must be a day such as '2024-01-31' or 'stay'"),
        ({"stay": {"class": ["X"]}}, "criteria.stay.class: 'X' is not one of ACUTE, AMB, "),
        ({"stay": {"from": "2024-02-01", "to": "2024-01-01"}}, "criteria.stay: 'from' is after 'to'"),
        ({"diagnosis": {"codes": ["' OR 1=1"]}}, "criteria.diagnosis.codes: '' OR 1=1' is not a code such as 'E11'"),
        ({"diagnosis": {"codes": ["I15-I10"]}}, "criteria.diagnosis.codes: the range 'I15-I10' is upside down"),
        ({"diagnosis": {"code": "E11"}}, "criteria.diagnosis: unknown field 'code'; allowed are codes, from, to"),
        ({"laboratory": {"loinc": "718-7", "op": "<"}}, "criteria.laboratory: 'op', 'value' and 'unit' go together"),
        (
            {"laboratory": {"loinc": "718-7", "op": "<", "value": "NaN", "unit": "g"}},
            "criteria.laboratory.value: must be a number under 1000000000 with at most 6 decimals",
        ),
        ({"or": []}, "criteria.or: must be a list of 1 to 40 entries"),
        ({"within": {"event": {"sex": "male"}, "days": 1, "of": {"stay": {}}}}, "unknown criterion 'sex'; one of diag"),
        (json.loads('{"not":' * 12 + "{}" + "}" * 12), "criteria go at most 8 deep"),
    ],
)
def test_criteria_not_as_they_must_be_are_refused_by_place(value, sentence):
    with pytest.raises(InputError) as refusal:
        parse(value)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"and": [{"sex": "male"}, {"stay": {}}]}, {"and": [{"stay": {}}, {"sex": ["male"]}, {"sex": "male"}]}),
        ({"not": {"not": {"sex": "male"}}}, {"sex": "male"}),
        ({"or": [{"or": [{"sex": "male"}, {"stay": {}}]}]}, {"or": [{"stay": {}}, {"sex": "male"}]}),
        ({"diagnosis": {"codes": ["e11.9", "E11"]}}, {"diagnosis": {"codes": "E11"}}),
        (
            {"laboratory": {"loinc": "718-7", "op": "<", "value": 9.50, "unit": "g/dL"}},
            {"laboratory": {"loinc": "718-7", "op": "<", "value": "9.5", "unit": "g/dL"}},
        ),
        (
            {"within": {"event": {"stay": {}}, "days": 3, "of": {"procedure": {"ccam": "AA"}}, "direction": "before"}},
            {"within": {"event": {"procedure": {"ccam": "AA"}}, "days": 3, "of": {"stay": {}}, "direction": "after"}},
        ),
        (
            {"treatment": {"atc": "A10"}},
            {"treatment": {"atc": "A10", "via": ["statement", "request", "dispense", "administration"]}},
        ),
    ],
)
def test_same_meaning_has_the_same_digest(one, other):
    assert canonical_json(parse(one)) == canonical_json(parse(other))
    assert digest(parse(one)) == digest(parse(other))


def test_another_meaning_has_another_digest():
    texts = [json.dumps(dump(parse(text))) for text in EXAMPLES]

    assert len({digest(parse(text)) for text in texts}) == len(texts)


@pytest.mark.parametrize("dialect", [DUCKDB, SPARK], ids=lambda dialect: dialect.name)
def test_values_reach_sql_as_parameters_only(dialect):
    unit = "g'--;DROP"
    query = cohort_query(parse({"laboratory": {"loinc": "718-7", "op": "<", "value": 9, "unit": unit}}), dialect)

    assert query.parameters == ("718-7", unit, "9")
    assert unit not in query.sql
    assert query.sql.count("?") == 3


def test_words_read_as_a_sentence():
    criterion = parse(
        {
            "and": [
                {"age": {"min": 18, "max": 75, "at": "2024-12-31"}},
                {"or": [{"diagnosis": {"codes": ["E11"], "from": "2020-01-01"}}, {"sex": "female"}]},
                {"not": {"laboratory": {"loinc": "718-7", "op": "<=", "value": 9.5, "unit": "g/dL"}}},
            ]
        }
    )

    assert describe(criterion, "fr") == (
        "âge de 18 à 75 ans au 31/12/2024 et (diagnostic CIM-10 E11 à partir du 01/01/2020 ou sexe : femme)"
        " et sauf : résultat de laboratoire LOINC 718-7 ≤ 9.5 g/dL"
    )
    assert describe(criterion, "en").startswith("age from 18 to 75 years on 2024-12-31 and (ICD-10 diagnosis E11")
