"""Spark sessions stay on this machine, and among the processes of one account."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from erios.checkout import PROJECT
from erios.workflows.spark_classes import shared_classes
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


_WRITE = """
import sys
from pathlib import Path

from erios.workflows.spark_classes import write_classes

write_classes(Path(sys.argv[1]))
"""
_START = """
import sys
from pathlib import Path

from erios.settings import load_settings
from erios.workflows import spark_session as sessions
from erios.workflows.spark_classes import shared_classes

archive = Path(sys.argv[1])
sessions.shared_classes = lambda: shared_classes(archive)
with sessions.spark_session(load_settings()) as spark:
    print(archive.name in spark.conf.get("spark.driver.extraJavaOptions"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [pytest.param(None, marks=pytest.mark.long), b"", b"no classes" * 999],
    ids=["written", "empty", "damaged"],
)
def test_a_session_starts_with_kept_classes_and_without_a_word_beside_a_file_that_does_not_fit(content, tmp_path):
    archive = tmp_path / "spark classes.jsa"
    if content is None:
        subprocess.run([sys.executable, "-c", _WRITE, archive], check=True, cwd=PROJECT, capture_output=True)
    else:
        archive.write_bytes(content)

    start = [sys.executable, "-c", _START, archive]
    ran = subprocess.run(start, check=False, cwd=PROJECT, capture_output=True, text=True)

    assert (ran.returncode, ran.stdout) == (0, "True\n"), ran.stderr[-2000:]
    assert archive.stat().st_size > 20_000_000 or content is not None


def test_a_session_without_kept_classes_has_no_option_for_them(tmp_path):
    assert shared_classes(tmp_path / "none.jsa") == ""
