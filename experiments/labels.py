"""Images with one label each, made by one DuckDB query over the tables of an extract.

Owns the form of such a query's answer: ``series_uid_key`` (text), ``label`` (0 or 1), and any number of ``group_…``
columns (text), the subgroups of the evaluation. A series that the query leaves out has no label and is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monai.transforms.transform import Transform

from experiments.data_split import SHARES, part_of
from experiments.errors import BundleError, DataError
from experiments.images import Series
from experiments.tables import answer, groups_of, labels_of


@dataclass(frozen=True)
class Labelled:
    """A series, its label (0 or 1), and the groups that its patient belongs to (name → value)."""

    series: Series
    label: float
    groups: Mapping[str, str] = field(default_factory=dict)


class ReadLabelled(Transform):
    """``{"case": Labelled}`` of one layer → ``{"image": (1, y, x), "label": (1,)}``, float32 tensors."""

    def __call__(self, item: Mapping[str, Labelled]) -> dict[str, Any]:
        import torch

        values = item["case"].series.read().values
        if len(values) != 1:
            raise DataError(f"a series of kind {item['case'].series.kind} has {len(values)} images, not one")
        return {"image": torch.from_numpy(values), "label": torch.tensor([item["case"].label])}


def load_labelled(series: list[Series], dataset_dir: str, query: str) -> list[Labelled]:
    """The series that the query gives a label, in their order.

    Raises BundleError for a query that is not as it must be or labels a series twice, DataError if it labels none.
    """
    frame = answer(dataset_dir, query)
    if missing := {"series_uid_key", "label"} - set(frame):
        raise BundleError(f"the query of labels answers no column {' and '.join(sorted(missing))}")
    labels, groups = labels_of(frame), groups_of(frame)
    row_of = {str(key): row for row, key in enumerate(frame["series_uid_key"])}
    if len(row_of) < len(labels):
        raise BundleError("the query of labels answers a series more than once")
    labelled = [(each, row_of[each.key]) for each in series if each.key in row_of]
    if not labelled:
        raise DataError("the query of labels names no series that has an image in the extract")
    return [
        Labelled(each, float(labels[row]), {name: str(values[row]) for name, values in groups.items()})
        for each, row in labelled
    ]


def part_of_labelled(
    cases: list[Labelled], name: str, seed: int, shares: Mapping[str, float] = SHARES
) -> list[dict[str, Labelled]]:
    """Those of the patients of one part, as MONAI's datasets take them; DataError if one label only is there."""
    chosen = [{"case": case} for case in cases if part_of(case.series.patient, seed, shares) == name]
    if len({item["case"].label for item in chosen}) < 2:
        raise DataError(f"the {name} part of the extract has {len(chosen)} images, not both of label 0 and 1")
    return chosen
