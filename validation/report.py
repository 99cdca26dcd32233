"""What the gate found, as plain values.

Owns the report's shape. It must never hold a row's value: only counts, names of columns, sentences and keys.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Severity = Literal["block", "warn"]
KEYS_SHOWN = 20


@dataclass(frozen=True)
class StagedTable:
    """A table's whole future state: the Parquet files that hold it, and those of them that are to be checked."""

    name: str
    files: tuple[str, ...]
    fresh: tuple[str, ...] | None = None

    @property
    def to_check(self) -> tuple[str, ...]:
        """All files, unless some are named."""
        return self.files if self.fresh is None else self.fresh


@dataclass(frozen=True)
class CheckResult:
    """One expectation's answer; ``keys`` are pseudonyms of offending rows, at most ``KEYS_SHOWN``."""

    table: str
    expectation: str
    columns: tuple[str, ...]
    severity: Severity
    sentence: str
    success: bool
    unexpected: int
    evaluated: int
    keys: tuple[str, ...]


@dataclass(frozen=True)
class ValidationReport:
    """All answers, what could not be asked and why, and where the pages are."""

    results: tuple[CheckResult, ...]
    skipped: tuple[str, ...]
    docs_index: Path
    engine: str
    seconds: float

    @property
    def blocked(self) -> bool:
        """True when an expectation that blocks failed: the release must not be published."""
        return any(not result.success and result.severity == "block" for result in self.results)

    def failures(self, severity: Severity) -> tuple[CheckResult, ...]:
        """The failed expectations of that severity."""
        return tuple(r for r in self.results if not r.success and r.severity == severity)

    def summary_lines(self) -> tuple[str, ...]:
        """One line a failure, blocking ones first, each with some keys to look at."""
        return tuple(_line(result) for result in (*self.failures("block"), *self.failures("warn")))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; expectations that hold are only counted."""
        failed = [*self.failures("block"), *self.failures("warn")]
        return {
            "blocked": self.blocked,
            "engine": self.engine,
            "seconds": round(self.seconds, 3),
            "tables": len({result.table for result in self.results}),
            "expectations": len(self.results),
            "failed": {"block": len(self.failures("block")), "warn": len(self.failures("warn"))},
            "failures": [asdict(result) for result in failed],
            "skipped": list(self.skipped),
            "docs": str(self.docs_index),
        }


def _line(result: CheckResult) -> str:
    keys = f" (keys {', '.join(result.keys[:3])})" if result.keys else ""
    return f"{result.severity}: {result.table}: {result.sentence}{keys}"
