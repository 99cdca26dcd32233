"""Tests that take more than a minute without the mark ``slow`` or ``long`` are listed at the end of a run.

They do not fail it: how fast a machine is, is no property of the code.

Measured on a machine that may be busy with something else: a phase of a test counts by its processor time, or by the
time it took where the machine had processors to spare.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

LIMIT = 60.0
"""Seconds that a phase (set-up, call) of a test without a mark may take."""
_MARKS = ("slow", "long")
_USED = pytest.StashKey[float]()
_TOO_LONG = "over a minute without a mark"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a phase that took too long, for the summary."""
    report = yield
    seconds = own_seconds(call.duration, _processor_seconds(item.config))
    if report.passed and seconds > LIMIT and not any(item.get_closest_marker(mark) for mark in _MARKS):
        report.user_properties.append((_TOO_LONG, f"{item.nodeid}: {seconds:.0f} s ({call.when})"))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the phases that took too long."""
    lines = {
        str(value)
        for report in terminalreporter.stats.get("passed", ())
        for name, value in report.user_properties
        if name == _TOO_LONG
    }
    if lines:
        terminalreporter.section("over a minute without the mark `slow`: mark them, or make them faster")
        for line in sorted(lines):
            terminalreporter.write_line(line)


def own_seconds(wall: float, processor: float) -> float:
    """Seconds that the work itself took: the processor time, or more where nothing else kept the processors busy."""
    others = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    return max(min(wall, processor), wall / others)


def _processor_seconds(config: pytest.Config) -> float:
    """Processor time of this process and its children since the last phase."""
    now = sum(os.times()[:4])
    before = config.stash.get(_USED, now)
    config.stash[_USED] = now
    return now - before
