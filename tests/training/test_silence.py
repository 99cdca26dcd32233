"""A whole training calls nobody: whatever its Python processes connect to or look up is written down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from erios.checkout import PROJECT
from erios.settings import Settings
from tests.training.conftest import extract_number

pytestmark = pytest.mark.slow
WITNESS = """
import os, sys
def tell(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        told = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]
        with open(os.environ["WITNESS"], "a") as file:
            file.write(f"{event} {told!r}\\n")
sys.addaudithook(tell)
"""
HIDDEN = ("CI", "PYTEST_CURRENT_TEST", "PYTEST_VERSION", "DJANGO_SETTINGS_MODULE")
INSIDE = ("'127.0.0.1'", "'::1'", "'localhost'", "'/", "b'/", "None")


def witnessed(folder: Path) -> dict[str, str]:
    """An environment in which every Python process tells of its sockets; without a sign that it is a test."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WITNESS)
    kept = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    return kept | {"PYTHONPATH": f"{folder}:{PROJECT}", "WITNESS": str(folder / "told")}


def told(folder: Path) -> list[str]:
    path = folder / "told"
    return path.read_text().splitlines() if path.exists() else []


def outside(lines: list[str]) -> list[str]:
    """Those that are not of this machine."""
    return [line for line in lines if not any(f" {place}" in line or f" ({place}" in line for place in INSIDE)]


def test_the_witness_sees_a_call_of_a_process_and_of_its_child(tmp_path: Path) -> None:
    environ = witnessed(tmp_path / "witness")
    call = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {call!r}])"

    subprocess.run([sys.executable, "-c", child], env=environ, check=True)

    assert outside(told(tmp_path / "witness")) == ["socket.connect ('192.0.2.1', 9)"]


def test_a_whole_training_calls_nobody(home: Settings, tmp_path: Path) -> None:
    environ = witnessed(tmp_path / "witness")
    bundle = ["readmission", "--extract", extract_number(), "--set", "epochs=2"]
    command = [sys.executable, "-m", "erios", "train", *bundle]

    said = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert said.returncode == 0, said.stderr[-2000:]
    assert "is done" in said.stderr
    assert outside(told(tmp_path / "witness")) == []
