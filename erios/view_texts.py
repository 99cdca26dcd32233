"""Titles and descriptions of tables and columns in other languages: views are written in English, as their standard is.

Owns the catalogues ``views.po``: those of ``erios/locale``, and those of a hospital's own folder of views, which may
bring a ``locale`` beside them. An entry's context says what it is (title, sentence or noun); ``{x}`` in it stands for
any words. A text with one unknown sentence stays as it was written: half of it in each language reads worse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from gettext import GNUTranslations, translation
from pathlib import Path

from erios.translation import LOCALE

DOMAIN = "views"
_SENTENCE_END = re.compile(r"(?<=\.)\s+(?=[A-Z])")


@dataclass(frozen=True)
class ViewTexts:
    """Translations by the English text: of titles, of sentences, and of the nouns within sentences."""

    titles: Mapping[str, str] = field(default_factory=dict)
    sentences: Mapping[str, str] = field(default_factory=dict)
    nouns: Mapping[str, str] = field(default_factory=dict)

    def title(self, text: str) -> str:
        """A table's or column's title translated, else as it is."""
        return self.known_title(text) or text

    def text(self, text: str) -> str:
        """A description translated sentence by sentence, else as it is."""
        whole = self._sentence(text)
        sentences = [whole] if whole else [self._sentence(sentence) for sentence in _SENTENCE_END.split(text)]
        return " ".join(filter(None, sentences)) if all(sentences) else text

    def known_title(self, text: str) -> str | None:
        """A title translated, None where no entry fits."""
        return _translate(text, self.titles, self.known_title)

    def _sentence(self, text: str) -> str | None:
        return _translate(text, self.sentences, self._noun)

    def _noun(self, words: str) -> str | None:
        """A noun translated; a name of one word is itself in every language."""
        return self.nouns.get(words) or (None if " " in words else words)


@cache
def view_texts(views: Path, language: str) -> ViewTexts:
    """The texts of a folder of views in a language; where there is no catalogue, all are as they were written."""
    entries = {**_entries(LOCALE, language), **_entries(views / "locale", language)}
    by_context: dict[str, dict[str, str]] = {"title": {}, "sentence": {}, "noun": {}}
    for key, text in sorted(entries.items(), key=lambda entry: -len(entry[0])):
        context, _, english = key.partition("\4")
        if context in by_context:
            by_context[context][english] = text
    return ViewTexts(by_context["title"], by_context["sentence"], by_context["noun"])


def _entries(locale: Path, language: str) -> Mapping[str, str]:
    catalogue = translation(DOMAIN, locale, [language], class_=_Catalogue, fallback=True)
    return catalogue.entries() if isinstance(catalogue, _Catalogue) else {}


class _Catalogue(GNUTranslations):
    def entries(self) -> Mapping[str, str]:
        return dict(self._catalog)  # type: ignore[attr-defined]


def _translate(text: str, entries: Mapping[str, str], inner: Callable[[str], str | None]) -> str | None:
    """The entry of a text: its own, else that of the longest pattern whose every part is known too."""
    if text in entries:
        return entries[text]
    for pattern, translated in entries.items():
        if "{" in pattern and (match := _compiled(pattern).fullmatch(text)):
            parts = {name: inner(words) for name, words in match.groupdict().items()}
            if all(parts.values()):
                return translated.format(**parts)
    return None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(pattern)))
