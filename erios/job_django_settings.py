"""Django's configuration in a job of the cluster: it reads the governance database and holds no key.

A job checks its own right to go on. It writes no event, and nothing that it can reach lies in the identity zone.
"""

from __future__ import annotations

from erios.clock import ZONE
from erios.database import database_of
from erios.settings import load_settings

DATABASES = {"default": database_of(load_settings())}
DATABASES["default"].get("OPTIONS", {}).pop("init_command", None)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["erios.studies", "erios.accounts", "django.contrib.auth", "django.contrib.contenttypes"]
AUTH_USER_MODEL = "accounts.User"
USE_TZ = True
TIME_ZONE = ZONE.key
