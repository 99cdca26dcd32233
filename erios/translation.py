"""The French words of tables and columns: views are written in English, as their standard is, and read in French.

A folder of views brings its words in ``french.toml``: exact texts, and patterns in which ``{x}`` stands for any words.
A text with one unknown sentence stays as it was written: half of it in each language reads worse.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_SENTENCE_END = re.compile(r"(?<=\.)\s+(?=[A-Z])")


@dataclass(frozen=True)
class French:
    """French words by their English ones: of titles, of sentences, and of the nouns within sentences."""

    titles: Mapping[str, str] = field(default_factory=dict)
    sentences: Mapping[str, str] = field(default_factory=dict)
    nouns: Mapping[str, str] = field(default_factory=dict)

    def title(self, text: str) -> str:
        """A table's or column's title in French, else as it is."""
        return self.say_title(text) or text

    def text(self, text: str) -> str:
        """A description in French, sentence by sentence, else as it is."""
        whole = self._sentence(text)
        parts = [whole] if whole else [self._sentence(one) for one in _SENTENCE_END.split(text)]
        return " ".join(part for part in parts if part) if all(parts) else text

    def say_title(self, text: str) -> str | None:
        """A title in French, None where it has no words."""
        return _say(text, self.titles, self.say_title)

    def _sentence(self, text: str) -> str | None:
        return _say(text, self.sentences, lambda words: self.nouns.get(words) or (None if " " in words else words))


@cache
def french_of(views: Path) -> French:
    """The French words that a folder of views brings; without a file, none."""
    path = views / "french.toml"
    return French(**tomllib.loads(path.read_text("utf-8"))) if path.exists() else French()


def _say(text: str, phrases: Mapping[str, str], inner: Callable[[str], str | None]) -> str | None:
    """The phrase of a text: its own, else that of the first pattern whose every part has words too."""
    if text in phrases:
        return phrases[text]
    for pattern, french in phrases.items():
        if "{" in pattern and (found := _compiled(pattern).fullmatch(text)):
            said = {name: inner(words) for name, words in found.groupdict().items()}
            if all(said.values()):
                return french.format(**said)
    return None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(pattern)))
