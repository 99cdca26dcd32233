"""The portal's configuration: nothing that runs when it is read lies where a writer of the database can put it."""

from __future__ import annotations

import stat
from pathlib import Path

from django.conf import settings
from django.core.cache import cache
from django.core.cache.backends.db import DatabaseCache
from django.utils.module_loading import import_string

from erios.django_settings import names_of_cookies
from erios.settings_sections import PortalSettings


def test_the_cache_lies_in_files_that_the_portal_s_account_alone_reads():
    cache.set("looked-at", [1, 2])
    folder = Path(str(settings.CACHES["default"]["LOCATION"]))

    assert cache.get("looked-at") == [1, 2]
    assert not issubclass(import_string(str(settings.CACHES["default"]["BACKEND"])), DatabaseCache)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert all(mode & 0o077 == 0 for mode in modes)


def test_sessions_are_kept_as_json():
    assert settings.SESSION_SERIALIZER == "django.contrib.sessions.serializers.JSONSerializer"


def test_behind_tls_a_browser_takes_the_cookies_of_session_and_forms_from_the_portal_alone():
    assert names_of_cookies(PortalSettings(proxy=True)) == ("__Host-sessionid", "__Host-csrftoken")
    assert names_of_cookies(PortalSettings(proxy=False)) == ("sessionid", "csrftoken")
    assert not settings.SESSION_COOKIE_DOMAIN
    assert not settings.CSRF_COOKIE_DOMAIN
    assert settings.SESSION_COOKIE_PATH == settings.CSRF_COOKIE_PATH == "/"
