"""The nightly job: what is complete is loaded once, what failed is told and tried again only when that may help."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from erios.cli.exits import to_error
from erios.errors import InputError, StorageError
from erios.settings import Settings
from erios.workflows import nightly
from erios.workflows.nightly import MARKER, METRICS, arrivals, watch_folder
from etl.merge.reconciliation import Reconciliation
from etl.pipeline import LoadReport

Watch = Callable[..., list[tuple[str, bool]]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings.model_validate({"home": tmp_path / "home"})
    settings = (
        settings.model_copy(update={"home": tmp_path / "home"}) if settings.home != tmp_path / "home" else settings
    )
    settings.make_zones()
    return settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def _report(new: bool = True, written: int = 3) -> LoadReport:
    reconciliations = {"Patient": Reconciliation(resources=written + 1, written=written, quarantined=1)}
    return LoadReport("b000001-00000000", "r000007", new, reconciliations, None, (), (), 2.5)


@pytest.fixture
def watch(settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Looks once, with loads that answer ``outcome``: a report, or an error to raise."""

    def look(outcome: Any, quiet: int = 300) -> list[tuple[str, bool]]:
        def answer(*_given: Any, **_more: Any) -> LoadReport:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome  # type: ignore[no-any-return]

        monkeypatch.setattr(nightly, "load_export", answer)
        monkeypatch.setattr(nightly, "refresh_release", answer)
        return list(watch_folder(folder, settings, to_error, once=True, every=1, quiet=quiet))

    return look


def _export(folder: Path, name: str, *, marked: bool) -> Path:
    export = folder / name
    export.mkdir()
    (export / "Patient.ndjson").write_text("{}\n")
    if marked:
        (export / MARKER).touch()
    return export


def test_a_marked_export_is_loaded_once(watch: Watch, folder: Path) -> None:
    _export(folder, "day1", marked=True)

    first, again = watch(_report()), watch(_report())

    assert [ok for _, ok in first] == [True]
    assert "4 in, 3 written, 1 quarantined; release r000007" in first[0][0]
    assert again == []


def test_an_unmarked_export_waits_until_it_is_quiet(watch: Watch, folder: Path) -> None:
    export = _export(folder, "day1", marked=False)

    assert watch(_report()) == []
    for path in (export, export / "Patient.ndjson"):
        os.utime(path, (time.time() - 600,) * 2)
    assert len(watch(_report())) == 1


def test_what_failed_for_good_waits_for_a_change(watch: Watch, folder: Path) -> None:
    export = _export(folder, "day1", marked=True)

    ((line, ok),) = watch(InputError("the file is truncated gzip"))
    assert not ok
    assert line.endswith("failed, the last release stands: the file is truncated gzip")
    assert watch(_report()) == []
    (export / "Patient.ndjson").write_text("{}\n{}\n")
    assert [ok for _, ok in watch(_report())] == [True]


def test_a_fault_of_the_machine_is_tried_again(watch: Watch, folder: Path) -> None:
    _export(folder, "day1", marked=True)

    assert [ok for _, ok in watch(StorageError("the disk is full"))] == [False]
    assert [ok for _, ok in watch(_report())] == [True]


def test_a_fault_shows_no_message_that_is_not_ours(watch: Watch, folder: Path) -> None:
    _export(folder, "day1", marked=True)

    ((line, _ok),) = watch(RuntimeError("Dupont, Marie"))

    assert "Dupont" not in line


def test_changed_objections_make_a_release_of_their_own(
    watch: Watch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightly, "_objections", lambda _settings: "first")
    watch(_report())
    assert watch(_report()) == []

    monkeypatch.setattr(nightly, "_objections", lambda _settings: "second")
    ((line, ok),) = watch(_report())

    assert ok
    assert "objections of today applied" in line


def test_the_metrics_tell_the_last_success_and_the_last_failure(watch: Watch, folder: Path, settings: Settings) -> None:
    _export(folder, "day1", marked=True)
    watch(_report())
    good = (settings.home / "metrics" / "erios.prom").read_text()
    _export(folder, "day2", marked=True)
    watch(InputError("no"))
    bad = (settings.home / "metrics" / "erios.prom").read_text()

    assert 'erios_load_resources{type="Patient",outcome="written"} 3' in good
    assert "erios_load_last_run_failed 0" in good
    assert "erios_load_last_run_failed 1" in bad
    assert "erios_release_number 7" in bad
    for name in METRICS:
        assert f"# HELP {name} " in good
        assert f"# TYPE {name} gauge" in good


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        arrivals(tmp_path / "nowhere", 0)
