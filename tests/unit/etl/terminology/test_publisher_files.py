"""Code lists as each publisher writes them, in small files of our own; and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from etl.errors import InputError
from etl.terminology.code_lists import CodeList
from etl.terminology.publisher_files import CIM10, LOINC, read_publisher_file

CLAML = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE ClaML SYSTEM "ClaML.dtd">
<ClaML version="2.0.0">
  <Title name="CIM-10 FR" date="2031-01-01" version="2031">CIM-10</Title>
  <Class code="I50" kind="category">
    <SubClass code="I50.1"/>
    <Rubric kind="inclusion"><Label xml:lang="fr">autre chose</Label></Rubric>
    <Rubric kind="preferred"><Label xml:lang="fr">Insuffisance
      <Term class="italics">cardiaque</Term></Label></Rubric>
  </Class>
  <Class code="I50.1" kind="category"><SuperClass code="I50"/></Class>
</ClaML>
"""
ATIH = "A00    |0|0|Choléra|Choléra\nA000   |0|0|Choléra à V. cholerae|Choléra à Vibrio cholerae 01, biovar cholerae\n"
SYSTEM = {
    "resourceType": "CodeSystem",
    "url": "https://codes.example.org/lab",
    "version": "3",
    "concept": [
        {"code": "group", "abstract": True, "concept": [{"code": "A1", "display": "Un"}]},
        {"code": "A2", "display": "Deux", "designation": [{"value": "Two"}, {"language": "fr"}]},
    ],
}
VALUES = {
    "resourceType": "ValueSet",
    "version": "4",
    "compose": {
        "include": [{"system": "https://codes.example.org/lab", "concept": [{"code": "A3", "display": "Trois"}]}]
    },
    "expansion": {
        "contains": [{"system": LOINC, "code": "718-7", "contains": [{"system": LOINC, "code": "717-9"}]}],
    },
}


def read(folder: Path, text: str | bytes, system: str = "", version: str = "") -> list[CodeList]:
    path = folder / "list.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_publisher_file(path, system, version)


def codes(lists: list[CodeList]) -> dict[str, dict[str, str | None]]:
    return {each.system: {concept.code: concept.display for concept in each.concepts} for each in lists}


def test_claml_gives_each_category_its_preferred_label(tmp_path: Path) -> None:
    lists = read(tmp_path, CLAML)

    assert codes(lists) == {CIM10: {"I50": "Insuffisance cardiaque", "I50.1": None}}
    assert lists[0].version == "2031"


def test_claml_of_another_classification_needs_its_system(tmp_path: Path) -> None:
    other = CLAML.replace("CIM-10 FR", "ATC")
    with pytest.raises(InputError, match=r"list.txt does not say its code system: give it with --system URL"):
        read(tmp_path, other)
    assert list(codes(read(tmp_path, other, "http://www.whocc.no/atc"))) == ["http://www.whocc.no/atc"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_the_table_of_atih_needs_no_heading(tmp_path: Path, encoding: str) -> None:
    assert codes(read(tmp_path, ATIH.encode(encoding), version="2031")) == {
        CIM10: {"A00": "Choléra", "A000": "Choléra à Vibrio cholerae 01, biovar cholerae"}
    }


def test_a_code_system_gives_concepts_at_every_depth_and_no_abstract_one(tmp_path: Path) -> None:
    (each,) = read(tmp_path, json.dumps(SYSTEM))

    assert (each.system, each.version) == ("https://codes.example.org/lab", "3")
    assert [(c.code, c.display, c.words) for c in each.concepts] == [("A1", "Un", ()), ("A2", "Deux", ("Two",))]


def test_a_value_set_gives_what_it_names_and_what_it_expands_to(tmp_path: Path) -> None:
    assert codes(read(tmp_path, json.dumps(VALUES))) == {
        "https://codes.example.org/lab": {"A3": "Trois"},
        LOINC: {"718-7": None, "717-9": None},
    }


def test_a_system_in_several_resources_is_one_list(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(each) for each in (SYSTEM, VALUES))
    bundle = json.dumps({"resourceType": "Bundle", "entry": [{"resource": SYSTEM}, {"resource": VALUES}]})

    for text in (lines, bundle):
        assert {url: set(found) for url, found in codes(read(tmp_path, text)).items()} == {
            "https://codes.example.org/lab": {"A1", "A2", "A3"},
            LOINC: {"718-7", "717-9"},
        }


def test_loinc_and_lists_of_ones_own_are_read_by_their_heading(tmp_path: Path) -> None:
    loinc = '"LOINC_NUM","COMPONENT","LONG_COMMON_NAME"\n"718-7","Hemoglobin","Hemoglobin [Mass/volume] in Blood"\n'
    assert codes(read(tmp_path, loinc)) == {LOINC: {"718-7": "Hemoglobin [Mass/volume] in Blood"}}
    own = "code;libellé\r\nX1;Service de cardiologie\r\n;sans code\r\nX2\r\n"
    assert codes(read(tmp_path, own, "urn:own")) == {"urn:own": {"X1": "Service de cardiologie", "X2": None}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is no code list"),
        ("hello", "is no code list: no JSON, no XML, and no columns"),
        ("a;b\n1;2\n", "has no heading for its codes"),
        ('{"resourceType": "Patient"}', "no CodeSystem, ValueSet or Bundle"),
        ('{"resourceType": "CodeSystem", "url": "urn:x", "concept": ["A1"]}', "is not what FHIR has in that place"),
        ('{"resourceType": "CodeSystem", "url": "urn:x", "concept": 7}', "is not what FHIR has in that place"),
        ('{"resourceType": "Bundle", "entry": [null]}', "is not what FHIR has in that place"),
        ("[1, 2]", "is not what FHIR has in that place"),
        ("[" * 100_000, "list.txt"),
        ('{"resourceType": "CodeSystem"}\n{cut', "line 2: not JSON"),
        ("<ClaML><Class", "is not XML: line 1"),
        ("<html/>", "is XML but not ClaML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><ClaML/>', "defines XML entities"),
        ('code;name\nA;"' + "x" * 200_000, "line 2: a field has no end, or is too long"),
        (b"PK\x03\x04\x00\x00\xff\xfe\x81", "neither UTF-8 nor Windows-1252"),
        (b"code;name\nA;\x81\x8d\n", "neither UTF-8 nor Windows-1252"),
    ],
)
def test_what_is_no_list_is_one_sentence_without_its_content(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as refused:
        read(tmp_path, text, "urn:own")
    assert len(str(refused.value)) < 200
