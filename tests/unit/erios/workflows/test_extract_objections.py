"""Objections against releases and extracts, by keyed names; the register and the files are stand-ins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from erios.errors import InputError
from erios.workflows import extract_objections
from erios.workflows.extract_objections import check_objections, objections_after, turn_touched_stale
from etl.warehouse.columns import IDENTITY


class Rows:
    """A relation of aliases that remembers how it was filtered."""

    def __init__(self, **aliases: list[str]) -> None:
        self.aliases, self.condition = aliases, ""

    def filter(self, condition: str) -> Rows:
        self.condition = condition.split(maxsplit=1)[0]
        return self

    def project(self, column: str) -> Rows:
        assert column == "alias"
        return self

    def fetchall(self) -> list[tuple[str]]:
        return [(alias,) for alias in self.aliases[self.condition]]


def release_of(rows: Rows, tables: tuple[str, ...] = (IDENTITY,), key_id: str = "k1") -> Any:
    return SimpleNamespace(id="r000002", key_id=key_id, tables=dict.fromkeys(tables), duckdb=lambda _table: rows)


@pytest.fixture
def objectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two patients object; their keyed names are a and b."""
    monkeypatch.setattr(extract_objections, "_objectors", lambda _settings, _key_id: ["a", "b"])


@pytest.mark.usefixtures("objectors")
@pytest.mark.parametrize(("objects", "newer"), [(["a", "b", "c"], 0), (["a"], 1), ([], 2)])
def test_a_release_is_behind_by_the_objectors_it_does_not_know(objects: list[str], newer: int, settings: Any) -> None:
    assert objections_after(release_of(Rows(objects=objects)), settings) == newer


@pytest.mark.usefixtures("objectors")
def test_a_release_without_identities_knows_no_objector(settings: Any) -> None:
    assert objections_after(release_of(Rows(objects=["a", "b"]), tables=()), settings) == 2


@pytest.mark.usefixtures("objectors")
def test_a_build_from_a_release_that_is_behind_is_refused_with_the_way_out(settings: Any) -> None:
    check_objections(release_of(Rows(objects=["a", "b"])), settings)
    with pytest.raises(InputError, match=r"1 entries .* newer than release r000002: run `erios etl refresh`"):
        check_objections(release_of(Rows(objects=["b"])), settings)


@pytest.mark.usefixtures("objectors")
@pytest.mark.parametrize(("key_id", "names"), [("k1", {"a", "b", "alias"}), ("k0", {"a", "b"})])
def test_an_extract_is_searched_for_aliases_under_its_own_key_only(
    key_id: str, names: set[str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[set[str]] = []
    stale: list[str] = []
    extract = SimpleNamespace(number="E1-X01", key_id=key_id)

    def holds(_extract: object, keys: set[str], _settings: object) -> bool:
        searched.append(keys)
        return True

    monkeypatch.setattr(extract_objections, "latest", lambda _folder: release_of(Rows(excluded=["alias"])))
    monkeypatch.setattr(extract_objections, "extracts_with_data", lambda: [extract])
    monkeypatch.setattr(extract_objections, "holds", holds)
    monkeypatch.setattr(extract_objections, "turn_stale", lambda *, extract, reason: stale.append(extract.number))

    assert turn_touched_stale(settings) == stale == ["E1-X01"]
    assert searched == [names]


@pytest.mark.usefixtures("objectors")
def test_an_extract_that_holds_nobody_who_objects_stays_as_it_is(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract_objections, "latest", lambda _folder: None)
    monkeypatch.setattr(extract_objections, "extracts_with_data", lambda: [SimpleNamespace(number="X", key_id="k1")])
    monkeypatch.setattr(extract_objections, "holds", lambda *_: False)
    monkeypatch.setattr(extract_objections, "turn_stale", lambda **_: pytest.fail("turned stale"))

    assert turn_touched_stale(settings) == []
