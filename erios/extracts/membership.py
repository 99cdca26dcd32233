"""Who is in an extract: asked with the studies' own pseudonyms, which only the keyring's holder can make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from erios.extracts.criteria import Criterion, cohort_query
from erios.extracts.specification import PATIENT_KEY
from etl.duckdb_engine import connect, scalar
from etl.privacy import PseudonymKey, bind_key
from etl.sql import literal

if TYPE_CHECKING:
    from etl.warehouse.release import Release

_MEMORY_MB = 512


def has_any(data: Path, study_keys: Sequence[str]) -> bool:
    """Is one of these patients in one of the tables below ``data``?"""
    with connect(_MEMORY_MB) as connection:
        connection.execute("CREATE TEMP TABLE wanted AS SELECT unnest(?) AS key", [list(study_keys)])
        for table in sorted(path for path in data.glob("*") if path.is_dir()):
            source = f"read_parquet({literal(table / '*.parquet')})"
            names = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
            if PATIENT_KEY in names and scalar(
                connection,
                f"SELECT count(*) FROM (SELECT 1 FROM {source} SEMI JOIN wanted ON key = {PATIENT_KEY} LIMIT 1)",
            ):
                return True
    return False


def write_truth(
    path: Path, release: Release, cohort: Criterion, keys: Sequence[PseudonymKey | None], memory_mb: int
) -> None:
    """Write which pseudonym of one study is which of another: key_a, key_b for every patient of the cohort. Without
    a key it is the warehouse's own pseudonym.

    It ties two studies together: whoever calls this deletes the file.
    """
    query = cohort_query(cohort)
    with connect(memory_mb) as connection:
        for name in release.names():
            release.duckdb(name, connection).create_view(name)
        connection.execute("CREATE TEMP TABLE cohort AS " + query.sql, list(query.parameters))
        for column, key in zip(("key_a", "key_b"), keys, strict=True):
            if key:
                bind_key(connection, key)
            connection.execute(f"ALTER TABLE cohort ADD COLUMN {column} VARCHAR")
            connection.execute(f"UPDATE cohort SET {column} = {'pseudonym(patient_key)' if key else 'patient_key'}")
        connection.execute(f"COPY (SELECT key_a, key_b FROM cohort) TO {literal(path)} (FORMAT parquet)")
