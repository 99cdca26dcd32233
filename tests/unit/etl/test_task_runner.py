"""The guard around a task: what a task reads never comes back in what it says of a failure."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import sys
from zipfile import ZipFile
from zipimport import zipimporter

import duckdb
import pytest

from etl import errors
from etl.errors import EtlError, StorageError
from etl.task_runner import (
    Failure,
    SparkRunner,
    TaskError,
    _as_error,
    _guarded,
    _keep_archive_importers,
    _packed,
    _unpacked,
)

CANARY = "Camille Canari 2 69 05 49 588 157 80"


def _failing(error):
    def task(_item):
        raise error

    return task


def _from_a_cause(_item):
    try:
        os.environ[CANARY]
    except KeyError as error:
        raise RuntimeError(CANARY) from error


def _in_duckdb(_item):
    return duckdb.execute(f"SELECT '{CANARY}'::INTEGER").fetchall()


UNKNOWN = {
    "ValueError": _failing(ValueError(CANARY)),
    "KeyError": _failing(KeyError(CANARY)),
    "UnicodeDecodeError": _failing(UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY)),
    "RuntimeError": _from_a_cause,
    "ConversionException": _in_duckdb,
    "SystemExit": _failing(SystemExit(CANARY)),
    "KeyboardInterrupt": _failing(KeyboardInterrupt(CANARY)),
    "FileNotFoundError": _failing(FileNotFoundError(errno.ENOENT, "No such file", f"/landing/{CANARY}")),
}


def test_a_result_comes_back_as_it_is():
    assert _guarded(lambda item: item * 2, 21) == 42


@pytest.mark.parametrize("kind", UNKNOWN)
def test_an_unknown_exception_is_its_class_and_its_place_and_nothing_of_its_message(kind):
    failure = _guarded(UNKNOWN[kind], CANARY)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.expected, "Canari" in repr(failure)) == (kind, False, False)
    assert re.fullmatch(r"\w+\.py:\d+", failure.sentence)
    error = _as_error(failure)
    assert isinstance(error, TaskError)
    assert str(error) == f"a Spark task failed with {kind} at {failure.sentence}; the last release is untouched"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO])
def test_a_fault_of_the_disk_is_a_sentence_without_the_name_of_the_file(code):
    failure = _guarded(_failing(OSError(code, os.strerror(code), f"/landing/{CANARY}")), None)
    assert isinstance(failure, Failure)
    error = _as_error(failure)
    assert isinstance(error, StorageError)
    assert str(error).startswith("cannot write the folder /landing: ")
    assert "Canari" not in str(error)
    assert str(error).count("The last release is untouched.") == 1


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EtlError)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_of_ours_comes_back_as_it_is_and_says_once_that_the_release_stands(kind):
    failure = _guarded(_failing(kind("a landed file is damaged; load it again")), None)
    assert failure == Failure(kind.__name__, "a landed file is damaged; load it again", expected=True)
    error = _as_error(failure)
    assert type(error) is kind
    assert str(error) == "a landed file is damaged; load it again. The last release is untouched."


@pytest.mark.slow
def test_spark_brings_back_results_in_order_and_the_first_failure_as_a_sentence(spark):
    runner = SparkRunner(spark)
    seen = []
    assert runner.run("double", lambda n: n * 2, [3, 1, 2], lambda *step: seen.append(step)) == [6, 2, 4]
    assert seen[-1] == ("double", 3, 3)
    assert runner.run("nothing", lambda n: n, []) == []
    with pytest.raises(TaskError, match=r"failed with ValueError at test_task_runner\.py:\d+; the last") as caught:
        runner.run("fails", lambda n: int(CANARY) if n == 2 else n, [1, 2, 3])
    assert "Canari" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_an_archives_importer_is_kept_when_python_is_told_to_look_again(monkeypatch, tmp_path):
    with ZipFile(tmp_path / "spark.zip", "w") as archive:
        archive.writestr("erios_in_an_archive.py", "VALUE = 1")
    monkeypatch.syspath_prepend(str(tmp_path / "spark.zip"))
    importlib.util.find_spec("erios_in_an_archive")
    _keep_archive_importers()
    kept = sys.path_importer_cache[str(tmp_path / "spark.zip")]
    monkeypatch.setattr(zipimporter, "invalidate_caches", lambda _self: pytest.fail("the archive is read anew"))
    importlib.invalidate_caches()
    assert sys.path_importer_cache[str(tmp_path / "spark.zip")] is kept
    assert importlib.import_module("erios_in_an_archive").VALUE == 1


def test_what_a_task_is_sent_is_small_and_does_what_it_did():
    lists = {str(number): list(range(100)) for number in range(1000)}
    packed = _packed(lambda item: lists[str(item)][-1])
    found: object = _unpacked(packed, 7)
    assert found == 99
    assert len(packed) < 50_000
