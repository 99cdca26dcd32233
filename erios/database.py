"""The governance database as Django names it."""

from __future__ import annotations

from typing import Any

from erios.settings import Settings


def database_of(settings: Settings) -> dict[str, Any]:
    """The governance database as Django names it."""
    if not settings.database:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": settings.governance / "governance.db",
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 60, "init_command": "PRAGMA journal_mode=WAL"},
        }
    from psycopg.conninfo import conninfo_to_dict

    known = conninfo_to_dict(settings.database)
    names = {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}
    django = {names[name]: str(value) for name, value in known.items() if name in names}
    options = {name: value for name, value in known.items() if name not in names}
    return {"ENGINE": "django.db.backends.postgresql", **django, "OPTIONS": options, "CONN_MAX_AGE": 60}
