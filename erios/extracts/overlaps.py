"""How the cohort of an extract crosses cohorts that were told of before: does the difference single out a few?

Owns the crossing, on one release, by the warehouse's own keys. What comes out is the DPO's to read, and says whether a
difference lies under the threshold, never how many patients are in it: a number under the threshold must not leave this
module. Others read ``near`` at most: whoever knows a patient must not learn whether he is the difference.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from erios.extracts.criteria import Criterion, canonical_json, cohort_query
from etl.duckdb_engine import connect, scalar

if TYPE_CHECKING:
    from etl.warehouse.release import Release


class Cohorts:
    """Cohorts of a release; each is worked out once."""

    def __init__(self, release: Release, memory_mb: int) -> None:
        self._sql = connect(memory_mb)
        self._tables: dict[str, str] = {}
        for name in release.names():
            release.duckdb(name, self._sql).create_view(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sql.close()

    def cross(self, new: Criterion, old: Criterion, threshold: int) -> dict[str, Any]:
        """``isolates``: are there patients in one and not in the other, but fewer than ``threshold``?"""
        first, second = self._table(new), self._table(old)
        more, fewer = self._without(first, second), self._without(second, first)
        return {
            "same": more == fewer == 0,
            "isolates": 0 < more < threshold or 0 < fewer < threshold,
            "only_new": more if more >= threshold or more == 0 else None,
            "only_old": fewer if fewer >= threshold or fewer == 0 else None,
        }

    @staticmethod
    def describe(more: int, fewer: int, threshold: int) -> dict[str, Any]:
        """Of a cohort with ``more`` patients that another has not, and without ``fewer`` that the other has.

        ``isolates``: are there patients in one and not in the other, but fewer than ``threshold``? ``near``: do they
        differ by fewer than that on each side, nobody at all included?
        """
        return {
            "same": more == fewer == 0,
            "near": more < threshold and fewer < threshold,
            "isolates": 0 < more < threshold or 0 < fewer < threshold,
            "only_new": more if more >= threshold or more == 0 else None,
            "only_old": fewer if fewer >= threshold or fewer == 0 else None,
        }

    def _table(self, criterion: Criterion) -> str:
        text = canonical_json(criterion)
        if text not in self._tables:
            self._tables[text] = f"cohort_{len(self._tables)}"
            query = cohort_query(criterion)
            self._sql.execute(f"CREATE TEMP TABLE {self._tables[text]} AS {query.sql}", list(query.parameters))
        return self._tables[text]

    def _without(self, first: str, second: str) -> int:
        return scalar(self._sql, f"SELECT count(*) FROM {first} ANTI JOIN {second} USING (patient_key)")
