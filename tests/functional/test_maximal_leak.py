"""The maximal leak test: a token in every text element of every R4 type is in no byte outside landing and identity."""

from __future__ import annotations

import pytest

from etl.ingest.quarantine import refused
from tests.functional.test_leak import _command, _contents
from tests.maximal import TokenScanner, write_export


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """The folder of an export of maximal resources, and the tokens planted in each."""
    folder = tmp_path_factory.mktemp("maximal") / "export"
    return folder, write_export(folder, 1).planted


@pytest.fixture(scope="module")
def loaded(hospital, tmp_path_factory):
    """The home of a load in its own process, with its gate, and what it printed."""
    home = tmp_path_factory.mktemp("maximal-home") / "home"
    assert _command(home, "keys", "init").returncode == 0
    return home, _command(home, "etl", "load", str(hospital[0]))


@pytest.fixture(scope="module")
def scanner(hospital):
    return TokenScanner([token for tokens in hospital[1].values() for token in tokens])


@pytest.mark.slow
def test_the_records_are_written(hospital, loaded):
    home, done = loaded
    assert done.returncode == 0, done.stderr.decode()[-500:]
    assert sum(map(len, hospital[1].values())) >= 10_000
    assert list(refused(home / "identity" / "quarantine")) == []


@pytest.mark.slow
def test_the_scanner_finds_tokens_where_they_may_be_and_in_every_form(hospital, loaded, scanner):
    import base64

    token = next(tokens[3] for tokens in hospital[1].values())
    landing = loaded[0] / "landing"
    landed = {found for path in landing.rglob("*") if path.is_file() for found in scanner.find(path.read_bytes())}
    assert landed == {token for tokens in hospital[1].values() for token in tokens}
    for form in (token, token.lower(), token[::-1], token.encode().hex(), base64.b64encode(token.encode()).decode()):
        assert scanner.find(b"some text " + form.encode() + b" after") == {token}


@pytest.mark.slow
def test_no_token_is_outside_landing_and_identity(loaded, scanner):
    home, done = loaded
    found = {
        str(path.relative_to(home)): tokens
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.relative_to(home).parts[0] not in ("landing", "identity")
        for data in _contents(path)
        if (tokens := scanner.find(data))
    }
    assert (found, scanner.find(done.stdout + done.stderr)) == ({}, set())
