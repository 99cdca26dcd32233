"""Opening an extract: who may, when, and only the bytes that were cleared."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from erios.errors import InputError, RefusedError
from erios.extracts.manifest import Manifest, list_files, public_key, root_of, write_manifest
from erios.extracts.opening import Clearance, check_opening, open_verified
from erios.governance.extract import Facts, State
from erios.governance.roles import Person
from erios.governance.words import RuleBroken
from erios.keys import derive_key, init_keyring

NOW = datetime(2031, 5, 5, 12, tzinfo=UTC)
FACTS = Facts(State.RELEASED, "ada", team=frozenset({"ada"}), k=11, expires=date(2031, 5, 5))
ADA, BOB = Person("ada", frozenset()), Person("bob", frozenset())


@pytest.fixture
def extract(tmp_path: Path) -> tuple[Manifest, Path]:
    """A manifest over two files, unsigned, and the folder of extract and keyring."""
    init_keyring(tmp_path / "keyring.json")
    folder = tmp_path / "X1"
    for path in (folder / "data" / "patient" / "part-00000.parquet", folder / "images" / "abc.zip"):
        path.parent.mkdir(parents=True)
        path.write_bytes(path.name.encode())
    files = list_files(folder, {})
    key = derive_key(tmp_path / "keyring.json", b"tests").key_id
    columns: dict[str, dict[str, object]] = {"tables": {"patient": {}}}
    return Manifest("X1", "S1", 1, "r1", columns, {}, key, "c", "2031", files, root_of(files)), tmp_path


def signed(extract: tuple[Manifest, Path]) -> Clearance:
    manifest, home = extract
    write_manifest(home / "X1", manifest, home / "keyring.json")
    return Clearance(FACTS, manifest.root, public_key(home / "keyring.json", manifest.key_id), home / "X1")


def test_what_was_cleared_opens(extract: tuple[Manifest, Path]) -> None:
    opened = open_verified("X1", signed(extract))

    assert opened.tables == ("patient",)
    assert [Path(path).name for path in opened.files("patient")] == ["part-00000.parquet"]
    assert opened.image("abc").name == "abc.zip"


def test_another_root_than_the_cleared_one_is_refused(extract: tuple[Manifest, Path]) -> None:
    clearance = replace(signed(extract), root="0" * 64)

    with pytest.raises(InputError, match="not the extract that was cleared"):
        open_verified("X1", clearance)


def test_a_root_that_is_not_that_of_the_files_is_refused(extract: tuple[Manifest, Path]) -> None:
    manifest, home = extract

    with pytest.raises(InputError, match="is not that of its files"):
        open_verified("X1", signed((replace(manifest, root="0" * 64), home)))


def test_a_file_that_became_a_link_is_refused(extract: tuple[Manifest, Path]) -> None:
    clearance, image = signed(extract), extract[1] / "X1" / "images" / "abc.zip"
    (extract[1] / "elsewhere").write_bytes(image.read_bytes())
    image.unlink()
    image.symlink_to(extract[1] / "elsewhere")

    with pytest.raises(InputError, match=r"images/abc\.zip was changed"):
        open_verified("X1", clearance)


def test_a_table_or_image_that_was_not_cleared_is_refused(extract: tuple[Manifest, Path]) -> None:
    opened = open_verified("X1", signed(extract))

    with pytest.raises(RefusedError, match="no table 'encounter'; tables: patient"):
        opened.files("encounter")
    with pytest.raises(RefusedError, match="no such image"):
        opened.image("other")


@pytest.mark.parametrize(("person", "later"), [(ADA, 1), (BOB, 0)])
def test_nobody_else_and_nobody_later_reads(person: Person, later: int, tmp_path: Path) -> None:
    clearance = Clearance(FACTS, "", "", tmp_path)

    check_opening("X1", clearance, ADA, NOW, None)
    with pytest.raises(RuleBroken):
        check_opening("X1", clearance, person, NOW + timedelta(days=later), None)


def test_a_clock_set_back_opens_nothing(tmp_path: Path) -> None:
    clearance = Clearance(FACTS, "", "", tmp_path)

    check_opening("X1", clearance, ADA, NOW, NOW + timedelta(minutes=5))
    with pytest.raises(RefusedError, match="before the last event on record"):
        check_opening("X1", clearance, ADA, NOW, NOW + timedelta(minutes=6))
