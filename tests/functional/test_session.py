"""Spark sessions stay on this machine, and among the processes of one account."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from erios.checkout import PROJECT
from erios.workflows.spark_session import _configuration, socket_settings


@pytest.mark.slow
def test_the_session_is_bound_to_the_loopback_without_pages(spark):
    assert spark.conf.get("spark.driver.host") == "127.0.0.1"
    assert spark.conf.get("spark.driver.bindAddress") == "127.0.0.1"
    assert spark.sparkContext.uiWebUrl is None


def test_workers_are_reached_through_files_of_a_private_folder_with_a_short_path():
    with TemporaryDirectory(prefix="e") as home:
        folder = Path(home, "s" * (60 - len(home) - 1))
        folder.mkdir(mode=0o700)
        assert socket_settings(folder) == {
            "spark.python.unix.domain.socket.enabled": "true",
            "spark.python.unix.domain.socket.dir": str(folder),
        }
        folder.chmod(0o750)
        assert socket_settings(folder) == {}
        long = folder.with_name(f"{folder.name}s")
        long.mkdir(mode=0o700)
        assert socket_settings(long) == {}
        assert socket_settings(Path(home, "none")) == {}


def test_workers_on_other_machines_are_not(settings):
    with TemporaryDirectory(prefix="e") as home:
        here = settings.model_copy(update={"home": Path(home)})
        here.spark_local_dir.mkdir(mode=0o700)
        assert "spark.python.unix.domain.socket.dir" in _configuration(here)
        spark = settings.spark.model_copy(update={"master": "spark://127.0.0.1:7077"})
        elsewhere = here.model_copy(update={"spark": spark})
        assert "spark.python.unix.domain.socket.dir" not in _configuration(elsewhere)


_TASK = """
from erios.settings import load_settings
from erios.workflows.spark_session import spark_session
from etl.task_runner import SparkRunner

settings = load_settings()
with spark_session(settings) as spark:
    SparkRunner(spark).warm(abs).join()
    print(SparkRunner(spark).run("add", abs, [-1, 2]))
    print(sorted(oct(p.stat().st_mode)[-3:] for p in settings.spark_local_dir.rglob(".*.sock"))[:1])
    print(oct(settings.spark_local_dir.stat().st_mode)[-3:])
"""


@pytest.mark.slow
def test_a_task_runs_through_such_a_file_which_goes_with_the_session():
    with TemporaryDirectory(prefix="e") as home:
        environment = {**os.environ, "ERIOS_HOME": home}
        ran = subprocess.run(
            [sys.executable, "-c", _TASK], check=False, cwd=PROJECT, env=environment, capture_output=True, text=True
        )
        told = ran.stdout.splitlines()
        assert told[0] == "[1, 2]", ran.stderr[-2000:]
        assert told[1] != "[]"
        assert told[2] == "700"
        assert list(Path(home, "spark").rglob("*.sock")) == []
