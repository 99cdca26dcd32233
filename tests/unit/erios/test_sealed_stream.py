"""A sealed stream opens whole under its passphrase and place, and not at all otherwise."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from erios import sealed_stream
from erios.errors import StorageError
from erios.sealed_stream import Opener, Sealer


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks, and a key that costs nothing."""
    monkeypatch.setattr(sealed_stream, "CHUNK", 8)
    monkeypatch.setattr(sealed_stream, "_WORK", 2)


def sealed(pieces: list[bytes], passphrase: bytes = b"right", place: str = "here") -> bytes:
    target = io.BytesIO()
    sealer = Sealer(target, passphrase, place)
    for piece in pieces:
        sealer.write(piece)
    sealer.close()
    return target.getvalue()


def opened(stream: bytes, passphrase: bytes = b"right", place: str = "here") -> bytes:
    return Opener(io.BytesIO(stream), passphrase, place).read()


@pytest.mark.usefixtures("cheap")
@settings(suppress_health_check=["function_scoped_fixture"])  # type: ignore[list-item]
@given(some.lists(some.binary(max_size=30), max_size=6), some.integers(1, 9))
def test_what_was_sealed_opens_in_any_pieces(pieces: list[bytes], size: int) -> None:
    opener, read = Opener(io.BytesIO(sealed(pieces)), b"right", "here"), b""
    while piece := opener.read(size):
        read += piece

    assert read == b"".join(pieces)


@pytest.mark.parametrize("whole", [b"", b"12345678", b"1234567890123456", b"12345678901234567890"])
def test_nothing_else_opens(whole: bytes) -> None:
    stream = sealed([whole])
    head = len(stream) - len(whole) - 16 * max(1, -(-len(whole) // 8))

    for place in range(head, len(stream)):
        with pytest.raises(StorageError):
            opened(stream[:place] + bytes([stream[place] ^ 1]) + stream[place + 1 :])
    for end in range(len(stream)):
        with pytest.raises(StorageError):
            opened(stream[:end])
    with pytest.raises(StorageError, match="passphrase"):
        opened(stream, b"wrong")
    with pytest.raises(StorageError):
        opened(stream, place="there")
    if len(whole) > 16:
        first, second = stream[head : head + 24], stream[head + 24 : head + 48]
        with pytest.raises(StorageError):
            opened(stream[:head] + second + first + stream[head + 48 :])


def test_what_was_sealed_shows_nothing() -> None:
    assert b"Dupont" not in sealed([b"Madame Dupont, 12 rue des Lilas"])
