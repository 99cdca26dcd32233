"""What a form of an extract costs the readmission model, and what the product's own proposal leaves to an attacker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from erios.settings import Settings
from tests.bench.readmission import Figure, Measured, hospital, measure
from tests.figures import Record
from tests.portal.conftest import close_database, point_to

pytestmark = [pytest.mark.slow, pytest.mark.long]
PATIENTS, HOSPITAL, SEEDS, EPOCHS = 12_000, 11, range(8), 10


def said(figure: Sequence[float]) -> str:
    value, low, high = figure
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def overlap(first: Figure, second: Figure) -> bool:
    return first[1] <= second[2] and second[1] <= first[2]


def check_attack(found: Measured) -> None:
    """Few are found, and the report's figure is that of an attacker who shares no code with it."""
    report, outsider = found.joins["report"], found.joins["outsider"]
    assert found.joins["targets"] > 100
    assert report[0] <= 0.1
    assert outsider[0] <= 0.1
    assert overlap(report, outsider)


def test_the_products_proposal_hides_patients_and_trains_a_model(home: Settings, tmp_path: Path) -> None:
    from etl.warehouse.release import open_release

    found = measure(tmp_path / "forms", open_release(home.warehouse), home, range(1), 3)

    check_attack(found)
    assert list(found.specification["tables"]) == ["stay_summary"]
    assert abs(found.model["roc_auc"]["days − exact"][0]) < 0.05


def test_the_readmission_model_on_exact_moved_and_proposed_forms(
    erios_home: Path, figure: Record, tmp_path: Path
) -> None:
    release, settings = hospital(erios_home, PATIENTS, HOSPITAL)
    point_to(settings)

    found = measure(tmp_path / "forms", release, settings, SEEDS, EPOCHS)

    close_database()
    auc, brier, base = (found.model[name] for name in ("roc_auc", "brier", "base_rate_brier"))
    for what, value in auc.items():
        figure(f"area under the ROC curve, {what}", said(value))
    for what in ("exact", "days", "proposed"):
        figure(f"Brier score, {what} (of the base rate)", f"{said(brier[what])}; {said(base[what])}")
    figure("shared patients re-linked, the report's figure", said(found.joins["report"]))
    figure("shared patients re-linked, an attacker of the test's own", said(found.joins["outsider"]))
    check_attack(found)
    assert auc["proposed − exact"][0] >= -0.05
    assert abs(auc["days − exact"][0]) < 0.01
    assert all(auc[form][1] > 0.5 for form in ("exact", "days", "proposed"))
    assert all(brier[form][0] < base[form][0] for form in ("exact", "days"))
