"""Trains the run in a folder without governance: ``python -m tests.training.unguarded FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from experiments.run_process import run_process
from experiments.run_spec import read_spec


class Open:
    """A guard that lets everything go on."""

    def verify(self) -> None:
        """Every byte is believed."""

    def ask(self) -> None:
        """Every right stands."""


if __name__ == "__main__":
    sys.exit(run_process(read_spec(Path(sys.argv[1])), Open()))
