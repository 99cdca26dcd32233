"""The catalogues of texts, kept: every text of code, templates and data has an entry in each language.

``python -m tests.texts`` (``make texts``) reads the texts, adds what is missing to every catalogue without a
translation, takes away what no longer exists, and compiles. A folder with an empty ``django.po`` becomes a language.
"""

from __future__ import annotations

import io
import shutil
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

from erios.checkout import PROJECT
from erios.translation import DOMAIN, LOCALE

Text = tuple[str | tuple[str, ...], str | None]
"""A text (singular and plural where it has both) and its context."""
_KEYWORDS = {"mark": None, "_": None, "gettext": None, "ngettext": (1, 2), "mark_in": ((1, "c"), 2)}


def texts() -> Iterator[Text]:
    """Every text that a catalogue translates."""
    for path in sorted((PROJECT / "erios").rglob("*.py")):
        yield from _of_python(path.read_bytes())
    for path in sorted((PROJECT / "erios").rglob("*.html")):
        yield from _of_python(templatize(path.read_text(encoding="utf-8")).encode())
    yield from ((text, None) for text in _of_data())


def _of_python(source: bytes) -> Iterator[Text]:
    for _line, text, _comments, context in extract("python", io.BytesIO(source), _KEYWORDS):
        yield text, context


def _of_data() -> Iterator[str]:
    for framework in tomllib.loads((PROJECT / "conf" / "compliance.toml").read_text("utf-8"))["framework"]:
        yield from (framework["title"], *framework["themes"].values())
        yield from (requirement[name] for requirement in framework["requirement"] for name in ("text", "how"))
    risk = tomllib.loads((PROJECT / "conf" / "risk.toml").read_text("utf-8"))
    yield from (entry["fr"] for kind in ("quasi", "sensitive") for entry in risk[kind])


def read_catalogue(path: Path) -> Catalog:
    """A catalogue's source."""
    with path.open("rb") as source:
        return read_po(source, locale=path.parts[-3], domain=path.stem)


def update(path: Path) -> None:
    """Give a catalogue an entry for each text and no other, keep its translations, and compile it."""
    old = read_catalogue(path)
    new = Catalog(locale=old.locale, domain=old.domain, project="Erios", creation_date=_ANY_DAY, fuzzy=False)
    for text, context in texts():
        known = old.get(text, context)
        new.add(text, known.string if known else None, context=context)
    with path.open("wb") as source:
        write_po(source, new, width=110, sort_output=True)
    compile_catalogue(path)


def compile_catalogue(path: Path) -> None:
    """Write the compiled form beside a catalogue's source."""
    with path.with_suffix(".mo").open("wb") as compiled:
        write_mo(compiled, read_catalogue(path))


def make_pseudo_language(locale: Path, code: str) -> None:
    """A copy of the catalogues with one more language: its texts are those of the code in brackets."""
    shutil.copytree(LOCALE, locale, dirs_exist_ok=True)
    path = locale / code / "LC_MESSAGES" / f"{DOMAIN}.po"
    path.parent.mkdir(parents=True)
    pseudo = Catalog(locale=code, domain=DOMAIN, fuzzy=False)
    for text, context in texts():
        pseudo.add(text, f"[{text}]" if isinstance(text, str) else tuple(f"[{form}]" for form in text), context=context)
    with path.open("wb") as source:
        write_po(source, pseudo)
    compile_catalogue(path)


_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)
"""Catalogues bear one date, so that the same texts are the same bytes."""


if __name__ == "__main__":
    for path in sorted(LOCALE.glob("*/LC_MESSAGES/*.po")):
        (update if path.stem == DOMAIN else compile_catalogue)(path)
