"""``erios keys``: make the keyring once, and list what it holds. It must never print a secret."""

from __future__ import annotations

from dataclasses import asdict

from erios.audit import append
from erios.cli.output import AsJson, answer, command_group, print_table, write_json
from erios.keys import init_keyring, list_keys, rotate_key
from erios.settings import load_settings
from erios.workflows.signing_keys import publish_keys

app = command_group("Make and list the keys of the pseudonyms.")


@app.command()
def init(as_json: AsJson = False) -> None:
    """Make the keyring with its first key, in the identity zone, readable by its owner alone.

    It is done once for a warehouse and refuses to touch a keyring that exists. Back the file up: without it
    a patient's new data cannot join the old.

    Example: erios keys init
    """
    settings = load_settings()
    settings.make_zones()
    key_id = init_keyring(settings.keyring)
    if as_json:
        write_json({"keyring": str(settings.keyring), "key": key_id})
    answer(beside_json=as_json).print(f"Made the keyring {settings.keyring} with key {key_id}. Back it up.")


@app.command()
def rotate(as_json: AsJson = False) -> None:
    """Add a new key and make it current. Loads wait until `erios etl rebuild` has made every pseudonym anew.

    Example: erios keys rotate
    """
    settings = load_settings()
    key_id = rotate_key(settings.keyring)
    append(settings, "keys.rotate", object=key_id)
    publish_keys(settings)
    if as_json:
        write_json({"keyring": str(settings.keyring), "key": key_id})
    answer(beside_json=as_json).print(f"Key {key_id} is current. Back up the keyring, then run `erios etl rebuild`.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the keyring's keys: id, date, and which one is current. Secrets are never shown.

    Example: erios keys list
    """
    entries = list_keys(load_settings().keyring)
    if as_json:
        return write_json([asdict(entry) for entry in entries])
    rows = [(entry.key_id, entry.created, "current" if entry.current else "") for entry in entries]
    return print_table("Keys", ("key", "made", ""), rows, numbers=0)
