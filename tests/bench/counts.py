"""How long a person waits for a feasibility count: the portal's own action, database and audit chain included.

Plays people at the criteria builder: they add, change and drop criteria of every kind, and each edit is a question.
*Cold*: a counter that remembers nothing, where most edits need a query of the release. *Warm*: other people put the
same criteria together in other ways. Who has used up a budget is followed by another clinician with a study.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from erios.errors import RefusedError
from erios.settings import Settings
from etl.warehouse.release import open_release

if TYPE_CHECKING:
    from erios.accounts.models import User
    from erios.studies.models import Study

QUESTIONS, SITTING, AT_ONCE = 400, 40, 5
"""Questions of each kind, edits before somebody starts anew, and criteria at once."""
CHAPTERS = (
    "A00-B99",
    "C00-D48",
    "E00-E90",
    "F00-F99",
    "G00-G99",
    "I00-I99",
    "J00-J99",
    "K00-K93",
    "M00-M99",
    "N00-N99",
)
BLOCKS = ("I10", "I20-I25", "I48", "I50", "E10-E14", "E66", "E78", "J18", "J40-J47", "K80", "N18", "C50", "F32", "M16")
ATC = ("A10", "A02B", "B01A", "C03", "C07", "C09", "C10", "J01", "N02", "N05", "N06A", "R03", "L01", "H02")
CCAM = ("HH", "NF", "DD", "EB", "HHFA", "NEKA", "YYYY", "ZZQ")
_RESULTS = """SELECT code_loinc, value_unit_code, quantile_cont(value_quantity, [0.1, 0.25, 0.5, 0.75, 0.9])
    FROM observation WHERE code_loinc IS NOT NULL AND value_quantity IS NOT NULL AND value_unit_code IS NOT NULL
    GROUP BY ALL HAVING count(*) > 200 ORDER BY count(*) DESC, 1, 2 LIMIT 60"""


def measure_counts(_export: Path, settings: Settings) -> dict[str, Any]:
    """Milliseconds of the first count after a start, and of cold and warm ones, over the release of the home."""
    from erios.workflows.database import open_database

    open_database(migrate=True)
    people = _People()
    said = [*_edits(random.Random(1), _Criteria(settings), QUESTIONS)]
    first = people.ask(said[0])
    cold = [people.ask(question) for question in said[1:]]
    known = [criterion for question in said for criterion in question]
    warm = [people.ask(question) for question in _edits(random.Random(2), _Again(known), QUESTIONS)]
    again = [people.ask(people.last) for _ in range(20)]
    figures = {"first": [first], "cold": cold, "warm": warm, "again": again}
    patients = open_release(settings.warehouse).tables["patient"].rows
    return {
        **{f"{name}_p{p}_ms": _percentile(seconds, p) for name, seconds in figures.items() for p in (50, 95, 100)},
        "seconds": sum(sum(seconds) for seconds in figures.values()),
        "patients": patients,
        "questions": people.asked,
        "budgets_used_up": people.studies - 1,
        "refused_crossings": people.refused_crossings,
    }


def _percentile(seconds: Sequence[float], percent: int) -> float:
    return round(1000 * float(np.percentile(seconds, percent)), 1)


class _People:
    """Clinicians with a study each, one after the other."""

    def __init__(self) -> None:
        self._by: User
        self.asked = self.studies = self.refused_crossings = 0
        self.last: list[Any] = []
        self._study = self._new_study()

    def _new_study(self) -> Study:
        from erios.accounts.models import User
        from erios.governance.roles import Role
        from erios.studies.actions import start_study
        from tests.portal.conftest import seal_everything

        self.studies += 1
        self._by = User(username=f"bench-{time.time_ns()}")
        self._by.set_roles({Role.CLINICIAN})
        self._by.save()
        seal_everything()
        return start_study(by=self._by, title="bench").study

    def ask(self, criteria: list[Any]) -> float:
        """Seconds until the count is shown or refused; where a budget is used up, somebody else asks, timed anew."""
        from erios.studies.actions import ask_count

        self.asked += 1
        started = time.perf_counter()
        try:
            ask_count(study=self._study, by=self._by, criteria={"and": criteria})
        except RefusedError as error:
            if "are left; questions" not in error.sentence:
                self.refused_crossings += 1
                return time.perf_counter() - started
            self._study = self._new_study()
            started = time.perf_counter()
            ask_count(study=self._study, by=self._by, criteria={"and": criteria})
        self.last = criteria
        return time.perf_counter() - started


class _Criteria:
    """New criteria of every kind, laboratory results as the release has them."""

    def __init__(self, settings: Settings) -> None:
        import duckdb

        with duckdb.connect() as connection:
            open_release(settings.warehouse).duckdb("observation", connection).create_view("observation")
            self._results = connection.execute(_RESULTS).fetchall()

    def draw(self, draw: random.Random) -> dict[str, Any]:
        kinds = (self._age, self._sex, self._stay, self._coded, self._coded, self._laboratory, self._laboratory)
        made: dict[str, Any] = draw.choice((*kinds, self._either, self._except, self._within))(draw)
        return made

    def _age(self, draw: random.Random) -> dict[str, Any]:
        low = draw.randrange(18, 80)
        at = draw.choice(("stay", f"{draw.randrange(2015, 2026)}-01-01"))
        return {"age": {"min": low, "max": low + draw.randrange(5, 50), "at": at}}

    def _sex(self, draw: random.Random) -> dict[str, Any]:
        return {"sex": draw.choice(("female", "male"))}

    def _stay(self, draw: random.Random) -> dict[str, Any]:
        return {"stay": {"class": [draw.choice(("IMP", "EMER", "AMB"))], **self._period(draw)}}

    def _coded(self, draw: random.Random) -> dict[str, Any]:
        kind, name, codes = draw.choice(
            (
                ("diagnosis", "codes", (*CHAPTERS, *BLOCKS)),
                ("treatment", "atc", ATC),
                ("procedure", "ccam", CCAM),
            )
        )
        return {kind: {name: draw.sample(codes, draw.randint(1, 3)), **self._period(draw)}}

    def _laboratory(self, draw: random.Random) -> dict[str, Any]:
        loinc, unit, values = draw.choice(self._results)
        compared = {"op": draw.choice(("<", ">", "<=", ">=")), "value": round(draw.choice(values), 1), "unit": unit}
        return {"laboratory": {"loinc": loinc, **compared, **self._period(draw)}}

    def _either(self, draw: random.Random) -> dict[str, Any]:
        return {"or": [self._coded(draw), self._laboratory(draw)]}

    def _except(self, draw: random.Random) -> dict[str, Any]:
        return {"not": self._coded(draw)}

    def _within(self, draw: random.Random) -> dict[str, Any]:
        return {"within": {"event": self._laboratory(draw), "days": draw.randint(1, 90), "of": self._coded(draw)}}

    def _period(self, draw: random.Random) -> dict[str, str]:
        return {"from": f"{draw.randrange(2014, 2024)}-01-01"} if draw.random() < 0.3 else {}


class _Again:
    """Criteria that were asked before."""

    def __init__(self, known: Sequence[dict[str, Any]]) -> None:
        self._known = known

    def draw(self, draw: random.Random) -> dict[str, Any]:
        return draw.choice(self._known)


def _edits(draw: random.Random, source: _Criteria | _Again, many: int) -> Iterator[list[Any]]:
    """The criteria after each edit."""
    now: list[Any] = []
    for edit in range(many):
        now = [] if edit % SITTING == 0 else list(now)
        does = draw.random()
        if len(now) < 2 or (does < 0.5 and len(now) < AT_ONCE):
            now.append(source.draw(draw))
        elif does < 0.8:
            now[draw.randrange(len(now))] = source.draw(draw)
        else:
            now.pop(draw.randrange(len(now)))
        yield now
