"""Sealing: what was sealed opens with its key at its place, and in no other way."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.errors import PrivacyError, StorageError
from etl.sealing import MAGIC, SealingKey, seal, unseal, write_private

KEY = SealingKey("k1", b"k" * 32)
OTHER = SealingKey("k1", b"o" * 32)


@given(st.binary(), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_opens(data, place):
    assert unseal(seal(data, KEY, place), lambda _id: KEY, place) == data


@given(st.binary(min_size=1, max_size=64), st.data())
def test_one_changed_byte_anywhere_is_found(data, draw):
    sealed = bytearray(seal(data, KEY, "place"))
    place = draw.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= draw.draw(st.integers(1, 255))

    with pytest.raises(StorageError, match=r"sealed data \(place\) are damaged"):
        unseal(bytes(sealed), lambda _id: KEY, "place")


@given(st.binary(max_size=64), st.data())
def test_a_cut_seal_is_found(data, draw):
    sealed = seal(data, KEY, "place")

    with pytest.raises(StorageError, match="damaged"):
        unseal(sealed[: draw.draw(st.integers(0, len(sealed) - 1))], lambda _id: KEY, "place")


def test_another_place_and_another_key_do_not_open_it():
    sealed = seal(b"Patient/1", KEY, "a")

    for keys, place in (({"k1": KEY}, "b"), ({"k1": OTHER}, "a")):
        with pytest.raises(StorageError, match="damaged or of another place"):
            unseal(sealed, keys.__getitem__, place)


def test_the_key_is_asked_for_by_its_id():
    keys = {"k1": KEY, "k2": SealingKey("k2", b"2" * 32)}

    assert [unseal(seal(b"x", key, "p"), keys.__getitem__, "p") for key in keys.values()] == [b"x", b"x"]


def test_a_seal_shows_nothing_of_the_data_and_never_repeats():
    first, second = (seal(b"Patient/clear", KEY, "p") for _ in range(2))

    assert first != second
    assert b"clear" not in first
    assert first.startswith(MAGIC + b"\x02k1")


def test_a_short_key_is_refused_and_a_key_shows_no_secret():
    with pytest.raises(PrivacyError, match="32 secret bytes"):
        SealingKey("k", b"short")
    assert repr(KEY) == "SealingKey(key_id='k1')"


def test_a_private_file_replaces_the_old_one_whole(tmp_path):
    path = tmp_path / "new" / "file"
    write_private(path, b"1")
    write_private(path, b"22")

    assert path.read_bytes() == b"22"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [found.name for found in path.parent.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_private(path, b"old")

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(StorageError, match="nothing was changed: the disk is full"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
