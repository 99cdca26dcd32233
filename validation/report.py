"""Results of the gate as plain values: counts, names of columns, sentences and keys, never a row's value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

KEYS_SHOWN = 20
"""Most keys of offending rows that a result holds."""
_KEYS_IN_SENTENCE = 3


class Severity(StrEnum):
    """What a failed expectation does: block publication, or warn."""

    BLOCK = "block"
    WARN = "warn"


@dataclass(frozen=True)
class StagedTable:
    """The Parquet files of a table as it will be published, and those of them to check (``fresh``; None: all)."""

    name: str
    files: tuple[str, ...]
    fresh: tuple[str, ...] | None = None

    @property
    def to_check(self) -> tuple[str, ...]:
        """The files whose rows are checked."""
        return self.files if self.fresh is None else self.fresh


@dataclass(frozen=True)
class CheckResult:
    """Result of one expectation; ``keys`` are pseudonyms of offending rows, at most ``KEYS_SHOWN``."""

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
    """All results, the expectations that could not be checked and why, and the index of the Data Docs."""

    results: tuple[CheckResult, ...]
    skipped: tuple[str, ...]
    docs_index: Path
    engine: str
    seconds: float

    @property
    def blocked(self) -> bool:
        """Did an expectation that blocks fail, so that the release must not be published?"""
        return bool(self.failures(Severity.BLOCK))

    def failures(self, severity: Severity) -> tuple[CheckResult, ...]:
        """The failed expectations of that severity."""
        return tuple(result for result in self.results if not result.success and result.severity == severity)

    def sentences(self, severity: Severity) -> tuple[str, ...]:
        """One sentence for each failed expectation of that severity, with some keys to look at."""
        return tuple(map(_sentence, self.failures(severity)))

    def failure_counts(self) -> dict[Severity, int]:
        """The number of failed expectations by severity."""
        return {severity: len(self.failures(severity)) for severity in Severity}

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; of expectations that hold only their number."""
        return {
            "blocked": self.blocked,
            "engine": self.engine,
            "seconds": round(self.seconds, 3),
            "tables": len({result.table for result in self.results}),
            "expectations": len(self.results),
            "failed": {severity.value: count for severity, count in self.failure_counts().items()},
            "failures": [asdict(result) for severity in Severity for result in self.failures(severity)],
            "skipped": list(self.skipped),
            "docs": str(self.docs_index),
        }


def failed_count(report: Mapping[str, Any], severity: Severity) -> int:
    """The number of failed expectations of a severity in a stored report (``ValidationReport.to_dict``)."""
    return int(report.get("failed", {}).get(severity, 0))


def _sentence(result: CheckResult) -> str:
    keys = f" (keys {', '.join(result.keys[:_KEYS_IN_SENTENCE])})" if result.keys else ""
    return f"{result.table}: {result.sentence}{keys}"
