"""An attacker who knows results, codes, counts and distances; and one of the tests' own, in plain loops, beside it."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from erios.checkout import PROJECT
from erios.extracts.risk import assess, link, load_knowledge
from erios.extracts.risk.figures import wilson

PEOPLE, CODES = 120, ("718-7", "2951-2", "2823-3", "14682-9", "1988-5")
SCHEMA = pa.schema(
    [
        ("patient_key", pa.string()),
        ("code_loinc", pa.string()),
        ("value_quantity", pa.float64()),
        ("effective", pa.string()),
    ]
)
COLUMNS = {"observation": SCHEMA.names}
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def knowledge() -> Any:
    return load_knowledge(PROJECT / "conf" / "risk.toml")


def key(study: str, person: int) -> str:
    return hashlib.sha256(f"{study} {person}".encode()).hexdigest()[:32]


def hospital(study: str, *, band: int = 0, day: str = "%Y-%m-%d", seed: int = 7) -> Rows:
    """Made-up results, each study's under its own keys and in an order of its own."""
    from datetime import date, timedelta

    draw, rows = random.Random(seed), []
    for person in range(PEOPLE):
        first = date(2023, 1, 1) + timedelta(draw.randrange(300))
        for n in range(8):
            value = draw.randrange(300, 1800) / 10
            when = (first + timedelta(3 * n + draw.randrange(3))).strftime(day)
            value = value // band * band if band else value
            rows.append(
                dict(zip(SCHEMA.names, (key(study, person), draw.choice(CODES), value, when or None), strict=True))
            )
    random.Random(study).shuffle(rows)
    return rows


def write(folder: Path, rows: Rows) -> Path:
    (folder / "observation").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "observation" / "part-0.parquet")
    return folder


def truth(folder: Path) -> Path:
    rows = [{"key_a": key("a", person), "key_b": key("b", person)} for person in range(PEOPLE)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "truth.parquet")
    return folder / "truth.parquet"


def facts_of(rows: Rows, band: int) -> dict[str, Counter[Any]]:
    found: dict[str, Counter[Any]] = defaultdict(Counter)
    for row in rows:
        value = row["value_quantity"] // band * band if band else row["value_quantity"]
        found[row["patient_key"]][row["code_loinc"], value] += 1
    return found


def matched(first: Rows, second: Rows, band: int) -> int:
    """People of the first whose results have most in common with those of the same one of the second."""
    ours, theirs = facts_of(first, band), facts_of(second, band)
    right = 0
    for person in range(PEOPLE):
        common = {who: sum((ours[key("a", person)] & facts).values()) for who, facts in theirs.items()}
        best = [who for who, n in common.items() if n == max(common.values())]
        right += best == [key("b", person)]
    return right


@pytest.mark.parametrize(
    ("band", "day"),
    [(0, "%Y-%m-%d"), (0, "%Y"), (0, ""), (5, "%Y"), (10, "")],
    ids=["days", "years", "none", "5", "10"],
)
def test_results_link_two_extracts_whatever_their_dates_and_bands(
    tmp_path: Path, knowledge: Any, band: int, day: str
) -> None:
    """The second extract has its values in bands, and days, years or nothing of dates."""
    first, second = hospital("a"), hospital("b", band=band, day=day)

    found = link(
        write(tmp_path / "a", first),
        COLUMNS,
        write(tmp_path / "b", second),
        COLUMNS,
        knowledge,
        truth(tmp_path),
        seed=1,
    )

    own = wilson(matched(first, second, band), PEOPLE)
    assert found.low > 0.8
    assert found.low <= own[0] <= found.high


def test_the_whole_record_finds_as_many_as_there_are_different_records(tmp_path: Path, knowledge: Any) -> None:
    rows = [{**row, "value_quantity": float(row["value_quantity"] > 90), "effective": None} for row in hospital("a")]
    rows = [row for n, row in enumerate(sorted(rows, key=lambda row: row["patient_key"])) if n % 8 < 2]
    own: dict[str, Counter[Any]] = facts_of(rows, 0)

    report = assess(write(tmp_path / "a", rows), COLUMNS, knowledge, seed=1, dates_known=False)

    different = len({frozenset(facts.items()) for facts in own.values()})
    assert report.trajectory is not None
    assert (report.trajectory.patients, report.trajectory.classes) == (len(own), different)
    assert report.reidentified == pytest.approx(different / len(own))


def test_ten_facts_find_nearly_all_and_no_more_than_the_whole_record(tmp_path: Path, knowledge: Any) -> None:
    report = assess(write(tmp_path / "a", hospital("a")), COLUMNS, knowledge, seed=1, dates_known=False)

    shares = {(one.attacker, one.known): one.reidentified or 0.0 for one in report.attacks}
    assert [known for who, known in shares if who == "random"] == list(range(1, 11))
    assert shares["random", 1] < shares["random", 3] < shares["random", 10]
    assert report.trajectory is not None
    assert 0.9 < shares["random", 10] <= report.trajectory.share == 1.0
    assert not report.enough


def test_a_moved_date_is_no_fact_and_its_distance_is_one(tmp_path: Path, knowledge: Any) -> None:
    """All results alike: what is left are days, and the days between them."""
    rows = [{**row, "code_loinc": "718-7", "value_quantity": 1.0} for row in hospital("a")]
    moved = [{**row, "effective": f"2001{row['effective'][4:]}"} for row in rows]

    hidden = assess(write(tmp_path / "a", rows), COLUMNS, knowledge, seed=1, dates_known=False)
    again = assess(write(tmp_path / "b", moved), COLUMNS, knowledge, seed=1, dates_known=False)

    assert hidden.trajectory is not None
    assert again.trajectory is not None
    assert hidden.trajectory.share > 0.5
    assert hidden.trajectory.classes == pytest.approx(again.trajectory.classes, abs=6)
