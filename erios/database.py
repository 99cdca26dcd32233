"""The governance database as Django names it, and Django itself made ready, once per process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from erios.settings import Settings

SITE = "erios.django_settings"
"""Django's configuration of everything but a cluster's job."""
JOBSITE = "erios.job_django_settings"
"""Django's configuration in a job of the cluster: no key, nothing written."""


def set_up_django(configuration: str = "") -> None:
    """Make Django's models importable, once per process: entry points call it before they import a module with models.

    ``configuration`` is the settings module; without one, DJANGO_SETTINGS_MODULE decides (``erios.django_settings``).
    Needs no keyring and opens no connection (``erios.workflows.database.open_database`` does). Raises UsageError for
    malformed settings.
    """
    import django  # heavy: kept out of the commands that need no database
    from django.apps import apps

    if apps.ready:
        return
    os.environ["DJANGO_SETTINGS_MODULE"] = configuration or os.environ.get("DJANGO_SETTINGS_MODULE") or SITE
    django.setup()


def database_of(settings: Settings) -> dict[str, Any]:
    """The governance database as Django names it."""
    if not settings.database:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": settings.governance / "governance.db",
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 60, "init_command": "PRAGMA journal_mode=WAL"},
        }
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(settings.database)
    names = {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}
    django = {names[name]: str(value) for name, value in parts.items() if name in names}
    options = {name: value for name, value in parts.items() if name not in names}
    return {"ENGINE": "django.db.backends.postgresql", **django, "OPTIONS": options, "CONN_MAX_AGE": 60}
