"""Django's configuration for the tests and the type checker: the portal's own, in a home of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from erios.keys import init_keyring
from erios.settings import load_settings

_before = os.environ.get("ERIOS_HOME")
os.environ["ERIOS_HOME"] = tempfile.mkdtemp(prefix="erios-site-")
_settings = load_settings()
_settings.make_zones()
init_keyring(_settings.keyring)

from erios.django_settings import *  # noqa: E402, F403

EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
if _before is None:
    del os.environ["ERIOS_HOME"]
else:
    os.environ["ERIOS_HOME"] = _before
assert Path(_settings.home).is_dir()
