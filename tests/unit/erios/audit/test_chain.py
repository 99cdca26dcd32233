"""The chain of events without its database: how events hang together, and what is said of a broken chain."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from erios.audit.chain import FIELDS, GENESIS, Draft, Event, faults, is_authentic, link, seal_of
from erios.errors import KeyringError
from etl.sealing import SealingKey

KEY = SealingKey("k1", b"k" * 32)
DRAFTS = [Draft("read"), Draft("export", "study-1", "because", {"rows": 3, "é": None}), Draft("erase", object="p")]
TIME = "2031-05-05T10:00:00+00:00"


def find_key(key_id: str) -> SealingKey:
    if key_id != KEY.key_id:
        raise KeyringError("no such key")
    return KEY


def chain() -> list[Event]:
    return link(DRAFTS, (0, GENESIS), "ada", TIME, KEY)


def resealed(event: Event, **changes: Any) -> Event:
    """The event with other fields and a seal that fits them, as only whoever holds the key can make it."""
    changed = replace(event, **changes)
    return replace(changed, seal=seal_of(changed.row()[:-1], KEY))


def test_linked_events_carry_what_was_drafted() -> None:
    first, second, third = chain()

    assert first.row()[:8] == (1, TIME, "ada", "read", "", "", "{}", "k1")
    assert (second.number, second.action, second.object, second.reason) == (2, "export", "study-1", "because")
    assert second.parsed_details() == {"rows": 3, "é": None}
    assert second.details == '{"rows": 3, "\\u00e9": null}'
    assert (third.number, third.object) == (3, "p")


def test_each_event_holds_the_seal_of_the_one_before() -> None:
    first, second, third = chain()

    assert (first.previous, second.previous, third.previous) == (GENESIS, first.seal, second.seal)
    assert GENESIS == "0" * 64


def test_events_follow_those_that_are_there() -> None:
    first, *_ = chain()

    (next_one,) = link([Draft("later")], (first.number, first.seal), "bob", TIME, KEY)

    assert (next_one.number, next_one.previous, next_one.actor) == (2, first.seal, "bob")
    assert list(faults([next_one], find_key, (first.number, first.seal))) == []


def test_the_seal_is_an_hmac_over_every_other_field() -> None:
    event = chain()[1]
    fields = json.dumps([getattr(event, name) for name in FIELDS[:-1]]).encode()

    assert event.seal == hmac.digest(KEY.secret, fields, "sha256").hex()


def test_a_whole_chain_has_no_fault() -> None:
    assert list(faults(chain(), find_key)) == []
    assert all(is_authentic(event, find_key) for event in chain())


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in ("number", "previous", "key_id")])
def test_a_changed_field_is_found(name: str) -> None:
    first, second, third = chain()
    changed = replace(second, **{name: getattr(second, name)[:-1] + "x"})

    assert "event 2 was changed or did not come from erios" in list(faults([first, changed, third], find_key))


def test_an_event_that_does_not_hold_the_seal_before_it_is_found_although_its_own_seal_fits() -> None:
    first, second, third = chain()
    forged = resealed(second, previous=GENESIS)
    last = resealed(third, previous=forged.seal)

    assert list(faults([first, forged, last], find_key)) == [
        "event 2 does not follow the event before it: one was removed, moved or put in"
    ]


def test_missing_events_are_found() -> None:
    first, _, third = chain()

    assert list(faults([first, third], find_key)) == ["events are missing before event 3: 2 should follow"]
    assert list(faults([third], find_key)) == ["events are missing before event 3: 1 should follow"]


def test_a_key_that_is_gone_is_named() -> None:
    event = resealed(chain()[0], key_id="k0")

    assert list(faults([event], find_key)) == ["event 1 bears the seal of a key that the keyring does not hold"]


@pytest.mark.parametrize("change", [{"number": True}, {"number": "1"}, {"actor": None}, {"details": 5}])
def test_a_field_of_another_type_is_not_authentic(change: dict[str, Any]) -> None:
    assert not is_authentic(resealed(chain()[0], **change), find_key)


def test_a_seal_that_is_no_text_of_a_seal_is_refused_without_an_error() -> None:
    assert not is_authentic(replace(chain()[0], seal="\udcff"), find_key)
