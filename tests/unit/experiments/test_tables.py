"""Rows by a query: its form, and that it sees the extract and nothing else."""

import duckdb
import numpy as np
import pytest

from experiments.errors import BundleError, DataError
from experiments.tables import load_rows


@pytest.fixture
def extract(tmp_path):
    folder = tmp_path / "extract"
    (folder / "data" / "stay").mkdir(parents=True)
    duckdb.connect().sql(
        "SELECT 'p' || n AS patient_key, n % 3 = 0 AS back, CASE WHEN n % 5 > 0 THEN n END AS days,"
        " CASE WHEN n % 2 = 0 THEN 'female' ELSE 'male' END AS sex FROM range(200) AS t(n)"
    ).write_parquet(str(folder / "data" / "stay" / "part-0.parquet"))
    return folder


def ask(extract, query):
    path = extract.parent / "query.sql"
    path.write_text(query)
    return load_rows(str(extract), str(path))


def test_rows_have_features_labels_patients_and_groups(extract):
    rows = ask(extract, "SELECT patient_key, back::INT AS label, days, 1 AS one, sex AS group_sex FROM stay")

    assert rows.columns == ("days", "one")
    assert rows.features.shape == (200, 2)
    assert np.isnan(rows.features[:, 0]).sum() == 40
    assert set(rows.groups["sex"]) == {"female", "male"}
    assert rows.labels.sum() == 67
    item = rows.items()[0]
    assert (item["image"].shape, item["label"].shape) == ((2,), (1,))


def test_parts_share_no_patient_and_lose_none(extract):
    rows = ask(extract, "SELECT patient_key, back::INT AS label, days FROM stay")

    parts = [set(rows.part(name, 0).patients) for name in ("train", "validation", "test")]

    assert sum(map(len, parts)) == len(set.union(*parts)) == 200


@pytest.mark.parametrize(
    ("query", "error", "sentence"),
    [
        ("SELECT patient_key, days FROM stay", BundleError, "answers no column label"),
        ("SELECT patient_key, 0 AS label, sex FROM stay", BundleError, "feature sex is not a number"),
        ("SELECT patient_key, days AS label, days FROM stay", BundleError, "neither 0 nor 1"),
        ("SELECT patient_key, 0 AS label FROM stay", DataError, "0 features"),
        ("SELECT nothing FROM stay", BundleError, "does not fit the extract"),
        ("SELECT * FROM nowhere", DataError, "asks for what the extract lacks"),
        ("SELECT FROM WHERE", BundleError, "does not fit the extract"),
    ],
)
def test_what_a_query_does_wrong_is_one_sentence(extract, query, error, sentence):
    with pytest.raises(error, match=sentence):
        ask(extract, query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT content AS patient_key, 0 AS label, 1 AS x FROM read_text('{secret}')",
        "SELECT * FROM read_csv('{secret}')",
        "COPY stay TO '{secret}.out'",
        "ATTACH '{secret}.db'",
        "INSTALL httpfs",
    ],
)
def test_a_query_reads_and_writes_no_other_file(extract, query):
    secret = extract.parent / "secret.txt"
    secret.write_text("of another study")

    with pytest.raises((DataError, BundleError)) as caught:
        ask(extract, query.format(secret=secret))

    assert "of another study" not in str(caught.value)
    assert sorted(path.name for path in extract.parent.iterdir()) == ["extract", "query.sql", "secret.txt"]
