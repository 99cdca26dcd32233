"""The keyring: made once, private, never shown, refused when unfit."""

import base64
import errno
import hmac
import json

import pytest

from erios.errors import KeyringError, StorageError
from erios.keys import derive_key, init_keyring, list_keys, read_key


def test_a_keyring_holds_one_current_key_of_256_random_bits(settings):
    key_id = init_keyring(settings.keyring)

    ring = json.loads(settings.keyring.read_text())
    assert (ring["version"], ring["current"], list(ring["keys"])) == (1, key_id, [key_id])
    assert len(base64.b64decode(ring["keys"][key_id]["secret"])) == 32


def test_the_file_is_its_owners_alone_and_nothing_else_is_left(settings):
    init_keyring(settings.keyring)

    assert settings.keyring.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in settings.identity.iterdir()] == ["keyring.json"]


def test_two_keyrings_differ_in_id_and_secret(tmp_path):
    paths = [tmp_path / name / "keyring.json" for name in "ab"]

    ids = {init_keyring(path) for path in paths}

    assert len(ids) == 2
    assert len({read_key(path).secret for path in paths}) == 2


def test_a_keyring_is_never_overwritten(keyring):
    before = keyring.read_bytes()

    with pytest.raises(KeyringError, match="there is a keyring at"):
        init_keyring(keyring)
    assert keyring.read_bytes() == before


def test_a_keyring_made_meanwhile_is_never_overwritten(keyring, monkeypatch):
    before = keyring.read_bytes()
    monkeypatch.setattr("pathlib.Path.exists", lambda _path: False)

    with pytest.raises(KeyringError, match="nothing was changed"):
        init_keyring(keyring)
    assert keyring.read_bytes() == before
    assert len(list(keyring.parent.iterdir())) == 1


def test_an_identity_zone_that_is_a_file_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match="file is a file; it must be a folder"):
        init_keyring(tmp_path / "file" / "keyring.json")


def test_a_full_disk_leaves_no_keyring(settings, monkeypatch):
    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)

    with pytest.raises(StorageError, match=r"cannot write the keyring .*: No space left on device"):
        init_keyring(settings.keyring)
    assert list(settings.identity.iterdir()) == []


def test_the_secret_is_in_no_repr(keyring):
    key = read_key(keyring)

    assert repr(key) == f"PseudonymKey(key_id='{key.key_id}')"


def test_an_older_key_can_be_read_by_its_id(keyring):
    ring = json.loads(keyring.read_text())
    older = {"secret": base64.b64encode(b"o" * 32).decode(), "created": "2020-01-01T00:00:00+00:00"}
    ring["keys"]["0ld0ld00"] = older
    keyring.write_text(json.dumps(ring))

    assert read_key(keyring, "0ld0ld00").secret == b"o" * 32
    assert read_key(keyring).key_id == ring["current"]
    assert [(entry.key_id, entry.current) for entry in list_keys(keyring)] == [
        ("0ld0ld00", False),
        (ring["current"], True),
    ]


def test_a_missing_keyring_says_how_to_make_one(settings):
    with pytest.raises(KeyringError, match="run `erios keys init`"):
        read_key(settings.keyring)


def test_an_unknown_key_id_answers_with_the_known_ones(keyring):
    known = read_key(keyring).key_id

    with pytest.raises(KeyringError, match=f"no key 'ffff' in .*; it holds {known}"):
        read_key(keyring, "ffff")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_keyring_that_others_can_read_is_refused(keyring, mode):
    keyring.chmod(mode)

    with pytest.raises(KeyringError, match=f"open to others \\(mode {mode:04o}\\)"):
        read_key(keyring)


@pytest.mark.parametrize(
    "damage",
    [
        lambda ring: ring.update(version=2),
        lambda ring: ring.update(current="other"),
        lambda ring: ring.update(keys=[]),
        lambda ring: ring["keys"][ring["current"]].pop("secret"),
        lambda ring: ring["keys"][ring["current"]].update(secret="AAAA"),
        lambda ring: ring["keys"][ring["current"]].update(secret="not base64!"),
    ],
)
def test_a_damaged_keyring_is_refused_without_showing_its_text(keyring, damage):
    ring = json.loads(keyring.read_text())
    secret = ring["keys"][ring["current"]]["secret"]
    damage(ring)
    keyring.write_text(json.dumps(ring))

    with pytest.raises(KeyringError, match="restore it from its backup") as caught:
        read_key(keyring)
    assert secret not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1', "\udcff"])
def test_a_file_that_is_no_keyring_is_refused(keyring, text):
    keyring.write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(KeyringError, match="is damaged"):
        read_key(keyring)


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block of SHA-256, written out."""
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info + b"\x01", "sha256")


def test_a_derived_key_is_hkdf_of_the_secret_for_its_purpose(keyring):
    secret = read_key(keyring).secret

    derived = derive_key(keyring, b"purpose")

    assert derived.secret == hkdf(secret, b"erios derived keys 1", b"purpose")
    assert derived.key_id == read_key(keyring).key_id


def test_derived_keys_of_two_purposes_two_keys_and_the_secret_all_differ(keyring):
    ring = json.loads(keyring.read_text())
    older = {"secret": base64.b64encode(b"o" * 32).decode(), "created": "2020-01-01T00:00:00+00:00"}
    ring["keys"]["0ld0ld00"] = older
    keyring.write_text(json.dumps(ring))

    secrets = {derive_key(keyring, purpose, key).secret for purpose in (b"a", b"b") for key in (None, "0ld0ld00")}

    assert len(secrets | {read_key(keyring).secret, b"o" * 32}) == 6


def test_the_derived_secret_is_in_no_repr(keyring):
    key = derive_key(keyring, b"purpose")

    assert repr(key) == f"SealingKey(key_id='{key.key_id}')"
