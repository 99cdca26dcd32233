"""Ctrl-C in a real load, as a terminal sends it: to every process of the command at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from etl.synthetic import generate
from etl.warehouse.release import latest

pytestmark = pytest.mark.slow
LOAD = (sys.executable, "-m", "erios", "etl", "load")
PATIENCE = 300.0


def _is_starting(home: Path) -> bool:
    """Spark's folder is made just before its JVM is started."""
    return (home / "spark").is_dir()


def _is_reading(home: Path) -> bool:
    return any((home / "warehouse" / ".staging").glob("*/*"))


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interrupted") / "export"
    generate(folder, 120, seed=2)
    return folder


@pytest.mark.parametrize("moment", [_is_starting, _is_reading])
def test_ctrl_c_ends_all_of_a_load_and_the_same_command_finishes(
    moment: Callable[[Path], bool], export: Path, erios_home: Path
) -> None:
    subprocess.run([sys.executable, "-m", "erios", "keys", "init"], check=True, capture_output=True)
    load = subprocess.Popen(
        [*LOAD, str(export)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    _await(lambda: moment(erios_home))

    os.killpg(load.pid, signal.SIGINT)
    _said, problem = load.communicate(timeout=PATIENCE)

    assert load.returncode == 130
    assert problem.decode().splitlines()[-1] == "erios: interrupted; the last release is untouched"
    _await(lambda: not _alive(load.pid))
    assert latest(erios_home / "warehouse") is None
    if moment is _is_reading:
        assert not (erios_home / "warehouse" / ".staging").exists()
        again = subprocess.run([*LOAD, str(export)], capture_output=True, timeout=PATIENCE, check=False)
        assert again.returncode == 0, again.stderr
        assert latest(erios_home / "warehouse") is not None


def _alive(session: int) -> list[psutil.Process]:
    """Processes of the command's session."""
    return [one for one in psutil.process_iter() if _session_of(one.pid) == session]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _await(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)
