"""The broker: each command has its own process, works for whom the kernel names, and ends when its person leaves."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from erios.broker import client, server
from erios.broker.request import INTERRUPT, Answer, Request, receive_answer, send_request
from erios.broker.server import Broker
from erios.checkout import PROJECT
from erios.errors import MachineError, StorageError
from erios.operator_login import login_of
from tests.slurm import wait_for

ME = login_of(os.getuid())


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The socket of a broker whose commands are ``runner``."""
    monkeypatch.setattr(server, "RUNNER", "tests.unit.erios.broker.runner")
    monkeypatch.setattr(server, "GRACE", 0.5)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    with TemporaryDirectory(prefix="broker") as folder:
        broker = Broker(Path(folder, "socket"))
        threading.Thread(target=broker.serve, daemon=True).start()
        yield Path(folder, "socket")
        broker.close()


class Caller:
    """Somebody's side of a request."""

    def __init__(self, path: Path, act: str, attached: int | None = None) -> None:
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(str(path))
        self.output, write = os.pipe()
        files = [os.open(os.devnull, os.O_RDONLY), write, write, *([] if attached is None else [attached])]
        send_request(self.connection, Request(["train", act], {"TERM": "xterm"}, act if attached else ""), files)
        os.close(write)
        os.close(files[0])

    def lines(self, number: int) -> list[str]:
        text = b""
        while text.count(b"\n") < number:
            text += os.read(self.output, 1000)
        return text.decode().splitlines()

    def answer(self) -> Answer | None:
        with self.connection:
            return receive_answer(self.connection)


def test_a_command_works_for_its_caller_with_little_around_it(path):
    caller = Caller(path, "look")
    said, here, folder = caller.lines(3)
    assert said == ME
    assert here == "['HOME', 'TERM'] / False"
    assert folder == "[] 0"
    assert caller.answer() == Answer(0)


def test_what_it_writes_into_the_attached_file_is_the_callers(path, tmp_path):
    with (tmp_path / "secret").open("w+b") as file:
        assert Caller(path, "write", file.fileno()).answer() == Answer(0)
    assert (tmp_path / "secret").read_bytes() == b"a secret"


def test_ctrl_c_is_passed_on(path):
    caller = Caller(path, "wait")
    assert caller.lines(2) == [ME, "waits"]
    caller.connection.sendall(INTERRUPT)
    assert caller.answer() == Answer(130)


def test_a_command_ends_when_its_caller_leaves(path):
    before = running()
    caller = Caller(path, "wait")
    caller.lines(2)
    assert running() == before + 1
    caller.connection.close()
    wait_for(lambda: running() == before, "the end of the command", 20)


def running() -> int:
    lines = map(read_quietly, Path("/proc").glob("[0-9]*/cmdline"))
    return sum(b"tests.unit.erios.broker.runner" in text for text in lines)


def read_quietly(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_killed_command_has_an_exit_code(path):
    assert Caller(path, "die").answer() == Answer(137)


def test_nobody_has_more_than_their_places(path, monkeypatch):
    monkeypatch.setattr(server, "MOST_OF_ONE", 1)
    first = Caller(path, "wait")
    first.lines(2)

    with socket.socket(socket.AF_UNIX) as second:
        second.connect(str(path))
        refused = receive_answer(second)  # before it has asked

    assert refused is not None
    assert refused.code == 7
    first.connection.sendall(INTERRUPT)
    assert first.answer() == Answer(130)
    assert Caller(path, "look").answer() == Answer(0)


@pytest.mark.parametrize("line", ["keys list", "train /srv/identity", "train --extract --set /srv/identity"])
def test_what_the_list_does_not_hold_is_not_begun_whoever_asks(line, path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        send_request(connection, Request(line.split()), [0, 1, 2])
        answer = receive_answer(connection)
    assert answer is not None
    assert answer.code == 2
    assert answer.sentence.startswith("the broker")


def test_noise_and_silence_hold_nobody_up(path, monkeypatch):
    monkeypatch.setattr(server, "PATIENCE", 0.2)
    silent = socket.socket(socket.AF_UNIX)
    silent.connect(str(path))
    with socket.socket(socket.AF_UNIX) as noisy:
        noisy.connect(str(path))
        noisy.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert Caller(path, "look").answer() == Answer(0)
    silent.close()


def test_a_second_broker_takes_the_place_of_one_that_was_killed(path):
    again = Broker(path)
    again.close()
    assert not path.exists()


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(StorageError, match="cannot listen"):
        Broker(tmp_path / "none" / "socket")


def test_no_broker_is_one_sentence(tmp_path):
    with pytest.raises(MachineError, match="does not answer"):
        client.forward(["runs", "list"], tmp_path / "socket")


def test_the_owner_of_the_socket_runs_commands_itself(path, tmp_path):
    assert not client.is_brokered(["runs", "list"], path)
    assert not client.is_brokered(["runs", "list"], None)
    assert not client.is_brokered(["etl", "load", "x"], tmp_path / "none")
    assert client.is_brokered(["runs", "list"], tmp_path / "none")
