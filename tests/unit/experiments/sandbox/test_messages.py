"""What a hostile training says is one of few forms, or ends the run; the sentence repeats nothing of it."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.errors import SandboxError
from experiments.sandbox.channel import Channel
from experiments.sandbox.messages import (
    MOST_BYTES,
    Ended,
    File,
    Metrics,
    Model,
    Params,
    Trained,
    Verify,
    from_inside,
    shortened,
)

GOOD = [
    Metrics(values={"train/loss": 0.5, "validation/roc auc": float("nan")}, step=3),
    Metrics(values={"group/région/Île-de-France/roc_auc": 1.0, "train/auc:macro": 0.5}, step=0),
    Params(values={"epochs": "3"}),
    File(name="pictures/roc.png"),
    Verify(),
    Trained(weights="0" * 64),
    Model(metadata={"name": "x"}),
    Ended(how="done"),
]
SECRET = "NIR-2690575123456"
BAD: list[Any] = [
    {"kind": "metrics", "values": {SECRET + "\n": 1.0}, "step": 1},
    {"kind": "metrics", "values": {"loss": SECRET}, "step": 1},
    {"kind": "metrics", "values": {"loss": 1.0}, "step": -1},
    {"kind": "metrics", "values": {"loss": 1.0}, "step": 10**400},
    {"kind": "metrics", "values": {"loss": 1.0}, "step": 1, "t": 5},
    {"kind": "file", "name": "../../attempts/1/ended"},
    {"kind": "file", "name": "pictures/../../keyring.png"},
    {"kind": "file", "name": "/etc/passwd"},
    {"kind": "file", "name": "pictures/a.png\n"},
    {"kind": "trained", "weights": "0" * 63},
    {"kind": "tags", "values": {"erios.extract": "E1"}},
    {"kind": "artifact", "artifact": "/", "folder": ""},
    {"kind": "ended", "how": "approved"},
    {"kind": "ended", "how": "done", "reason": "x" * 5000},
    {"kind": "verified"},
    {"kind": "begin", "spec": {}, "rank": {}},
    {"kind": ["metrics"]},
    {"kind": None},
    [],
    "done",
    None,
]


@pytest.mark.parametrize("message", GOOD, ids=lambda message: message.kind)
def test_every_form_comes_through_whole(message: Any) -> None:
    assert from_inside(message.model_dump_json().encode()).model_dump_json() == message.model_dump_json()


@pytest.mark.parametrize("message", BAD, ids=lambda message: json.dumps(message)[:40])
def test_another_form_is_refused_and_not_repeated(message: Any) -> None:
    with pytest.raises(SandboxError, match="broke the protocol") as raised:
        from_inside(json.dumps(message).encode())

    assert SECRET not in str(raised.value)


@given(st.binary(max_size=300) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(repr).map(str.encode))
def test_no_bytes_do_more_than_end_the_run(line: bytes) -> None:
    try:
        message = from_inside(line)
    except SandboxError:
        return
    assert type(message) in {type(good) for good in GOOD}


NAMES = st.sampled_from(["values", "step", "name", "how", "reason", "weights", "metadata"])
VALUES = st.text() | st.integers() | st.dictionaries(st.text(), st.floats() | st.text())


@given(st.dictionaries(NAMES, VALUES), st.sampled_from(["metrics", "params", "file", "ended", "model"]))
def test_no_message_of_the_right_kind_does_more(fields: dict[str, Any], kind: str) -> None:
    try:
        message = from_inside(json.dumps(fields | {"kind": kind}).encode())
    except SandboxError:
        return
    assert message.kind == kind


def test_lines_come_whole_however_they_were_cut() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    theirs.sendall(b'{"a": 1}\n{"b"')
    assert list(channel.lines(1)) == [b'{"a": 1}']
    theirs.sendall(b": 2}\n")
    assert list(channel.lines(1)) == [b'{"b": 2}']
    theirs.close()
    assert (list(channel.lines(1)), channel.is_open) == ([], False)
    channel.close()


def test_an_endless_line_is_not_kept() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    theirs.setblocking(False)

    def listen() -> None:
        while channel.received <= 2 * MOST_BYTES:
            theirs.send(b"x" * 2**16)
            list(channel.lines(0))

    with pytest.raises(SandboxError, match="more than 1000000 bytes"):
        listen()

    assert channel.received < 1.1 * MOST_BYTES
    theirs.close()
    channel.close()


def test_a_sentence_fits_a_message() -> None:
    assert shortened("a\nb\x1b[31m") == "a b [31m"
    assert len(shortened("é" * 5000)) == 1000
