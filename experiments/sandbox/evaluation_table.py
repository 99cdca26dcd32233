"""The form of the evaluation's table, as the process outside the sandbox checks it before anybody reads it.

Owns the form that ``experiments.evaluation`` writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from experiments.errors import SandboxError

MOST_BYTES = 1_000_000
Number = Annotated[float, Field(allow_inf_nan=True)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Estimate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    value: Number
    low: Number
    high: Number


Metrics = Annotated[dict[Name, _Estimate], Field(max_length=200)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    patients: Annotated[int, Field(ge=0, lt=10**9)] | None
    metrics: Metrics
    baseline: Metrics
    groups: Annotated[dict[Name, dict[Name, Metrics | None]], Field(max_length=100)]
    min_cell: Annotated[int, Field(ge=0, lt=10**6)]


def check_table(path: Path) -> None:
    """SandboxError, and no file, where the table is not of this form."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SandboxError("the training's evaluation is too large a table")
        _Table.model_validate_json(path.read_bytes())
    except ValidationError:
        path.unlink()
        raise SandboxError("the training's evaluation is no table of this form") from None
