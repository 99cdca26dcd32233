"""Who is who: chains, forks and rings of replaced identities, business identifiers, and who objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from etl.errors import StorageError
from etl.merge.patient_identity import IdentityChange, IdentitySources, resolve_identities, survivors
from etl.merge.versions import DISCARDED_COLUMNS, REPLACED_COLUMNS
from etl.warehouse.columns import IDENTIFIER_COLUMNS, IDENTITY_COLUMNS, LINK_COLUMNS
from tests.unit.etl.merge.parquet import Row, read, write


@pytest.mark.parametrize(
    ("edges", "last"),
    [
        ([], {}),
        ([("a", "b")], {"a": "b"}),
        ([("a", "b"), ("b", "c"), ("c", "d")], {"a": "d", "b": "d", "c": "d"}),
        ([("a", "c"), ("b", "c")], {"a": "c", "b": "c"}),
        ([("a", "b"), ("b", "a")], {"b": "a"}),
        ([("c", "b"), ("b", "d"), ("d", "b")], {"c": "b", "d": "b"}),
        ([("z", "c"), ("c", "b"), ("b", "a"), ("a", "c")], {"z": "a", "c": "a", "b": "a"}),
        ([("a", "a")], {}),
        ([("a", "a"), ("a", "b")], {"a": "b"}),
        ([("b", "d"), ("b", "c")], {"b": "c"}),
        ([("b", "d"), ("b", "c"), ("c", "a"), ("d", "e")], {"b": "a", "c": "a", "d": "e"}),
    ],
)
def test_replaced_identities_end_at_their_survivor_in_whatever_order(
    edges: list[tuple[str, str]], last: dict[str, str]
) -> None:
    for order in permutations(edges):
        assert survivors(order) == last


Write = Callable[..., IdentityChange]


@pytest.fixture
def identify(tmp_path: Path) -> Write:
    """Write the identity table from rows of each source."""

    def file(name: str, columns: dict[str, str], rows: Sequence[Row]) -> str:
        return write(tmp_path / name / "00000000-ffffffff-a.parquet", columns, rows)

    def run(
        *,
        old: Sequence[Row] = (),
        links: Sequence[Row] = (),
        identifiers: Sequence[Row] = (),
        new_links: Sequence[Row] = (),
        new_identifiers: Sequence[Row] = (),
        referred: Sequence[str] = (),
        objectors: Sequence[tuple[str, bool]] = (),
        discarded: Sequence[int] = (),
        replaced: Sequence[str] = (),
        instead: Mapping[str, Any] | None = None,
    ) -> IdentityChange:
        seq = {"seq": "BIGINT"}
        file("discarded", DISCARDED_COLUMNS, [(number,) for number in discarded])
        file("replaced", REPLACED_COLUMNS, [("Patient", key, key) for key in replaced])
        sources: dict[str, Any] = {
            "identity": [file("old", IDENTITY_COLUMNS, old)],
            "links": [file("links", LINK_COLUMNS, links)],
            "identifiers": [file("identifiers", IDENTIFIER_COLUMNS, identifiers)],
            "staged_links": [file("new_links", {**seq, **LINK_COLUMNS}, new_links)],
            "staged_identifiers": [file("new_identifiers", {**seq, **IDENTIFIER_COLUMNS}, new_identifiers)],
            "staged_referred": [file("referred", {"identifier_key": "VARCHAR"}, [(key,) for key in referred])],
            "objectors": objectors,
            "lists": tmp_path,
        }
        return resolve_identities(IdentitySources(**{**sources, **(instead or {})}), tmp_path)

    return run


@pytest.fixture
def identity(tmp_path: Path) -> Callable[[], list[Row]]:
    return lambda: read(tmp_path / "identity")


@pytest.fixture
def moved(tmp_path: Path) -> Callable[[], list[Row]]:
    return lambda: read(tmp_path / "moved")


Rows = Callable[[], list[Row]]
P1_IS_P2 = ("p1", "p2", False, False, False)


def test_nothing_known_is_an_empty_table(identify: Write, identity: Rows, moved: Rows) -> None:
    assert identify() == IdentityChange(False, frozenset())
    assert identity() == moved() == []


@pytest.mark.parametrize("link", [(1, "p1", "p2", None), (1, "p2", None, "p1")])
def test_a_replaced_patient_is_an_alias_and_moves(identify: Write, identity: Rows, moved: Rows, link: Row) -> None:
    assert identify(new_links=[link]) == IdentityChange(True, frozenset())
    assert identity() == [P1_IS_P2]
    assert moved() == [("p1", "p1", False, False, True)]


def test_a_link_of_a_version_that_lost_does_not_count(identify: Write, identity: Rows) -> None:
    links = [(1, "p1", "p2", None), (2, "p3", "p4", None)]

    identify(new_links=links, discarded=[1])

    assert identity() == [("p3", "p4", False, False, False)]


def test_links_of_the_last_release_count_until_their_record_is_replaced(identify: Write, identity: Rows) -> None:
    identify(links=[("p1", "p2", None), ("p3", "p4", None)], replaced=["p1"])

    assert identity() == [("p3", "p4", False, False, False)]


def test_the_same_table_again_is_no_change(identify: Write, moved: Rows) -> None:
    assert identify(links=[("p1", "p2", None)], old=[P1_IS_P2]) == IdentityChange(False, frozenset())
    assert moved() == []


def test_an_identity_that_is_its_own_again_moves_back_and_is_read_again(
    identify: Write, identity: Rows, moved: Rows
) -> None:
    assert identify(links=[("p1", "p2", None)], replaced=["p1"], old=[P1_IS_P2]) == IdentityChange(
        True, frozenset({"p1"})
    )
    assert identity() == []
    assert moved() == [("p1", "p2", False, False, False)]


def test_an_identity_replaced_by_another_one_moves_without_being_read_again(identify: Write, moved: Rows) -> None:
    found = identify(links=[("p1", "p3", None)], old=[P1_IS_P2])

    assert found == IdentityChange(True, frozenset())
    assert moved() == [("p1", "p2", False, False, True)]


NAME = "name-1"


def test_an_identifier_that_is_referred_to_means_its_one_resource(identify: Write, identity: Rows, moved: Rows) -> None:
    found = identify(new_identifiers=[(1, NAME, "p1"), (2, "name-2", "p2")], referred=[NAME])

    assert found == IdentityChange(True, frozenset())
    assert identity() == [(NAME, "p1", True, False, False)]
    assert moved() == []


def test_an_identifier_of_two_resources_means_none(identify: Write, identity: Rows) -> None:
    identify(new_identifiers=[(1, NAME, "p1"), (2, NAME, "p2")], referred=[NAME])

    assert identity() == [(NAME, None, True, False, False)]


def test_an_identifier_that_one_resource_has_twice_means_it(identify: Write, identity: Rows) -> None:
    identify(new_identifiers=[(1, NAME, "p1")], identifiers=[(NAME, "p1")], referred=[NAME])

    assert identity() == [(NAME, "p1", True, False, False)]


def test_an_identifier_of_a_lost_or_replaced_version_does_not_count(identify: Write, identity: Rows) -> None:
    identify(
        new_identifiers=[(1, NAME, "p1"), (2, NAME, "p2")],
        discarded=[1],
        identifiers=[(NAME, "p3")],
        replaced=["p3"],
        referred=[NAME],
    )

    assert identity() == [(NAME, "p2", True, False, False)]


def test_an_identifier_means_the_survivor_of_its_resource(identify: Write, identity: Rows) -> None:
    identify(new_identifiers=[(1, NAME, "p1")], new_links=[(1, "p1", "p2", None)], referred=[NAME])

    assert identity() == [(NAME, "p2", True, False, False), P1_IS_P2]


def test_an_identifier_once_referred_to_is_followed_for_ever(identify: Write, identity: Rows, moved: Rows) -> None:
    found = identify(identifiers=[(NAME, "p1")], old=[(NAME, None, True, False, False)])

    assert found == IdentityChange(True, frozenset())
    assert identity() == [(NAME, "p1", True, False, False)]
    assert moved() == [(NAME, NAME, True, False, False)]


def test_an_identifier_with_another_meaning_moves_from_the_old_one(identify: Write, moved: Rows) -> None:
    identify(identifiers=[(NAME, "p2")], old=[(NAME, "p1", True, False, False)])

    assert moved() == [(NAME, "p1", True, False, False)]


def test_a_patient_who_objects_is_excluded(identify: Write, identity: Rows, moved: Rows) -> None:
    assert identify(objectors=[("p1", False)]) == IdentityChange(True, frozenset())
    assert identity() == [("p1", "p1", False, True, True)]
    assert moved() == [("p1", "p1", False, True, False)]


def test_an_objection_excludes_every_alias_of_the_patient(identify: Write, identity: Rows) -> None:
    identify(
        new_links=[(1, "p1", "p2", None), (2, "p3", "p2", None), (3, "p4", "p5", None)],
        new_identifiers=[(1, NAME, "p2")],
        referred=[NAME],
        objectors=[("p1", False)],
    )

    assert identity() == [
        (NAME, "p2", True, False, True),
        ("p1", "p2", False, True, True),
        ("p2", "p2", False, False, True),
        ("p3", "p2", False, False, True),
        ("p4", "p5", False, False, False),
    ]


def test_an_objection_by_identifier_excludes_its_patient(identify: Write, identity: Rows, moved: Rows) -> None:
    identify(new_identifiers=[(1, NAME, "p1")], objectors=[(NAME, True)])

    assert identity() == [(NAME, "p1", True, True, True), ("p1", "p1", False, False, True)]
    assert moved() == [("p1", "p1", False, True, False)]


def test_an_objection_by_an_unknown_identifier_excludes_nobody_yet(identify: Write, identity: Rows) -> None:
    identify(objectors=[(NAME, True)], new_links=[(1, "p1", "p2", None)])

    assert identity() == [(NAME, None, True, True, True), P1_IS_P2]


def test_an_objection_taken_back_brings_the_patient_back(identify: Write, identity: Rows, moved: Rows) -> None:
    old = [("p1", "p1", False, True, True), ("p3", "p3", False, True, True)]

    assert identify(old=old, objectors=[("p3", False)]) == IdentityChange(True, frozenset({"p1"}))
    assert identity() == [("p3", "p3", False, True, True)]
    assert moved() == [("p1", "p1", False, False, False)]


def test_an_objection_taken_back_while_replaced_brings_the_alias_back(identify: Write, moved: Rows) -> None:
    old = [("p1", "p2", False, True, True), ("p2", "p2", False, False, True)]

    found = identify(old=old, links=[("p1", "p2", None)])

    assert found == IdentityChange(True, frozenset({"p1", "p2"}))
    assert moved() == [("p1", "p2", False, False, True), ("p2", "p2", False, False, False)]


@pytest.mark.parametrize(
    ("source", "columns", "row"),
    [
        ("identity", IDENTITY_COLUMNS, P1_IS_P2),
        ("links", LINK_COLUMNS, ("p1", "p2", None)),
        ("identifiers", IDENTIFIER_COLUMNS, (NAME, "p1")),
    ],
)
def test_a_damaged_file_of_the_last_release_is_refused(
    identify: Write, tmp_path: Path, source: str, columns: dict[str, str], row: Row
) -> None:
    damaged = write(tmp_path / "bucket=0" / "00000000-ffffffff-a-0123456789abcdef.parquet", columns, [row])

    with pytest.raises(StorageError, match="damaged"):
        identify(instead={source: [damaged]})
