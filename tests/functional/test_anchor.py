"""`erios audit anchor`: both zones put back from one old copy are found by whoever kept a later end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from erios.audit import append, read_events, verify
from erios.settings import Settings
from tests.functional.test_audit import erios
from tests.timestamp_authority import Authority, make_authority, serving


@pytest.fixture
def home(settings: Settings, keyring: Path) -> Settings:
    """Settings with a keyring and three events."""
    for number in range(3):
        append(settings, "test.x", details={"n": number})
    return settings


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with serving(make_authority(tmp_path_factory.mktemp("tsa") / "one")) as running:
        yield running


@pytest.fixture
def stamping(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setenv("ERIOS_ANCHOR__TIMESTAMP_URL", authority.url)
    monkeypatch.setenv("ERIOS_ANCHOR__TIMESTAMP_AUTHORITY", str(authority.root))
    authority.answer = None
    return authority


def test_two_zones_put_back_together_are_whole_in_themselves_and_found_by_the_anchor(home: Settings, tmp_path: Path):
    old, kept = tmp_path / "old", tmp_path / "kept.anchor"
    shutil.copytree(home.home, old)
    append(home, "study.decide", object="E2031-001")
    assert erios("anchor", str(kept)).returncode == 0
    assert erios("verify", "--anchor", str(kept)).returncode == 0

    for zone in ("governance", "identity"):  # the rollback
        shutil.rmtree(home.home / zone)
        shutil.copytree(old / zone, home.home / zone)

    assert verify(home).faults == ()
    found = erios("verify", "--anchor", str(kept))
    assert found.returncode == 6
    assert "event 4 is not there, but was when the anchor of " in found.stderr
    append(home, "study.decide", object="E2031-002")  # and life goes on, with another fourth event
    assert erios("verify").returncode == 0
    found = erios("verify", "--json", "--anchor", str(kept))
    assert found.returncode == 6
    assert "event 4 is another one than when the anchor of " in json.loads(found.stdout)["faults"][0]


def test_an_anchor_holds_for_good_and_is_on_record(home: Settings, tmp_path: Path):
    kept = tmp_path / "kept.anchor"
    done = erios("anchor", str(kept))

    seal = list(read_events(home))[2].seal
    assert done.stdout.startswith(f"{kept} anchors 3 events, last seal {seal}, without a time-stamp")
    for number in range(3):
        append(home, "test.y", details={"n": number})
    whole = erios("verify", "--anchor", str(kept))
    assert (whole.returncode, whole.stderr) == (0, "")
    assert "It holds the 3 events of the anchor of " in whole.stdout
    (noted,) = read_events(home, actions="audit.")
    assert (noted.action, noted.parsed_details()) == ("audit.anchor", {"events": 3, "timestamped": False})
    told = kept.read_text()
    assert "test.x" not in told
    again = erios("anchor", str(kept))
    assert (again.returncode, kept.read_text()) == (3, told)


def test_the_hospitals_authority_gives_the_time_and_is_sent_a_digest_alone(
    home: Settings, stamping: Authority, tmp_path: Path
):
    kept = tmp_path / "kept.anchor"
    done = erios("anchor", str(kept))

    assert (done.returncode, done.stderr) == (0, "")
    assert ", time-stamped." in done.stdout
    query = (stamping.folder / "query.tsq").read_bytes()
    assert list(read_events(home))[2].seal.encode() not in query
    assert len(query) < 100
    assert ", time-stamped 20" in erios("verify", "--anchor", str(kept)).stdout


@pytest.mark.parametrize("field", ["events", "seal"])
def test_a_time_stamp_is_of_its_own_end_alone(home: Settings, stamping: Authority, tmp_path: Path, field: str):
    kept = tmp_path / "kept.anchor"
    erios("anchor", str(kept))
    told = json.loads(kept.read_text())
    kept.write_text(json.dumps(told | {"events": 2, "seal": list(read_events(home))[1].seal, field: told[field]}))

    found = erios("verify", "--anchor", str(kept))
    assert found.returncode == 3
    assert "the anchor's time-stamp does not hold" in found.stderr


def test_the_time_stamp_of_another_authority_does_not_hold(
    home: Settings, stamping: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kept = tmp_path / "kept.anchor"
    erios("anchor", str(kept))
    other = make_authority(tmp_path / "other", "somebody else")
    monkeypatch.setenv("ERIOS_ANCHOR__TIMESTAMP_AUTHORITY", str(other.root))

    assert erios("verify", "--anchor", str(kept)).returncode == 3
    refused = erios("anchor", str(tmp_path / "second.anchor"))
    assert refused.returncode == 8
    assert "gave a time-stamp that does not hold" in refused.stderr
    assert not (tmp_path / "second.anchor").exists()


def test_an_authority_that_answers_nonsense_or_nothing_is_one_sentence(
    home: Settings, stamping: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stamping.answer = b"no time today"
    assert "gave a time-stamp that does not hold" in erios("anchor", str(tmp_path / "a")).stderr
    monkeypatch.setenv("ERIOS_ANCHOR__TIMESTAMP_URL", "http://127.0.0.1:1/tsa")
    silent = erios("anchor", str(tmp_path / "a"))

    assert (silent.returncode, silent.stderr.count("\n")) == (8, 1)
    assert "the time-stamping authority http://127.0.0.1:1/tsa does not answer" in silent.stderr
    assert list(read_events(home, actions="audit.")) == []


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "events": 0, "seal": "x", "made": ""}'])
def test_what_is_no_anchor_is_one_sentence(home: Settings, tmp_path: Path, text: str):
    path = tmp_path / "kept.anchor"
    path.write_text(text)
    done = erios("verify", "--anchor", str(path))

    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "anchor" in done.stderr


def test_an_empty_or_damaged_record_is_not_anchored(settings: Settings, keyring: Path, tmp_path: Path):
    empty = erios("anchor", str(tmp_path / "a"))
    assert (empty.returncode, (tmp_path / "a").exists()) == (3, False)
    append(settings, "test.x")
    (settings.identity / "audit-head.sealed").unlink()
    damaged = erios("anchor", str(tmp_path / "a"))
    assert (damaged.returncode, (tmp_path / "a").exists()) == (6, False)
