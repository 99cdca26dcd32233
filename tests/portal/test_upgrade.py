"""An upgrade: a database of the release before is brought up to date, with every row and the chain as they were."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from erios.audit import verify
from erios.governance.study import State
from erios.settings import Settings
from erios.workflows.database import open_database
from tests.portal.stories import at

TABLES = ("accounts_user", "studies_study", "studies_proposal", "studies_part", "studies_notification")


def rows() -> dict[str, list[Any]]:
    """All rows of the tables that the release before had."""
    with connection.cursor() as cursor:
        found = {}
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {table} ORDER BY id")
            names = [column[0] for column in cursor.description]
            found[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return found


def test_a_database_of_the_release_before_is_brought_up_to_date(database: Settings) -> None:
    at(State.CLOSED)
    at(State.UNDER_REVIEW)
    before, events = rows(), verify(database).events
    steps = sorted(name for app, name in MigrationLoader(connection).graph.nodes if app == "studies")
    assert len(steps) > 1
    for step in reversed(steps[:-1]):
        call_command("migrate", "studies", step, interactive=False, verbosity=0)

        open_database(migrate=True)

        assert rows() == before
        found = verify(database)
        assert (found.events, found.faults) == (events, ())
