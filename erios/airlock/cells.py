"""One cell of a table: the figures in it, however they are written.

Owns the forms of figures: thousands apart by any space, decimal points and commas, percent, bounds ("<11"), two
figures in one cell ("60 (50 %)", "3/27", "54 ± 3"), numbers in words, and what stands for a hidden cell.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from math import inf

_LONGEST = 300
_NUMBER_WORDS = (
    ("zero", "zéro", "aucun", "aucune", "none", "nil", "néant"),
    ("un", "une", "one"),
    ("deux", "two"),
    ("trois", "three"),
    ("quatre", "four"),
    ("cinq", "five"),
    ("six",),
    ("sept", "seven"),
    ("huit", "eight"),
    ("neuf", "nine"),
    ("dix", "ten"),
)
NUMBER_WORDS = {word: number for number, words in enumerate(_NUMBER_WORDS) for word in words}
"""The small numbers as one writes them in French and English."""
_FIGURE = r"[+-]?(?:\d{1,3}(?:[ ,.'’]\d{3})+(?![\d])(?:[.,]\d+)?|\d+(?:[.,]\d+)?|[.,]\d+)(?:e[+-]?\d{1,2})?"
_NUMBER = re.compile(_FIGURE, re.IGNORECASE)
_PLAIN = re.compile(rf"({_FIGURE})\s*(%|‰)?", re.IGNORECASE)
_TWO = re.compile(rf"({_FIGURE})\s*(%)?\s*[(\[]\s*({_FIGURE})\s*(%)?\s*[)\]]", re.IGNORECASE)
_RATIO = re.compile(
    rf"({_FIGURE})\s*(?:/|∕|⁄|sur|of|out of|parmi|among|:)\s*({_FIGURE})(?:\s*[(\[].*[)\]])?", re.IGNORECASE
)
_BELOW = re.compile(
    rf"(?:<|moins de|under|below|less than|fewer than|inf[ée]rieur à)\s*({_FIGURE})\s*(%)?", re.IGNORECASE
)
_UPTO = re.compile(rf"(?:≤|<=|=<|au plus|at most|up to|jusqu'à)\s*({_FIGURE})\s*(%)?", re.IGNORECASE)
_ABOVE = re.compile(rf"(?:>=?|≥|=>|plus de|au moins|at least|over|more than)\s*({_FIGURE})\s*(%)?", re.IGNORECASE)
_BETWEEN = re.compile(
    rf"[\[(]?\s*({_FIGURE})\s*(?:-|–|—|à|to|;|,|ou|or|/)\s*({_FIGURE})\s*[\])]?\s*(%)?", re.IGNORECASE
)
_ABOUT = re.compile(
    rf"(?:~|≈|≃|env\.?|environ|about|approx\.?|ca?\.|circa|=|n\s*=)\s*({_FIGURE})\s*(%)?", re.IGNORECASE
)
_HIDDEN = re.compile(
    r"[-–—.…*x×#?/ ]*|c|s|na|n/a|nd|n\.d\.?|nc|n\.c\.?|nan|null|none|ns|masqu[ée]e?s?|cach[ée]e?s?|supprim[ée]e?s?"
    r"|suppressed|hidden|redacted|confidentiele?l?|confidential|secret|\[redacted\]|\(?c\)|\(?s\)",
    re.IGNORECASE,
)
_DASHES = dict.fromkeys(map(ord, "−‐‑‒–—﹣－"), "-")
_MARKS = re.compile(r"(?<=[\d%)])\s*(?:[*†‡§¶°]+|\[[a-z]\]|\^?[a-z])$")


class Shape(StrEnum):
    """How a cell is written."""

    EMPTY = "empty"
    NUMBER = "number"
    HIDDEN = "hidden"
    BOUND = "bound"
    TWO = "two figures"
    RATIO = "ratio"
    WORDS = "words"


@dataclass(frozen=True)
class Figure:
    """A number as written; ``places``: decimals; ``percent``: with its sign."""

    value: Decimal
    places: int = 0
    percent: bool = False

    @property
    def is_whole(self) -> bool:
        """3, 3.0 and 3e0 are."""
        return self.value == self.value.to_integral_value()

    @property
    def half(self) -> float:
        """By how much rounding may have moved it."""
        return 0.5 * 10.0**-self.places

    @property
    def digits(self) -> int:
        """Figures that count."""
        return len(self.value.normalize().as_tuple().digits)


@dataclass(frozen=True)
class Cell:
    """What stands in one cell; ``low`` to ``high``: a bound as it is written."""

    text: str
    shape: Shape
    figures: tuple[Figure, ...] = ()
    low: float = 0.0
    high: float = inf


def fold(text: str) -> str:
    """Lower case, no accents, compatibility forms as the plain ones, one space for any."""
    plain = unicodedata.normalize("NFKD", text.casefold()).translate(_DASHES)
    return " ".join("".join(letter for letter in plain if not unicodedata.combining(letter)).split())


@cache
def read_cell(text: str, decimal_comma: bool = False) -> Cell:
    """A cell; ``decimal_comma``: the table writes decimals with one, and thousands with a point if at all."""
    plain = " ".join(unicodedata.normalize("NFKC", text).translate(_DASHES).split()).strip("'’\"`_ ").strip("*").strip()
    if len(plain) > 2 and plain[0] + plain[-1] in ("()", "[]", "{}") and _PLAIN.fullmatch(plain[1:-1]):
        plain = plain[1:-1]
    if len(plain) > _LONGEST:
        return Cell(text[:_LONGEST], Shape.WORDS)
    if not plain:
        return Cell(text, Shape.EMPTY if not text.strip() else Shape.HIDDEN)
    if plain.casefold() in NUMBER_WORDS and plain.casefold() not in ("none",):
        return Cell(text, Shape.NUMBER, (Figure(Decimal(NUMBER_WORDS[plain.casefold()])),))
    if _HIDDEN.fullmatch(plain):
        return Cell(text, Shape.HIDDEN)
    return _written(text, _MARKS.sub("", plain) if _MARKS.search(plain) else plain, decimal_comma)


def _written(text: str, plain: str, comma: bool) -> Cell:
    if match := _PLAIN.fullmatch(plain):
        return Cell(text, Shape.NUMBER, (_figure(match[1], comma, percent=bool(match[2])),))
    if match := _TWO.fullmatch(plain):
        figures = (_figure(match[1], comma, bool(match[2])), _figure(match[3], comma, bool(match[4])))
        return Cell(text, Shape.TWO, figures)
    if match := _ABOUT.fullmatch(plain):
        return Cell(text, Shape.NUMBER, (_figure(match[1], comma, bool(match[2])),))
    return _bound(text, plain, comma) or _ratio(text, plain, comma) or _words(text, plain, comma)


def _bound(text: str, plain: str, comma: bool) -> Cell | None:
    for pattern, shift in ((_BELOW, 1), (_UPTO, 0)):
        if match := pattern.fullmatch(plain):
            figure = _figure(match[1], comma, bool(match[2]))
            return Cell(text, Shape.BOUND, (figure,), 0, float(figure.value) - shift)
    if match := _ABOVE.fullmatch(plain):
        figure = _figure(match[1], comma, bool(match[2]))
        return Cell(text, Shape.BOUND, (figure,), float(figure.value))
    match = _BETWEEN.fullmatch(plain)
    if match and "/" not in plain:
        low, high = _figure(match[1], comma, bool(match[3])), _figure(match[2], comma, bool(match[3]))
        if low.value <= high.value:
            return Cell(text, Shape.BOUND, (low, high), float(low.value), float(high.value))
    return None


def _ratio(text: str, plain: str, comma: bool) -> Cell | None:
    match = _RATIO.fullmatch(plain)
    return Cell(text, Shape.RATIO, (_figure(match[1], comma), _figure(match[2], comma))) if match else None


def _words(text: str, plain: str, comma: bool) -> Cell:
    figures = tuple(_figure(match[0], comma) for match in _NUMBER.finditer(plain))
    return Cell(text, Shape.WORDS, figures)


def _figure(written: str, comma: bool, percent: bool = False) -> Figure:
    """A number's value: which of point and comma parts decimals is what the table does, where it is not plain."""
    mantissa, _, exponent = written.replace(" ", "").replace("'", "").replace("’", "").casefold().partition("e")
    mantissa = _with_point(mantissa, comma)
    places = max(len(mantissa.partition(".")[2]) - int(exponent or 0), 0)
    return Figure(Decimal(mantissa) * Decimal(10) ** int(exponent or 0), places, percent)


def _with_point(mantissa: str, comma: bool) -> str:
    points, commas = mantissa.count("."), mantissa.count(",")
    if points and commas:
        last = max(mantissa.rfind("."), mantissa.rfind(","))
        whole, decimals = mantissa[:last], mantissa[last + 1 :]
        return whole.replace(".", "").replace(",", "") + "." + decimals
    if points > 1 or commas > 1:
        return mantissa.replace(".", "").replace(",", "")
    if commas:
        return mantissa.replace(",", "." if comma or not re.search(r"\d,\d{3}$", mantissa) else "")
    return mantissa.replace(".", "") if comma and re.search(r"^[+-]?[1-9]\d{0,2}\.\d{3}$", mantissa) else mantissa
