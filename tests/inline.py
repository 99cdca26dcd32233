"""A runner without Spark: one item after the other in this process, for tests of many small loads.

``python -m tests.inline PATH …`` loads exports so, without validation, for a debugger or a profiler.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class InlineRunner:
    """Stands in for ``SparkRunner``; a failure is raised as it is."""

    parallelism = 2

    def warm(self, needed: object = None) -> None:
        """Nothing to start."""

    def run(self, name: str, function: Callable[[Any], Any], items: Sequence[Any], progress: Any = None) -> list[Any]:
        """``function`` over ``items``, in order."""
        return [function(item) for item in items]


def load_inline(paths: Sequence[Path]) -> str:
    """Load exports into the warehouse of the settings, with a gate that lets everything pass; returns the release."""
    from erios.keys import init_keyring
    from erios.settings import load_settings
    from erios.workflows.load import load_config
    from etl.load_config import Verdict
    from etl.pipeline import load

    settings = load_settings()
    settings.make_zones()
    if not settings.keyring.exists():
        init_keyring(settings.keyring)
    report = load(paths, load_config(settings), InlineRunner(), lambda *_: Verdict(False, (), {}))
    return report.release or ""


if __name__ == "__main__":
    load_inline([Path(argument) for argument in sys.argv[1:]])
