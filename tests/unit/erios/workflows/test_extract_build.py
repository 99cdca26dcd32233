"""The build of an extract around its files: what of a failure is kept, and the attack by linkage tidies up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from erios.errors import InputError
from erios.workflows import extract_build
from erios.workflows.extract_build import attack_by_linkage, find_overlaps
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


class Others:
    """Extracts of other studies, as the selector gives them."""

    def __init__(self, *numbers: str) -> None:
        self.found = [SimpleNamespace(number=n, study=SimpleNamespace(number="E2"), key_id="k1") for n in numbers]

    def exclude(self, **_study: object) -> Others:
        return self

    def order_by(self, _name: str) -> Others:
        return self

    def first(self) -> Any:
        return self.found[0] if self.found else None


EXTRACT: Any = SimpleNamespace(number="E1-X01", study=SimpleNamespace(number="E1"), key_id="k1")
SPECIFICATION: Any = SimpleNamespace(cohort="c", tables=())


def test_without_another_study_there_is_no_linkage(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract_build, "extracts_with_data", Others)

    assert attack_by_linkage(EXTRACT, SPECIFICATION, None, settings) == {}  # type: ignore[arg-type]


@pytest.mark.usefixtures("keyring")
def test_who_is_who_is_deleted_even_when_the_attack_fails(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truths: list[Path] = []

    def write(path: Path, *_: object) -> None:
        path.write_text("who is who")
        truths.append(path)

    def fail(*_: object, **__: object) -> None:
        assert truths[0].exists()
        raise MemoryError

    monkeypatch.setattr(extract_build, "extracts_with_data", lambda: Others("E2-X01"))
    monkeypatch.setattr(extract_build, "specification_of", lambda _other: SPECIFICATION)
    monkeypatch.setattr(extract_build, "workshop_of", lambda number, _settings: tmp_path / number)
    monkeypatch.setattr(extract_build, "folder_of", lambda other, _settings: tmp_path / other.number)
    monkeypatch.setattr(extract_build, "study_key", lambda *_: None)
    monkeypatch.setattr(extract_build, "write_truth", write)
    monkeypatch.setattr(extract_build, "link", fail)

    with pytest.raises(MemoryError):
        attack_by_linkage(EXTRACT, SPECIFICATION, None, settings)  # type: ignore[arg-type]
    assert [path.exists() for path in truths] == [False]


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
