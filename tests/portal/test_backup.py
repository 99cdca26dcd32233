"""The governance database through a backup, on SQLite and on PostgreSQL: accounts, decisions and chain come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from erios.accounts.models import User
from erios.audit import verify
from erios.governance.study import State
from erios.settings import Settings, load_settings
from erios.studies.models import Proposal
from erios.workflows import backup
from tests.portal.conftest import new_database, point_to
from tests.portal.stories import at

PASSPHRASE = "une phrase de passe assez longue"


def test_accounts_decisions_and_chain_come_back(
    database: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(State.ACTIVE)
    people, events = set(User.objects.values_list("username", flat=True)), verify(database).events
    backup.create(tmp_path / "backup", PASSPHRASE, database)

    monkeypatch.setenv("ERIOS_HOME", str(tmp_path / "new"))
    monkeypatch.setenv("ERIOS_DATABASE", new_database(database.database) if database.database else "")
    settings = load_settings()
    point_to(settings)
    proved = backup.restore(tmp_path / "backup", PASSPHRASE, settings)

    assert proved[0] == f"the audit chain of {events} events verifies"
    assert set(User.objects.values_list("username", flat=True)) == people
    assert Proposal.objects.get().state == State.ACTIVE
