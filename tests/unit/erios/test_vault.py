"""The vault: keys of its own, old seals that still open."""

import base64
import json

import pytest

from erios.keys import derive_key, init_keyring, read_key
from erios.vault import Vault, sealing_key
from etl.errors import StorageError


def test_what_an_older_key_sealed_opens_after_the_keyring_has_a_new_one(keyring):
    sealed = Vault(keyring).seal(b"old", "place")
    ring = json.loads(keyring.read_text())
    ring["keys"]["new0new0"] = {"secret": base64.b64encode(b"n" * 32).decode(), "created": "2030-01-01T00:00:00+00:00"}
    ring["current"] = "new0new0"
    keyring.write_text(json.dumps(ring))

    vault = Vault(keyring)
    assert vault.key().key_id == "new0new0"
    assert vault.unseal(sealed, "place") == b"old"
    assert vault.unseal(vault.seal(b"new", "place"), "place") == b"new"


def test_another_keyring_with_the_same_id_opens_nothing(keyring, tmp_path):
    sealed = Vault(keyring).seal(b"x", "place")
    ring = json.loads(keyring.read_text())
    ring["keys"][ring["current"]]["secret"] = base64.b64encode(b"z" * 32).decode()
    keyring.write_text(json.dumps(ring))

    with pytest.raises(StorageError, match="damaged"):
        Vault(keyring).unseal(sealed, "place")


def test_sealing_digests_and_pseudonyms_have_keys_of_their_own(keyring):
    secrets = {sealing_key(keyring).secret, read_key(keyring).secret}
    secrets |= {
        derive_key(keyring, purpose).secret for purpose in (b"erios identity zone: digests", b"erios audit chain")
    }

    assert len(secrets) == 4


def test_a_digest_depends_on_the_keyring(keyring, tmp_path):
    other = tmp_path / "other" / "keyring.json"
    init_keyring(other)

    assert Vault(keyring).digest(b"x") == Vault(keyring).digest(b"x")
    assert len({Vault(keyring).digest(b"x"), Vault(keyring).digest(b"y"), Vault(other).digest(b"x")}) == 3


def test_a_vault_shows_no_key(keyring):
    vault = Vault(keyring)
    vault.key()

    assert repr(vault) == f"Vault(keyring={keyring!r})"
