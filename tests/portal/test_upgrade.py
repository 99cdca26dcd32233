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

TABLES = (
    "accounts_user",
    "studies_study",
    "studies_proposal",
    "studies_part",
    "studies_notification",
)
APPS = ("accounts", "studies")
NEW_ROLES = {"checker"}
"""Roles that the first release did not know, so that nobody held them."""


def rows() -> dict[str, list[Any]]:
    """All rows of the tables that every release had, and who holds which role."""
    with connection.cursor() as cursor:
        found: dict[str, list[Any]] = {}
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {table} ORDER BY id")
            names = [column[0] for column in cursor.description]
            found[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        cursor.execute("SELECT user_id, role FROM accounts_heldrole ORDER BY user_id, role")
        return {**found, "roles": [(user, role) for user, role in cursor.fetchall() if role not in NEW_ROLES]}


def test_a_database_of_the_release_before_is_brought_up_to_date(database: Settings) -> None:
    at(State.CLOSED)
    at(State.UNDER_REVIEW)
    before, events = rows(), verify(database).events
    steps = sorted((app, name) for app, name in MigrationLoader(connection).graph.nodes if app in APPS)
    ends = [steps[-1], max(step for step in steps if step[0] == "accounts")]
    assert len(steps) > len(ends)
    for app, step in reversed([step for step in steps if step not in ends]):
        call_command("migrate", app, step, interactive=False, verbosity=0)

        open_database(migrate=True)

        assert rows() == before
        found = verify(database)
        assert (found.events, found.faults) == (events, ())
