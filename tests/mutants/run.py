"""Runs the guards of a module on its mutants: each in a process of its own, forked from one that holds the libraries.

A mutant is *killed* when a test fails, or when the guards need ten times the processor time of the unchanged module.
"""

from __future__ import annotations

import ast
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = (
    "pytest",
    "hypothesis",
    "duckdb",
    "pyarrow",
    "cryptography.hazmat.primitives.ciphers.aead",
    "_pytest.doctest",
    "django.core.management",
    "django.db.models",
    "django.test.client",
    "pydantic_settings",
    "requests",
    "django.db.migrations",
)


@dataclass(frozen=True)
class Trial:
    """A changed module and the tests to run on it; ``tree`` None leaves it unchanged."""

    file: str
    name: str
    tree: Callable[[], ast.Module] | None
    tests: tuple[str, ...]


def preload() -> None:
    """Import what the tests need of other people's code, once for all processes; nothing of the product's own."""
    for name in PRELOADED:
        __import__(name)


def run(trials: Iterable[Trial], jobs: int, cpu_seconds: float) -> Iterator[tuple[Trial, bool]]:
    """Each trial and whether its tests passed, as they end; ``jobs`` at a time."""
    waiting = iter(trials)
    running: dict[int, Trial] = {}
    while True:
        while len(running) < jobs and (trial := next(waiting, None)):
            running[_start(trial, cpu_seconds)] = trial
        if not running:
            return
        pid, status = os.wait()
        if pid in running:
            yield running.pop(pid), status == 0


def _start(trial: Trial, cpu_seconds: float) -> int:
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    try:
        os._exit(_child(trial, cpu_seconds))
    except BaseException:  # whatever a mutant raises, the child ends here
        os._exit(70)


def _child(trial: Trial, cpu_seconds: float) -> int:
    import pytest

    limit = int(cpu_seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    if trial.tree is not None:
        sys.meta_path.insert(0, _Finder(trial.file, trial.tree()))
    return int(pytest.main(["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", *_options(trial.tests)]))


def _options(tests: Sequence[str]) -> list[str]:
    preloaded = "ignore:Module already imported so cannot be rewritten"
    return [
        "-m",
        "not slow and not long",
        "--hypothesis-profile=fast",
        "-W",
        preloaded,
        "--rootdir",
        str(ROOT),
        *(str(ROOT / test) for test in tests),
    ]


@dataclass
class _Finder(MetaPathFinder, Loader):
    """Gives one module from a changed tree."""

    file: str
    tree: ast.Module

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname != self.file.removesuffix(".py").replace("/", "."):
            return None
        return ModuleSpec(fullname, self, origin=str(ROOT / self.file))

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(ROOT / self.file)
        exec(compile(self.tree, module.__file__, "exec"), module.__dict__)
