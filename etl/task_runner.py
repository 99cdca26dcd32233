"""Running a function over many items as Spark tasks, of which only plain results or plain sentences come back.

Owns the guard around every task: an exception's message may hold a patient's value, so only our own sentences,
the class of anything else and its code location leave the task. Progress is read from Spark's status tracker.
"""

from __future__ import annotations

import gc
import pickle
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from zipimport import zipimporter

from etl import errors
from etl.errors import EtlError, StorageError
from etl.warehouse.storage_faults import storage_fault

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Failure:
    """What an exception may show: a wing error's class and sentence, or a class and a code location."""

    kind: str
    sentence: str
    expected: bool


class TaskError(EtlError):
    """A task failed for an unknown reason; the message names the exception's class and the code location."""


class Runner(Protocol):
    """Runs a function over items, each item on its own, results in order."""

    @property
    def parallelism(self) -> int:
        """How many items run at a time."""

    def warm(self, needed: object = None) -> object:
        """Start in the background what ``run`` needs: workers with their modules imported, and ``needed`` unpickled."""

    def run(
        self,
        name: str,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        progress: Progress | None = None,
    ) -> list[Result]:
        """``function`` over ``items``; raises the first failure as a sentence."""


@dataclass(frozen=True)
class SparkRunner:
    """One Spark task an item."""

    spark: SparkSession

    @property
    def parallelism(self) -> int:
        """Spark's default parallelism: the cores of its executors."""
        return int(self.spark.sparkContext.defaultParallelism)

    def warm(self, needed: object = None) -> threading.Thread:
        """Start the Python workers in a thread; they import the modules of tasks and unpickle ``needed``."""
        thread = threading.Thread(target=_warm, args=(self.spark, self.parallelism, needed), daemon=True)
        thread.start()
        return thread

    def run(
        self,
        name: str,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        progress: Progress | None = None,
    ) -> list[Result]:
        """See ``run_tasks``."""
        return run_tasks(self.spark, name, function, items, progress)


def _warm(spark: SparkSession, workers: int, needed: object) -> None:
    """Nothing depends on it: a worker that did not start now starts with its first task, whose fault is reported."""
    with suppress(Exception):
        spark.sparkContext.parallelize(range(workers), workers).foreach(partial(_import, _packed(needed)))


def _import(needed: bytes, _number: int) -> None:
    for name in ("etl.ingest.staging", "etl.merge.versions", "etl.merge.table_merge", "pyarrow.compute"):
        import_module(name)
    pickle.loads(zlib.decompress(needed))
    _keep_archive_importers()
    gc.collect()
    gc.freeze()


def _keep_archive_importers() -> None:
    """Keep the importers of zip archives: a Spark worker invalidates them before each task, which costs 0.15 s.

    The archives do not change while a worker runs.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            sys.path_importer_cache[path] = _KeptImporter(finder)


class _KeptImporter:
    """An archive's importer without ``invalidate_caches``."""

    def __init__(self, importer: zipimporter) -> None:
        self.find_spec = importer.find_spec


def run_tasks(
    spark: SparkSession,
    name: str,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    progress: Progress | None = None,
) -> list[Result]:
    """``function`` over ``items``, one Spark task each, results in order; raises the first failure as a sentence."""
    if not items:
        return []
    job = partial(_collect, spark, name, partial(_unpacked, _packed(function)), items)
    with _watched(spark, name, len(items), progress):
        results = _apart(spark, job)
    if failure := next((result for result in results if isinstance(result, Failure)), None):
        raise _as_error(failure)
    return [result for result in results if not isinstance(result, Failure)]


def _collect(spark: SparkSession, name: str, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    context = spark.sparkContext
    context.setJobDescription(f"erios: {name}")
    return context.parallelize(list(items), len(items)).map(function).collect()


def _apart(spark: SparkSession, job: Callable[[], Result]) -> Result:
    """Run the job in a thread, so that Ctrl-C interrupts no call to the JVM; then cancel and wait for the tasks."""
    outcome: Future[Result] = Future()
    threading.Thread(target=_fulfil, args=(outcome, job), daemon=True).start()
    try:
        return outcome.result()
    except KeyboardInterrupt:
        with suppress(Exception):
            _cancel(spark)
        raise


def _fulfil(outcome: Future[Result], job: Callable[[], Result]) -> None:
    try:
        outcome.set_result(job())
    except BaseException as error:
        outcome.set_exception(error)


def _packed(sent: object) -> bytes:
    """A function with its bound arguments, pickled and compressed: over one megabyte Spark broadcasts it, slowly."""
    from pyspark.cloudpickle import dumps

    return zlib.compress(dumps(sent), 1)  # type: ignore[no-untyped-call]


def _unpacked(packed: bytes, item: Item) -> Result | Failure:
    _keep_archive_importers()
    return _guarded(_function(packed), item)


@lru_cache(maxsize=1)
def _function(packed: bytes) -> Callable[[Any], Any]:
    """Unpickled once per worker, not once per task: a load's types have a structure for every element of FHIR."""
    function: Callable[[Any], Any] = pickle.loads(zlib.decompress(packed))
    return function


def _guarded(function: Callable[[Item], Result], item: Item) -> Result | Failure:
    try:
        return function(item)
    except EtlError as error:
        return Failure(type(error).__name__, str(error), expected=True)
    except BaseException as error:
        return _unknown(error)


def _unknown(error: BaseException) -> Failure:
    if fault := storage_fault(error):
        return Failure("StorageError", str(fault), expected=True)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return Failure(type(error).__name__, f"{Path(frame.filename).name}:{frame.lineno}", expected=False)


def _as_error(failure: Failure) -> EtlError:
    if not failure.expected:
        return TaskError(
            f"a Spark task failed with {failure.kind} at {failure.sentence}; the last release is untouched"
        )
    kind = getattr(errors, failure.kind, StorageError)
    says_so = "last release" in failure.sentence
    return kind(failure.sentence if says_so else f"{failure.sentence.rstrip('.')}. The last release is untouched.")


_PATIENCE = 10.0
"""Seconds that an interrupted command waits for its tasks to end."""


def _cancel(spark: SparkSession) -> None:
    """Cancel all jobs and wait until no task runs: none may write after the command has ended."""
    context, end = spark.sparkContext, time.monotonic() + _PATIENCE
    context.cancelAllJobs()
    while _running(context) and time.monotonic() < end:
        time.sleep(0.1)


def _running(context: SparkContext) -> int:
    """Tasks that executors still run, those of cancelled stages included."""
    executors = context._jsc.sc().statusTracker().getExecutorInfos()
    return sum(executor.numRunningTasks() for executor in executors)


@contextmanager
def _watched(spark: SparkSession, name: str, total: int, progress: Progress | None) -> Iterator[None]:
    """Report finished tasks of the running stages a few times a second."""
    if progress is None:
        yield
        return
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(spark, name, total, progress, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    progress(name, total, total)


def _watch(spark: SparkSession, name: str, total: int, progress: Progress, done: threading.Event) -> None:
    tracker = spark.sparkContext.statusTracker()
    while not done.wait(0.25):
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        progress(name, sum(stage.numCompletedTasks for stage in stages if stage), total)
