"""Labels of images from the tables of an extract, and the result of a network that tells images apart."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch

from experiments.errors import BundleError, DataError
from experiments.evaluation import ClassificationEvaluation
from experiments.images import Series
from experiments.labels import Labelled, load_labelled, part_of_labelled

QUERY = "SELECT series_uid_key, report AS label, site AS group_site FROM dicom_series WHERE report IS NOT NULL"


@pytest.fixture
def extract(tmp_path):
    """An extract with one table: the second series has no report."""
    folder = tmp_path / "data" / "dicom_series"
    folder.mkdir(parents=True)
    rows = "VALUES ('a', 1, 'nord'), ('b', NULL, 'nord'), ('c', 0, NULL)"
    with duckdb.connect() as sql:
        sql.execute(
            f"COPY (FROM ({rows}) AS t(series_uid_key, report, site)) TO '{folder}/part-0.parquet' (FORMAT parquet)"
        )
    return tmp_path


def query(folder, text=QUERY):
    path = folder / "labels.sql"
    path.write_text(text)
    return str(path)


def of(key):
    return Series(f"p{key}", key, "radiograph", Path("x"))


def test_each_series_gets_its_label_and_groups_by_its_key(extract):
    found = load_labelled([of("c"), of("b"), of("a"), of("z")], str(extract), query(extract))

    assert found == [Labelled(of("c"), 0.0, {"site": "unknown"}), Labelled(of("a"), 1.0, {"site": "nord"})]


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("SELECT series_uid_key FROM dicom_series", BundleError, "answers no column label"),
        ("SELECT series_uid_key, 2 AS label FROM dicom_series", BundleError, "neither 0 nor 1"),
        ("SELECT 'a' AS series_uid_key, 1 AS label FROM dicom_series", BundleError, "more than once"),
        ("SELECT 'y' AS series_uid_key, 1 AS label", DataError, "names no series"),
        ("SELECT series_uid_key, 1 AS label FROM nowhere", DataError, "what the extract lacks"),
    ],
)
def test_a_query_that_is_not_as_it_must_be_is_told(extract, text, error, sentence):
    with pytest.raises(error, match=sentence):
        load_labelled([of("a")], str(extract), query(extract, text))


def test_a_part_needs_both_labels():
    with pytest.raises(DataError, match="not both of label 0 and 1"):
        part_of_labelled([Labelled(of(str(number)), 1.0) for number in range(40)], "test", 0)


@dataclass(frozen=True)
class Spots:
    """A transform that makes a dim image with a bright pixel at some place where the label is 1."""

    def __call__(self, item):
        case = item["case"]
        draw = np.random.default_rng(int(case.series.key))
        image = draw.normal(0, 1, (32, 32)).astype(np.float32)
        image[tuple(draw.integers(0, 32, 2))] += 40 * case.label
        return {"image": torch.from_numpy(image)[None], "label": torch.tensor([case.label])}


class Brightest(torch.nn.Module):
    """Says how bright the brightest pixel is."""

    def forward(self, image):
        return image.amax(dim=(2, 3)) - 15


def test_a_network_is_judged_on_images_that_no_training_saw():
    cases = [Labelled(of(str(number)), float(number % 2), {"site": "nord"}) for number in range(300)]

    result = ClassificationEvaluation(cases, Spots())(Brightest())

    assert result.patients == len(part_of_labelled(cases, "test", 0))
    assert result.metrics["roc_auc"].value == 1
    assert result.metrics["brier"].value < 0.01
    assert result.baseline["roc_auc"].value < 1
    assert (result.groups["site"]["nord"] or {})["roc_auc"].value == 1
    assert set(result.pictures) == {"roc.png", "calibration.png", "confusion.png"}
