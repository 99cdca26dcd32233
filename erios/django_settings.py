"""Django's configuration, from the settings. Imported by Django alone, as its settings module.

Owns which apps, middleware and headers the portal has. No secret is here: the signing key is derived from the keyring,
passwords are read from the files that the settings name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from django.conf.locale import LANG_INFO
from django.utils.functional import SimpleLazyObject

from erios.clock import ZONE
from erios.database import database_of
from erios.errors import UsageError
from erios.keys import derive_key
from erios.settings import Settings, load_settings
from erios.settings_sections import PortalSettings
from erios.translation import LOCALE, languages

SETTINGS: Settings = load_settings()
PORTAL = SETTINGS.portal
PURPOSE = b"erios portal: signing of sessions and forms"


def _secret(path: Path | None) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() if path else ""
    except OSError as error:
        raise UsageError(f"cannot read the secret file {path}: {error.strerror}") from None


def providers_of(portal: PortalSettings) -> dict[str, Any]:
    """The hospital's directory as the accounts library names it; nothing without one."""
    directory = portal.directory
    if not directory.issuer:
        return {}
    app = {
        "provider_id": "hospital",
        "name": portal.hospital,
        "client_id": directory.client_id,
        "secret": _secret(directory.secret_file),
        "settings": {"server_url": directory.issuer},
    }
    return {"openid_connect": {"APPS": [app], "OAUTH_PKCE_ENABLED": True}}


def names_of_cookies(portal: PortalSettings) -> tuple[str, str]:
    """Of session and forms. Behind TLS a browser takes ``__Host-`` from this host alone, and from none beside it."""
    prefix = "__Host-" if portal.proxy else ""
    return f"{prefix}sessionid", f"{prefix}csrftoken"


def named_languages() -> list[tuple[str, str]]:
    """The code of each language and its own name for itself."""
    return [(code, LANG_INFO[code]["name_local"].capitalize()) for code in languages()]


def _signing_key() -> str:
    return derive_key(SETTINGS.keyring, PURPOSE).secret.hex()


SECRET_KEY = SimpleLazyObject(_signing_key)
"""Derived on first use: Django is set up without a keyring, and KeyringError comes with the first signature."""
DEBUG = False
ALLOWED_HOSTS = PORTAL.hosts
DATABASES = {"default": database_of(SETTINGS)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": SETTINGS.home / "portal-cache",
    }
}
"""In files of the portal's own account, not in the database: values are pickles, and reading one runs what it says."""

INSTALLED_APPS = [
    "erios.portal",
    "erios.studies",
    "erios.accounts",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "django_tasks",
    "django_tasks_db",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "erios.portal.middleware.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "erios.portal.middleware.SecondFactorMiddleware",
    "erios.portal.middleware.SentencesMiddleware",
]
ROOT_URLCONF = "erios.portal.urls"
WSGI_APPLICATION = "erios.portal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "erios.portal.context.portal",
            ],
        },
    }
]

# accounts
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["erios.portal.login_backend.SealedBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "erios.portal.allauth_adapters.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "erios.portal.allauth_adapters.DirectoryAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_RATE_LIMITS = {"login_failed": "5/5m/key,20/5m/ip"}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Erios"
MFA_TOTP_TOLERANCE = 1  # a telephone may be half a minute off
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_PROVIDERS = providers_of(PORTAL)

# languages: the portal's own first, and every one that has a catalogue
LANGUAGE_CODE = PORTAL.language
LANGUAGES = named_languages()
TIME_ZONE = ZONE.key
USE_TZ = True
LOCALE_PATHS = [LOCALE]

# letters
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if PORTAL.mail.host else 'console'}.EmailBackend"
EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER = PORTAL.mail.host, PORTAL.mail.port, PORTAL.mail.user
EMAIL_HOST_PASSWORD = _secret(PORTAL.mail.password_file)
EMAIL_USE_TLS = PORTAL.mail.tls
DEFAULT_FROM_EMAIL = PORTAL.mail.sender
EMAIL_TIMEOUT = 10

# pages
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = names_of_cookies(PORTAL)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 8 * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31_536_000
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PORTAL.proxy else None
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 << 20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 << 20
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"places": {"()": "erios.logs.PlacesFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "places"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
        "django_tasks": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}
