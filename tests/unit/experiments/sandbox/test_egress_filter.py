"""Ranks on several machines train only where a filter keeps the hospital from them, and each node tries it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from erios.checkout import PROJECT
from experiments.errors import SandboxError
from experiments.sandbox.box import variables_of
from experiments.sandbox.egress_filter import is_reached, obstacle
from experiments.sandbox.supervisor import meeting_point


def test_two_machines_train_together_when_the_hospital_is_out_of_their_reach(tmp_path: Path) -> None:
    """Two network namespaces; the filter is a route that prohibits the hospital's address."""
    line = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-m"]
    program = "tests.unit.experiments.sandbox.two_machines"
    ran = subprocess.run([*line, program, str(tmp_path)], cwd=PROJECT, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr[-2000:]
    unnamed, reached, refusing, filtered = ran.stdout.splitlines()
    assert "on several machines" in unnamed
    assert reached.startswith("this machine reaches 10.8.0.1:5432")
    assert refusing.startswith("this machine reaches 10.8.0.1:1")
    assert filtered == "{'peer': 'here', 'hospital': 'PermissionError', 'lo': 'unset'}"


def test_who_answers_or_refuses_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert is_reached(f"127.0.0.1:{port}")
    assert is_reached(f"127.0.0.1:{port}")  # refused: nothing kept it away
    assert is_reached("[::1]:1")


@pytest.mark.parametrize("address", ["hospital:5432", "10.0.0.1", "127.0.0.1:99999", ""])
def test_what_cannot_be_tried_counts_as_reached(address: str) -> None:
    assert is_reached(address)


def test_without_addresses_nothing_is_known() -> None:
    assert "name in the cluster's profile (unreachable)" in obstacle(())


def test_ranks_on_several_machines_meet_at_an_address_on_the_fabric() -> None:
    environ = {**os.environ, "MASTER_PORT": "1", "MASTER_ADDR": "localhost", "NCCL_SOCKET_IFNAME": "hsn"}
    assert meeting_point(environ) == "127.0.0.1"
    inside = variables_of(environ, meeting="10.1.2.3")
    assert (inside["MASTER_ADDR"], inside["NCCL_SOCKET_IFNAME"]) == ("10.1.2.3", "hsn")
    assert variables_of(environ)["NCCL_SOCKET_IFNAME"] == "lo"


def test_an_unknown_machine_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_name: str) -> str:
        raise socket.gaierror

    monkeypatch.setattr(socket, "gethostbyname", unknown)
    with pytest.raises(SandboxError, match="not known here"):
        meeting_point({"MASTER_ADDR": "no-such-host.invalid"})
