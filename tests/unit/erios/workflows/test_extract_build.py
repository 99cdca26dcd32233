"""The build of an extract around its files: what of a failure is kept, and what cohorts are crossed with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from erios.errors import InputError
from erios.workflows import extract_build
from erios.workflows.extract_build import find_overlaps
from etl.errors import ReleaseError


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (InputError("the release is behind"), "the release is behind"),
        (ReleaseError("no such release"), "no such release"),
        (ValueError("Dupont"), "ValueError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_of_a_failure_only_our_own_sentences_are_kept(error: BaseException, kept: str) -> None:
    assert extract_build._sentence(error) == kept


EXTRACT: Any = SimpleNamespace(number="E1-X01", study=SimpleNamespace(number="E1"), key_id="k1")
SPECIFICATION: Any = SimpleNamespace(cohort="c", tables=())


def test_overlaps_name_what_each_cohort_is_crossed_with(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cohorts:
        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> Cohorts:
            return self

        def __exit__(self, *_: object) -> None: ...

        def cross(self, mine: str, other: str, threshold: int) -> dict[str, Any]:
            return {"crossed": f"{mine}x{other}", "under": threshold}

    monkeypatch.setattr(extract_build, "Cohorts", Cohorts)
    monkeypatch.setattr(extract_build, "load_parameters", lambda: SimpleNamespace(threshold=11))
    monkeypatch.setattr(extract_build, "earlier_cohorts", lambda _extract: [("E2-X01", "extract", "d")])

    assert find_overlaps(EXTRACT, SPECIFICATION, None, settings) == [  # type: ignore[arg-type]
        {"with": "E2-X01", "kind": "extract", "crossed": "cxd", "under": 11}
    ]
