"""A hospital with an extract released to a study of the person at the keyboard, for what trains on one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from erios.settings import Settings
from tests.portal.conftest import _add_second_keeper, _make_template, close_database, point_to, seal_everything

TABLES: dict[str, dict[str, Any]] = {
    "patient": {"gender": "facteur", "birth_date": {"why": "âge", "as": "years:10"}},
    "encounter": {
        "encounter_key": "relier",
        "part_of_key": "relier",
        "class": "type",
        "status": "fini",
        "period_start": "retour",
        "period_end": "durée",
        "admit_source": "urgence",
        "priority": "urgence",
    },
    "condition": {
        "encounter_key": "relier",
        "code_icd10": {"why": "motif", "as": "category"},
        "recorded_date": "antériorité",
    },
    "observation": {
        "encounter_key": "relier",
        "code_loinc": "biologie",
        "value_quantity": "biologie",
        "effective": "biologie",
    },
    "medication_request": {"encounter_key": "relier", "medication_atc": "traitement"},
}
UNREAD = ("DiagnosticReport", "DocumentReference", "MedicationAdministration", "Procedure", "Specimen")
RESULTS = ("718-7", "2951-2", "14682-9", "1988-5")
"""The analytes that ``conf/bundles/readmission/configs/discharges.sql`` reads."""
SPECIFICATION: dict[str, Any] = {
    "cohort": {"age": {"min": 18, "at": "2026-01-01"}},
    "dates": "shifted",
    "destination": "grappe de calcul du CHU",
    "tables": TABLES,
}


def make_hospital(home: Path, patients: int) -> Path:
    """A home with a generated hospital, the cast of the portal's tests, an active study and its released extract."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ERIOS_HOME", str(home))
        patch.delenv("ERIOS_DATABASE", raising=False)
        patch.setattr("secrets.token_bytes", Random(5).randbytes)  # the key decides who is in which part of the data
        _make_template()
        _add_second_keeper()
        _load(home.parent / "export", patients)
        _release(patch)
        close_database()
    return home


def _load(export: Path, patients: int) -> None:
    from erios.settings import load_settings
    from erios.workflows.load import load_config
    from etl.load_config import Verdict
    from etl.pipeline import load
    from etl.synthetic import generate
    from tests.inline import InlineRunner

    generate(export, patients, seed=5, workers=1)
    _leave_out(export)
    load([export], load_config(load_settings()), InlineRunner(), lambda *_: Verdict(False, (), {}))


def _leave_out(export: Path) -> None:
    """Files and results that neither the extract nor the bundle reads: most of what a load takes its time for."""
    for name in (*UNREAD, "manifest"):
        for path in export.glob(f"{name}.*"):
            path.unlink()
    for path in export.glob("Observation.*"):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if any(f'"{code}"' in line for code in RESULTS)), "utf-8")


def _release(patch: pytest.MonkeyPatch) -> None:
    from erios.governance.extract import Action
    from erios.settings import load_settings
    from erios.studies import extract_actions as acts
    from erios.workflows import extract_build, extract_release
    from tests.inline import InlineRunner
    from tests.portal.stories import who

    for module in ("load", "extract_build"):
        patch.setattr(f"erios.workflows.{module}.spark_session", _no_spark)
        patch.setattr(f"erios.workflows.{module}.SparkRunner", lambda _spark: InlineRunner())
    patch.setattr("erios.workflows.extract_build.find_remedies", lambda _trial: ())  # a training needs no proposal
    point_to(load_settings())
    extract = acts.request_extract(study=_study(), by=who("ada"), content=SPECIFICATION)
    acts.move_extract(extract=extract, by=who("dpo"), action=Action.APPROVE_SPECIFICATION)
    extract = extract_build.build_extract(extract, who("dan"))
    root, why = extract.root, "a generated hospital"
    acts.ask_exception(extract=extract, by=who("dpo"), root=root, expires=_next_month(), reason=why)
    extract = acts.grant_exception(extract=extract, by=who("chief"), root=root, reason=why)
    extract_release.release_extract(extract, who("dora"), extract.root)


def _next_month() -> Any:
    from django.utils import timezone

    return timezone.localdate() + timedelta(days=30)


@contextmanager
def _no_spark(_settings: Settings) -> Iterator[None]:
    yield None


def _study() -> Any:
    """An active study that asks for what the specification holds."""
    from erios.accounts.models import User
    from erios.governance.roles import Role
    from erios.governance.study import State
    from erios.operator_login import current_operator
    from erios.studies.models import Part
    from tests.portal.stories import at

    data = [
        {"table": name, "columns": [{"name": column, "why": "y"} for column in columns]}
        for name, columns in TABLES.items()
    ]
    proposal = at(State.ACTIVE, data=data, cohort=SPECIFICATION["cohort"])
    person = User(username=current_operator(), email="person@example.org")
    person.set_roles({Role.DATA_SCIENTIST})
    person.save()
    Part.objects.create(proposal=proposal, person=person, kind="team")
    seal_everything()
    return proposal.study
