"""Rows for a tabular model, made by one DuckDB query over the tables of an extract.

Owns the form of such a query's answer. The query sees the extract's tables by their names and no other file; it must
answer ``patient_key`` (text), ``label`` (0 or 1), any number of features (numbers, NULL where unknown), and any
number of ``group_…`` columns (text), the subgroups of the evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.data_split import SHARES, part_of
from experiments.errors import BundleError, DataError

GROUP = "group_"


@dataclass(frozen=True)
class Rows:
    """``features`` (n, columns; NaN where unknown), ``labels`` (n), ``patients`` (n) and ``groups`` (name → n)."""

    columns: tuple[str, ...]
    features: NDArray[np.float32]
    labels: NDArray[np.float32]
    patients: NDArray[np.str_]
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: NDArray[Any]) -> Rows:
        """The rows where ``chosen`` (n, true or false, or positions)."""
        groups = {name: values[chosen] for name, values in self.groups.items()}
        return Rows(self.columns, self.features[chosen], self.labels[chosen], self.patients[chosen], groups)

    def part(self, name: str, seed: int, shares: Mapping[str, float] = SHARES) -> Rows:
        """The rows of the patients of one part; DataError if it has rows of one label only."""
        parts = {patient: part_of(patient, seed, shares) for patient in np.unique(self.patients)}
        rows = self.take(np.array([parts[patient] == name for patient in self.patients], dtype=bool))
        if len(set(rows.labels.tolist())) < 2:
            raise DataError(f"the {name} part of the extract has {len(rows)} rows, not both of label 0 and 1")
        return rows

    def items(self) -> list[dict[str, Any]]:
        """One dictionary a row, as MONAI's datasets take them: ``image`` holds the features."""
        import torch

        features, labels = torch.from_numpy(self.features), torch.from_numpy(self.labels)
        return [{"image": features[row], "label": labels[row : row + 1]} for row in range(len(self))]


def load_rows(dataset_dir: str, query: str, instead: Mapping[str, str] | None = None) -> Rows:
    """The answer of the query in the file ``query`` over the extract in ``dataset_dir``, ordered by patient and row.

    ``instead``: table → the file of the query that is asked of an extract which has this table.
    Raises BundleError for a query that is not as it must be, DataError for an extract that lacks what it asks.
    """
    tables = Path(dataset_dir) / "data"
    query = next((file for table, file in (instead or {}).items() if (tables / table).is_dir()), query)
    frame = answer(dataset_dir, query)
    features = [name for name in frame if name not in ("patient_key", "label") and not name.startswith(GROUP)]
    if missing := {"patient_key", "label"} - set(frame):
        raise BundleError(f"{Path(query).name} answers no column {' and '.join(sorted(missing))}")
    if not features or not len(frame["label"]):
        raise DataError(f"{Path(query).name} answers {len(features)} features in {len(frame['label'])} rows")
    return Rows(
        tuple(features),
        np.column_stack([_numbers(name, frame[name]) for name in features]),
        labels_of(frame),
        frame["patient_key"].astype(str),
        groups_of(frame),
    )


def answer(dataset_dir: str, query: str) -> dict[str, Any]:
    """Column → values of the query in the file ``query`` over the extract, in order of all columns."""
    return _ask(Path(dataset_dir), _read(Path(query)))


def groups_of(frame: Mapping[str, Any]) -> dict[str, NDArray[np.str_]]:
    """The columns of subgroups."""
    return {name.removeprefix(GROUP): _texts(frame[name]) for name in frame if name.startswith(GROUP)}


def _read(query: Path) -> str:
    try:
        return query.read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(f"cannot read the query {query}: {error.strerror}") from None


def _ask(folder: Path, sql: str) -> dict[str, Any]:
    """The query's answer as arrays; it may read the extract's data and nothing else of this machine."""
    import duckdb

    data = folder / "data"
    tables = sorted(path.name for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    if not tables:
        raise DataError(f"{folder} holds no tables: point dataset_dir to the folder of an extract")
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        connection.execute("SET allowed_directories = [$1]", [str(data.absolute())])
        connection.execute("SET enable_external_access = false")
        for table in tables:
            files = str(data.absolute() / table / "*.parquet").replace("'", "''")
            connection.execute(f"CREATE VIEW \"{table}\" AS FROM read_parquet('{files}')")
        try:
            return connection.execute(f"FROM ({sql.strip().rstrip(';')}) ORDER BY ALL").fetchnumpy()
        except duckdb.CatalogException as error:
            raise DataError(f"the query asks for what the extract lacks: {_first(error)}") from None
        except (duckdb.BinderException, duckdb.ParserException) as error:
            raise BundleError(f"the query does not fit the extract: {_first(error)}") from None
        except duckdb.Error as error:  # its message may hold a value
            raise DataError(f"the query failed over the extract ({type(error).__name__})") from None


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]


def _numbers(name: str, values: Any) -> NDArray[np.float32]:
    try:
        return np.asarray(np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan), dtype=np.float32)
    except (TypeError, ValueError):
        raise BundleError(f"feature {name} is not a number: cast it in the query, or name it {GROUP}{name}") from None


def labels_of(frame: Mapping[str, Any]) -> NDArray[np.float32]:
    """The column of labels; BundleError for one that is neither 0 nor 1."""
    labels = _numbers("label", frame["label"])
    if not np.isin(labels, (0, 1)).all():
        raise BundleError("a label is neither 0 nor 1")
    return labels


def _texts(values: Any) -> NDArray[np.str_]:
    return np.ma.filled(np.ma.asarray(values).astype(object), "unknown").astype(str)
