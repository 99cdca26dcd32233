"""The tests' own walls: no connection leaves the machine, no setting of the person comes in."""

import os
import socket

import pytest


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("::ffff:192.0.2.1", 80), ("example.invalid", 443)])
def test_a_connection_to_another_machine_is_refused(address):
    with socket.socket() as outgoing, pytest.raises(AssertionError, match="tests stay on this machine"):
        outgoing.connect(address)


def test_the_look_up_of_another_machine_is_refused():
    with pytest.raises(AssertionError, match=r"connection to example\.invalid refused"):
        socket.getaddrinfo("example.invalid", 443)


def test_a_connection_to_this_machine_is_made():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()


def test_only_the_home_of_the_test_is_set(erios_home):
    assert {name: value for name, value in os.environ.items() if name.startswith("ERIOS_")} == {
        "ERIOS_HOME": str(erios_home)
    }
