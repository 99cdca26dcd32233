"""The evaluation's table is one, or it is not kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.errors import SandboxError
from experiments.evaluation import EvaluationResult
from experiments.evaluation.result import Estimate, as_table
from experiments.sandbox.evaluation_table import MOST_BYTES, check_table

GOOD = as_table(
    EvaluationResult(
        40,
        {"roc_auc": Estimate(0.8, 0.7, float("nan"))},
        {"roc_auc": Estimate(0.7, 0.6, 0.8)},
        {"région": {"Île-de-France": {"roc_auc": Estimate(0.8, 0.7, 0.9)}, "rare": None}},
    )
)


@pytest.mark.parametrize("table", [GOOD, as_table(EvaluationResult(None))], ids=["figures", "too few patients"])
def test_what_an_evaluation_writes_is_kept(tmp_path: Path, table: Any) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False), encoding="utf-8")

    check_table(path)

    assert path.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"[1, 2]",
        b"not json",
        b"\xff",
        b"[" * 200_000,
        json.dumps({**GOOD, "note": "of 3 patients"}).encode(),
        json.dumps({**GOOD, "metrics": {"roc_auc": "high"}}).encode(),
        json.dumps({**GOOD, "groups": [1]}).encode(),
    ],
    ids=["a list", "text", "no text", "deep", "a further field", "words", "no groups"],
)
def test_anything_else_goes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "evaluation.json"
    path.write_bytes(content)

    with pytest.raises(SandboxError, match="no table of this form"):
        check_table(path)

    assert not path.exists()


def test_too_large_a_table_goes(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    path.write_bytes(b" " * (MOST_BYTES + 1))

    with pytest.raises(SandboxError, match="too large"):
        check_table(path)
