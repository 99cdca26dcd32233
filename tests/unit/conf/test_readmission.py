"""The readmission bundle's rows: stays and not their parts, the same whether dates are instants or days."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from erios.checkout import PROJECT
from experiments.network_layers import risk_network
from experiments.tables import Rows, load_rows

QUERY = str(PROJECT / "conf" / "bundles" / "readmission" / "configs" / "discharges.sql")
INSTANT = "%Y-%m-%dT%H:%M:%S+01:00"
ENCOUNTERS = [
    # encounter, part of, class, start and end as days and hours since the first
    ("s1", None, "IMP", (0, 22), (6, 11)),
    ("s1-emergency", "s1", "EMER", (0, 22), (1, 5)),
    ("s1-ward", "s1", "IMP", (1, 5), (3, 9)),
    ("s1-other-ward", "s1", "IMP", (3, 9), (6, 11)),
    ("visit", None, "EMER", (20, 15), (20, 19)),
    ("s2", None, "IMP", (100, 9), (102, 16)),
    ("s2-ward", "s2", "IMP", (100, 9), (102, 16)),
]
RESULTS = [("s1-ward", (2, 7), 14.0), ("s1-other-ward", (5, 8), 12.0), ("s1-other-ward", (5, 18), 10.0)]


def when(moment: tuple[int, int], form: str) -> str:
    """A moment as an instant, or moved by 40 days and cut to its day."""
    day, hour = moment
    told = datetime(2023, 1, 10) + timedelta(days=day, hours=hour)
    return told.strftime(INSTANT) if form == "instants" else (told + timedelta(40)).strftime("%Y-%m-%d")


def write(folder: Path, form: str, *, with_parts: bool = True) -> str:
    """An extract of one patient; without ``part_of_key`` as specifications of before ask for it."""
    encounters = [
        {
            "patient_key": "p",
            "encounter_key": key,
            **({"part_of_key": part_of} if with_parts else {}),
            "class": kind,
            "period_start": when(start, form),
            "period_end": when(end, form),
        }
        for key, part_of, kind, start, end in ENCOUNTERS
    ]
    results = [
        {
            "patient_key": "p",
            "encounter_key": part,
            "code_loinc": "718-7",
            "value_quantity": value,
            "effective": when(moment, form),
        }
        for part, moment, value in RESULTS
    ]
    medicines = [
        {"patient_key": "p", "encounter_key": part, "medication_atc": atc}
        for part, atc in (("s1-ward", "A"), ("s1-other-ward", "B"), ("s1-other-ward", "A"))
    ]
    illness = {"patient_key": "p", "encounter_key": None, "code_icd10": "I50", "recorded_date": when((-5, 9), form)}
    write_table(folder, "patient", [{"patient_key": "p", "gender": "female", "birth_date": "1950"}])
    write_table(folder, "encounter", encounters)
    write_table(folder, "observation", results)
    write_table(folder, "medication_request", medicines)
    write_table(folder, "condition", [illness])
    return str(folder)


def write_table(
    folder: Path, table: str, rows: list[dict[str, Any]], numbers: tuple[str, ...] = ("value_quantity",)
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "data" / table / "part-00000.parquet"
    path.parent.mkdir(parents=True)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    types = {name: pa.float64() if name in numbers else pa.string() for name in columns}
    pq.write_table(pa.table({name: pa.array(columns[name], types[name]) for name in columns}), path)


def stays_of(rows: Rows) -> list[dict[str, float]]:
    """Rows as dictionaries, the longest stay first."""
    told = [
        {**dict(zip(rows.columns, map(float, line), strict=True)), "label": float(label)}
        for line, label in zip(rows.features, rows.labels, strict=True)
    ]
    return sorted(told, key=lambda stay: -stay["days"])


@pytest.mark.parametrize("form", ["instants", "days"])
def test_a_stay_is_one_row_with_what_was_found_and_given_in_its_parts(tmp_path: Path, form: str) -> None:
    first, second = stays_of(load_rows(write(tmp_path, form), QUERY))

    assert (first["label"], second["label"]) == (1, 0)
    assert (first["unplanned"], second["unplanned"]) == (1, 0)
    assert (first["stays_last_year"], second["stays_last_year"]) == (1, 2)
    assert (first["medicines"], second["medicines"]) == (2, 0)
    assert (first["long_illnesses"], second["long_illnesses"]) == (1, 1)
    assert first["days"] == pytest.approx(5.5, abs=0.55)


@pytest.mark.parametrize(("form", "haemoglobin"), [("instants", 10.0), ("days", 11.0)])
def test_of_results_of_the_last_day_without_clock_time_the_mean_is_taken(
    tmp_path: Path, form: str, haemoglobin: float
) -> None:
    first, second = stays_of(load_rows(write(tmp_path, form), QUERY))

    assert first["haemoglobin"] == haemoglobin
    assert np.isnan(second["haemoglobin"])


def test_an_extract_that_does_not_say_what_is_a_part_takes_each_as_a_stay(tmp_path: Path) -> None:
    assert len(load_rows(write(tmp_path, "days", with_parts=False), QUERY)) == 5


@pytest.mark.parametrize(("labels", "rate"), [([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 1.5 / 8), ([0.0] * 9, 0.5 / 10)])
def test_a_network_begins_at_the_rate_of_the_training_part(labels: list[float], rate: float) -> None:
    import torch

    rows = Rows(("x",), np.zeros((len(labels), 1), np.float32), np.array(labels, np.float32), np.array(["p"]))

    last = risk_network(rows).state_dict()["1.output.bias"]

    risk = float(torch.sigmoid(last))
    assert risk == pytest.approx(rate, abs=1e-6)


def test_the_summary_of_stays_is_read_with_the_columns_that_it_has(tmp_path: Path) -> None:
    """As a proposal of the risk report makes it: classes, and some columns left out."""
    stays = [{"patient_key": "p", "returned": 1, "age": 50}, {"patient_key": "q", "returned": 0, "age": 75}]
    write_table(tmp_path, "stay_summary", stays, numbers=("returned", "age"))

    rows = load_rows(str(tmp_path), "absent.sql", {"stay_summary": str(Path(QUERY).with_name("summary.sql"))})

    assert (rows.columns, rows.features.tolist(), rows.labels.tolist()) == (("age",), [[50.0], [75.0]], [1.0, 0.0])
    assert rows.groups["sex"].tolist() == ["unknown", "unknown"]
    assert rows.groups["age"].tolist() == ["50-74", "75+"]
