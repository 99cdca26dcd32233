"""The code lists of the generated hospital, as their publishers would give them: FHIR CodeSystem, one a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from etl.synthetic import code_tables as tables
from etl.synthetic.analytes import BLOOD_PRESSURE, LABORATORY, VITALS

_FINDINGS = (
    ("264868006", "No growth"),
    ("10828004", "Positive"),
    ("260385009", "Negative"),
    ("260373001", "Detected"),
    ("260415000", "Not detected"),
    ("271807003", "Eruption of skin"),
    ("112144000", "Blood group A"),
    ("112149005", "Blood group B"),
    ("58460004", "Blood group O"),
    ("165743006", "Blood group AB"),
)


def write_code_lists(path: Path) -> Path:
    """Write the lists of CIM-10, CCAM, LOINC, ATC, UCD and SNOMED CT, as far as the hospital uses them."""
    lines = [json.dumps(_code_system(url, codes), ensure_ascii=False) for url, codes in _lists()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _lists() -> Iterator[tuple[str, Iterable[tuple[str, str]]]]:
    drugs = tables.DRUGS.values()
    yield tables.CIM10, tables.DIAGNOSES.items()
    yield tables.CCAM, tables.PROCEDURES.items()
    yield tables.LOINC, [BLOOD_PRESSURE[:2], *((a.loinc, a.display) for a in (*LABORATORY.values(), *VITALS.values()))]
    yield tables.ATC, [*((d.atc, d.label) for d in drugs), *((v.atc, v.label) for v in tables.VACCINES)]
    yield tables.UCD, [(d.ucd, d.ucd_label) for d in drugs if d.ucd and d.ucd_label]
    specimens = [(code, display) for code, display, _ in tables.SPECIMENS.values()]
    allergies = [(allergy.code, allergy.display) for allergy in tables.ALLERGIES]
    yield tables.SNOMED, [*tables.ROUTES.values(), *allergies, *tables.BACTERIA, *specimens, *_FINDINGS]


def _code_system(url: str, codes: Iterable[tuple[str, str]]) -> dict[str, object]:
    concepts = [{"code": code, "display": display} for code, display in dict(codes).items()]
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "version": "demonstration",
        "status": "active",
        "content": "fragment",
        "concept": concepts,
    }
