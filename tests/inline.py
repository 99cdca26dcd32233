"""A runner without Spark: one item after the other in this process, for tests of many small loads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class InlineRunner:
    """Stands in for ``SparkRunner``; a failure is raised as it is."""

    parallelism = 2

    def warm(self, needed: object = None) -> None:
        """Nothing to start."""

    def run(self, name: str, function: Callable[[Any], Any], items: Sequence[Any], progress: Any = None) -> list[Any]:
        """``function`` over ``items``, in order."""
        return [function(item) for item in items]
