"""The broker's messages: they arrive as they were sent, and whatever else comes is refused without a file left open."""

from __future__ import annotations

import json
import os
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erios.broker.request import (
    LARGEST,
    Answer,
    Request,
    receive_answer,
    receive_request,
    send_answer,
    send_request,
    terminal_of,
)
from erios.errors import UsageError


@pytest.fixture
def sides():
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    with ours, theirs:
        yield ours, theirs


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_request_arrives_with_its_files(sides, tmp_path):
    ours, theirs = sides
    request = Request(["runs", "show", "É1"], {"TERM": "xterm-256color"}, "show")
    with (tmp_path / "attached").open("w+") as file:
        send_request(ours, request, [0, 1, 2, file.fileno()])
        received, files = receive_request(theirs)
        assert received == request
        assert os.fstat(files[3]).st_ino == os.fstat(file.fileno()).st_ino
        for number in files:
            os.close(number)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"arguments": ["runs"]},
        {"arguments": "runs", "variables": {}, "attached": ""},
        {"arguments": ["runs", 3], "variables": {}, "attached": ""},
        {"arguments": ["runs"] * 201, "variables": {}, "attached": ""},
        {"arguments": ["runs"], "variables": {"LD_PRELOAD": "x"}, "attached": ""},
        {"arguments": ["runs"], "variables": {"TERM": "a\nb"}, "attached": ""},
        {"arguments": ["runs"], "variables": {"TERM": 3}, "attached": ""},
        {"arguments": ["runs"], "variables": {}, "attached": "other"},
        {"arguments": ["runs"], "variables": {}, "attached": "runs"},
        {"arguments": ["runs"], "variables": {}, "attached": None},
    ],
)
def test_another_form_is_refused_and_its_files_are_closed(value, sides):
    ours, theirs = sides
    text, before = json.dumps(value).encode(), open_files()
    socket.send_fds(ours, [struct.pack("!I", len(text))], [0, 1, 2])
    ours.sendall(text)

    with pytest.raises(UsageError):
        receive_request(theirs)

    assert open_files() == before


@given(st.binary(max_size=200), st.integers(0, 4))
def test_noise_is_refused_and_its_files_are_closed(noise, files):
    ours, theirs = socket.socketpair()
    with theirs:
        before = open_files()
        socket.send_fds(ours, [noise or b"x"], [0] * files)
        ours.close()
        with pytest.raises(UsageError):
            receive_request(theirs)
        assert open_files() == before - 1  # ours


def test_a_size_beyond_the_largest_is_not_waited_for(sides):
    ours, theirs = sides
    socket.send_fds(ours, [struct.pack("!I", LARGEST + 1)], [0, 1, 2])
    with pytest.raises(UsageError):
        receive_request(theirs)


def test_a_line_that_is_too_long_is_not_sent(sides):
    with pytest.raises(UsageError, match="too long"):
        send_request(sides[0], Request(["x" * LARGEST]), [0, 1, 2])


def test_an_answer_arrives_and_its_absence_is_seen(sides):
    ours, theirs = sides
    send_answer(ours, Answer(9, "no"))
    assert receive_answer(theirs) == Answer(9, "no")
    ours.close()
    assert receive_answer(theirs) is None


def test_only_the_terminals_variables_of_the_right_form_go_along():
    given = {"TERM": "xterm", "COLUMNS": "90", "LANG": "a b", "LC_ALL": "/tmp/x", "HOME": "/root", "ERIOS_HOME": "/x"}
    assert terminal_of(given) == {"TERM": "xterm", "COLUMNS": "90"}
