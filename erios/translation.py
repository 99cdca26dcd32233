"""Texts in the reader's language: one catalogue for all of Erios, ``erios/locale/<language>``, read with gettext.

The code holds French texts, and a catalogue translates them: ``LC_MESSAGES/django.po`` (the name that Django wants),
compiled beside it by ``make texts``. A further language is one more folder. The current language is a context
variable: the portal's middleware sets it to the reader's, and the command line keeps the default, English. The module
stands below the rules, so it knows no Django.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from functools import cache
from gettext import NullTranslations, translation
from pathlib import Path
from typing import Any

LOCALE = Path(__file__).parent / "locale"
SOURCE = "fr"
"""The language of the texts in the code."""
DOMAIN = "django"
_CONTEXT = "\4"
"""What stands between the context and the text of an entry, as gettext has it."""
_language: ContextVar[str] = ContextVar("language", default="en")


def languages() -> tuple[str, ...]:
    """Codes of the languages that texts are shown in: the source, and every folder of catalogues."""
    folders = {path.parts[-3] for path in LOCALE.glob(f"*/LC_MESSAGES/{DOMAIN}.mo")}
    return (SOURCE, *sorted(folders - {SOURCE}))


def language() -> str:
    """The current language."""
    return _language.get()


@contextmanager
def using(code: str) -> Iterator[None]:
    """Make a language the current one."""
    token = _language.set(code)
    try:
        yield
    finally:
        _language.reset(token)


def gettext(text: str, /, **values: Any) -> str:
    """A text of the code in the current language; ``values`` fill its ``{names}``."""
    translated = _catalogue(LOCALE, DOMAIN, language()).gettext(text) if text else ""
    translated = translated.rpartition(_CONTEXT)[2]
    return translated.format(**values) if values else translated


def mark(text: str) -> str:
    """Mark a text that ``gettext`` translates later."""
    return text


def mark_in(context: str, text: str) -> str:
    """Mark a text whose translation depends on the context."""
    return f"{context}{_CONTEXT}{text}"


def format_number(value: float, digits: int) -> str:
    """A decimal number with the language's separator."""
    return f"{value:.{digits}f}".replace(".", decimal_separator())


def decimal_separator() -> str:
    """What stands between a number and its decimals."""
    return gettext(_DECIMAL_SEPARATOR)


def format_percent(share: float | None, digits: int = 1) -> str:
    """A share between 0 and 1 in percent; a dash for None."""
    return "–" if share is None else gettext(_PERCENT, number=format_number(100 * share, digits))


def format_day(day: date) -> str:
    """A day in figures."""
    return day.strftime(gettext(_DAY))


_DECIMAL_SEPARATOR = mark_in("decimal separator", ",")
_PERCENT = mark("{number} %")
_DAY = mark_in("strftime", "%d/%m/%Y")


@cache
def _catalogue(locale: Path, domain: str, code: str) -> NullTranslations:
    return translation(domain, locale, [code], fallback=True)
