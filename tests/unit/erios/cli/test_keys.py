"""``erios keys``: what is made, what is shown, what never is."""

import json

import pytest
from typer.testing import CliRunner

from erios.cli import app
from erios.errors import KeyringError
from erios.keys import read_key

runner = CliRunner()


def erios(*arguments: str):
    return runner.invoke(app, arguments, catch_exceptions=True)


def test_init_makes_the_keyring_and_names_it(erios_home):
    result = erios("keys", "init", "--json")

    keyring = erios_home / "identity" / "keyring.json"
    answer = json.loads(result.stdout)
    assert answer == {"keyring": str(keyring), "key": read_key(keyring).key_id}
    assert "Back it up" in result.stderr


def test_init_refuses_a_second_keyring(erios_home):
    erios("keys", "init")

    result = erios("keys", "init")

    assert isinstance(result.exception, KeyringError)
    assert "there is a keyring at" in str(result.exception)


@pytest.mark.parametrize("arguments", [("keys", "list"), ("keys", "list", "--json")])
def test_list_shows_ids_and_dates_and_no_secret(keyring, arguments):
    ring = json.loads(keyring.read_text())
    entry = ring["keys"][ring["current"]]

    result = erios(*arguments)

    assert ring["current"] in result.output
    assert entry["created"] in result.output
    assert entry["secret"] not in result.output


def test_list_without_a_keyring_says_how_to_make_one():
    assert "run `erios keys init`" in str(erios("keys", "list").exception)
