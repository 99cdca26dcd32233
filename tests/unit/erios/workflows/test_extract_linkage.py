"""The attacks by linkage tidy up: who is who is nowhere once they are over, or have failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from erios.workflows import extract_linkage
from erios.workflows.extract_linkage import attack_by_linkage


class Others:
    """Extracts of other studies, as the selector gives them."""

    def __init__(self, *numbers: str) -> None:
        self.found = [SimpleNamespace(number=n, study=SimpleNamespace(number="E2"), key_id="k1") for n in numbers]

    def exclude(self, **_study: object) -> Others:
        return self

    def order_by(self, _name: str) -> Others:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(self.found)


EXTRACT: Any = SimpleNamespace(number="E1-X01", study=SimpleNamespace(number="E1"), key_id="k1")
SPECIFICATION: Any = SimpleNamespace(cohort="c", tables=())


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

    monkeypatch.setattr(extract_linkage, "extracts_with_data", lambda: Others("E2-X01"))
    monkeypatch.setattr(extract_linkage, "specification_of", lambda _other: SPECIFICATION)
    monkeypatch.setattr(extract_linkage, "workshop_of", lambda number, _settings: tmp_path / number)
    monkeypatch.setattr(extract_linkage, "folder_of", lambda other, _settings: tmp_path / other.number)
    monkeypatch.setattr(extract_linkage, "study_key", lambda *_: None)
    monkeypatch.setattr(extract_linkage, "write_truth", write)
    monkeypatch.setattr(extract_linkage, "warehouse_rows", lambda *_: {})
    monkeypatch.setattr(extract_linkage, "link_rows", fail)

    with pytest.raises(MemoryError):
        attack_by_linkage(EXTRACT, SPECIFICATION, None, settings)  # type: ignore[arg-type]
    assert [path.exists() for path in truths] == [False]
