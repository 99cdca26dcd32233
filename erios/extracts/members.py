"""Who is in an extract: asked with the study's own pseudonyms, which only the keyring's holder can make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from erios.extracts.specification import PATIENT_KEY
from etl.engine import connect, scalar
from etl.files import literal

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
