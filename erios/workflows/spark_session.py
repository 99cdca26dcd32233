"""The Spark session of a command: made from the settings, quiet, and telling nobody.

Owns Spark's configuration. No key and no clear text may ever be put into it: Spark writes its configuration into
event logs and shows it on its pages.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from erios.errors import MachineError
from erios.settings import Settings, make_folder
from erios.workflows.spark_classes import shared_classes

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NO_JAVA = "Spark needs Java 17: install openjdk-17-jre-headless or set JAVA_HOME to a Java 17"
_FIXED = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.log.level": "OFF",
    "spark.python.worker.reuse": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
_QUICK_JVM = "-XX:TieredStopAtLevel=1"
"""For a command's session: its JVM hands out tasks and ends; compiling more costs a quarter of a small load's time."""
_QUICK_LAUNCHER = f"{_QUICK_JVM} -XX:+UseSerialGC"


@contextmanager
def spark_session(settings: Settings) -> Iterator[SparkSession]:
    """A session for one command; an existing one of this process is used and left running."""
    from pyspark.sql import SparkSession

    running = SparkSession.getActiveSession()
    spark = running or _build(settings, quick=True)
    try:
        yield spark
    finally:
        if running is None:
            spark.stop()


_resident: list[SparkSession] = []
_starting = threading.Lock()


def resident_session(settings: Settings) -> SparkSession:
    """The session that a server keeps for its counts, made once a process; MachineError without Java."""
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    if running := SparkSession.getActiveSession():
        return running
    with _starting:
        try:
            _resident[:] = _resident or [_build(settings, quick=False)]
        except PySparkException as error:
            if error.getCondition() != "JAVA_GATEWAY_EXITED":
                raise
            raise MachineError(NO_JAVA) from None
    return _resident[0]


@contextmanager
def _later_interrupts() -> Iterator[Callable[[], object]]:
    """Ctrl-C counts once Spark is up: cut short, its start leaves a JVM behind.

    Spark takes Ctrl-C for itself, with a handler that speaks over the connection that a call may be waiting on: what is
    yielded takes it back, and afterwards it is Python's own again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    interrupts: list[int] = []
    take = partial(signal.signal, signal.SIGINT, lambda number, _frame: interrupts.append(number))
    handler = take()
    try:
        yield take
    finally:
        signal.signal(signal.SIGINT, handler)
    if interrupts:
        raise KeyboardInterrupt


def _jvm(*, quick: bool) -> dict[str, str]:
    """Options of Spark's JVM; ``quick``: it serves one command."""
    return {"spark.driver.extraJavaOptions": " ".join(filter(None, [_QUICK_JVM if quick else "", shared_classes()]))}


def _build(settings: Settings, *, quick: bool) -> SparkSession:
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    make_folder(settings.spark_local_dir, 0o700)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", _QUICK_LAUNCHER)
    conf = SparkConf().setAppName("erios").setMaster(settings.spark.master)
    conf.setAll([*{**_jvm(quick=quick), **_configuration(settings)}.items()])
    with _later_interrupts() as take_back, _mute_jvm():
        context = SparkContext.getOrCreate(conf)
        take_back()
        return SparkSession(context)


_LONGEST = 60
"""Bytes that the path of a folder for Spark's sockets may have."""


def socket_settings(folder: Path) -> dict[str, str]:
    """Spark and its Python workers of one machine talk through files in a folder, if its path is short enough.

    Over TCP each task waits 40 ms: Spark's side sends small pieces, and the system holds the last one back until the
    one before is acknowledged. Whoever can open such a file can give a worker orders, so the folder must be nobody
    else's.
    """
    if len(os.fsencode(folder)) > _LONGEST or not _is_private(folder):
        return {}
    return {"spark.python.unix.domain.socket.enabled": "true", "spark.python.unix.domain.socket.dir": str(folder)}


def _is_private(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    status = folder.stat()
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077


@contextmanager
def _mute_jvm() -> Iterator[None]:
    """Start the JVM with its standard error closed: what Java prints there may quote rows, and nobody reads it."""
    sys.stderr.flush()
    stderr_copy, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr_copy, 2)
        os.close(stderr_copy)
        os.close(nowhere)


def _configuration(settings: Settings) -> dict[str, str]:
    conf = {
        **_FIXED,
        "spark.driver.memory": settings.spark.driver_memory,
        "spark.local.dir": str(settings.spark_local_dir),
        "spark.sql.warehouse.dir": str(settings.spark_local_dir / "catalog"),
    }
    if settings.spark.master.startswith("local"):
        conf |= socket_settings(settings.spark_local_dir)
    if settings.spark.event_log_dir is not None:
        make_folder(settings.spark.event_log_dir, 0o750)
        conf |= {
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": settings.spark.event_log_dir.as_uri(),
        }
    return {**conf, **settings.spark.conf}
