"""Types of the fields of a criterion: how a value is read, written, made canonical, described and shown in a form.

Owns every check of a single field; InputError names the place and what is allowed. Knows no criterion.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, NoReturn

from erios.errors import InputError
from erios.translation import format_day

MAX_CODES = 100


def fail(at: str, problem: str) -> NoReturn:
    """InputError that begins with the place."""
    raise InputError(f"{at}: {problem}")


def quoted(value: Any) -> str:
    """A value that a person wrote, shortened, as a sentence shows it."""
    return f"'{str(value)[:40]}'"


def check_list(value: Any, at: str, most: int, least: int = 1) -> list[Any]:
    """The list, which has ``least`` to ``most`` entries."""
    if not isinstance(value, list) or not least <= len(value) <= most:
        fail(at, f"must be a list of {least} to {most} entries")
    return value


def check_object(value: Any, at: str, allowed: Collection[str], required: Collection[str] = ()) -> Mapping[str, Any]:
    """The object, whose names are allowed and which has those that are required."""
    if not isinstance(value, Mapping):
        fail(at, f"must be an object with {', '.join(allowed)}")
    for name in value:
        if name not in allowed:
            fail(at, f"unknown field {quoted(name)}; allowed are {', '.join(allowed)}")
    for name in required:
        if name not in value:
            fail(at, f"field '{name}' is missing")
    return value


def check_name(value: Any, at: str, allowed: Collection[str]) -> str:
    """The one name of an object with one name, which is allowed."""
    names = f"one of {', '.join(sorted(allowed))}"
    if not isinstance(value, Mapping) or len(value) != 1:
        fail(at, f"must be an object with one name, {names}")
    (name,) = value
    if name not in allowed:
        fail(at, f"unknown criterion {quoted(name)}; {names}")
    return str(name)


@dataclass(frozen=True)
class FieldType:
    """A field of a criterion. ``key``: its name in JSON and in the form; ``meaning``: for docs/criteria.md."""

    key: str
    meaning: str
    required: bool = field(default=False, kw_only=True)
    examples: tuple[str, ...] = field(default=(), kw_only=True)
    """What an empty text field shows, and a refusal names."""
    choices: tuple[str, ...] = field(default=(), kw_only=True)
    """The words that are allowed, where they are few."""
    widget: ClassVar[str] = "text"

    @property
    def default_choice(self) -> str:
        """The choice that a form shows where none is made; empty for none."""
        return ""

    def parse(self, value: Any, at: str) -> Any:
        """The checked value of a JSON value."""
        raise NotImplementedError

    def dump(self, value: Any) -> Any:
        """The JSON value; None where the field is left out."""
        return value

    def canonical(self, value: Any) -> Any:
        """The same for every value that means the same."""
        return value

    def describe(self, value: Any, words: Mapping[str, str]) -> str:
        """The value in the words of a language."""
        return str(value)

    def from_form(self, text: str) -> Any:
        """The JSON value of a form's text; None where the field is left out."""
        return text or None

    def to_form(self, value: Any) -> str:
        """The form's text of a value."""
        return "" if value is None else str(value)

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the JSON value."""
        return {"type": "string"}


@dataclass(frozen=True)
class Whole(FieldType):
    """A whole number from ``low`` to ``high``."""

    low: int = 0
    high: int = 0
    widget: ClassVar[str] = "number"

    def parse(self, value: Any, at: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            fail(at, f"must be a whole number from {self.low} to {self.high}")
        return value

    def from_form(self, text: str) -> int | None:
        if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise InputError(f"'{self.key}' must be a whole number from {self.low} to {self.high}")
        return int(text) if text else None

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Day(FieldType):
    """A day such as 2024-01-31; ``instead``: a word that stands for no day, which the form leaves empty."""

    instead: str = ""
    widget: ClassVar[str] = "date"

    def parse(self, value: Any, at: str) -> date | None:
        if self.instead and value == self.instead:
            return None
        try:
            if isinstance(value, str) and len(value) == 10:
                return date.fromisoformat(value)
        except ValueError:
            pass
        fail(at, "must be a day such as '2024-01-31'" + (f" or '{self.instead}'" if self.instead else ""))

    def dump(self, value: date | None) -> str | None:
        return value.isoformat() if value else self.instead or None

    def describe(self, value: date | None, words: Mapping[str, str]) -> str:
        return format_day(value) if value else ""

    def from_form(self, text: str) -> str | None:
        return text or self.instead or None

    def schema(self) -> dict[str, Any]:
        day = {"type": "string", "format": "date"}
        return {"anyOf": [day, {"const": self.instead}]} if self.instead else day


@dataclass(frozen=True)
class Codes(FieldType):
    """One code or several, upper case and undotted: ``E11.9`` is E119. ``ranges``: ``I10-I15`` is allowed too."""

    pattern: str = ""
    single: bool = False
    ranges: bool = False

    def parse(self, value: Any, at: str) -> Any:
        if self.single:
            return self._code(value, at)
        return tuple(self._code(entry, at) for entry in check_list(_as_list(value), at, MAX_CODES))

    def _code(self, value: Any, at: str) -> str:
        code = value.upper().replace(".", "").strip() if isinstance(value, str) else ""
        if not re.fullmatch(self.pattern, code):
            fail(at, f"{quoted(value)} is not a code such as {_listed(self.examples)}")
        if self.ranges and "-" in code and code.partition("-")[0] > code.partition("-")[2]:
            fail(at, f"the range {quoted(code)} is upside down")
        return code

    def dump(self, value: Any) -> Any:
        return value if self.single else list(value)

    def canonical(self, value: Any) -> Any:
        """Codes that no other, shorter one holds; ranges stay as they are."""
        if self.single:
            return value
        kept: list[str] = []
        for code in sorted(set(value)):
            if "-" in code or not any("-" not in outer and code.startswith(outer) for outer in kept):
                kept.append(code)
        return tuple(kept)

    def describe(self, value: Any, words: Mapping[str, str]) -> str:
        return str(value) if self.single else words["or"].join(value)

    def from_form(self, text: str) -> Any:
        return text if self.single else text.replace(",", " ").split()

    def to_form(self, value: Any) -> str:
        return str(value) if self.single else " ".join(value)

    def schema(self) -> dict[str, Any]:
        code = {"type": "string", "examples": list(self.examples)}
        return code if self.single else {"anyOf": [code, {"type": "array", "items": code, "maxItems": MAX_CODES}]}


@dataclass(frozen=True)
class OneOf(FieldType):
    """One word of ``choices``; without the field it is ``default``."""

    default: str = ""
    widget: ClassVar[str] = "select"

    @property
    def default_choice(self) -> str:
        return self.default

    def parse(self, value: Any, at: str) -> str:
        return _word(value, at, self.choices)

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.choices)}


@dataclass(frozen=True)
class SomeOf(FieldType):
    """One word of ``choices`` or several. Without the field it is ``default``."""

    default: tuple[str, ...] = ()
    widget: ClassVar[str] = "multiple"

    def parse(self, value: Any, at: str) -> tuple[str, ...]:
        return tuple(_word(entry, at, self.choices) for entry in check_list(_as_list(value), at, MAX_CODES))

    def dump(self, value: tuple[str, ...]) -> list[str] | None:
        return None if self._is_default(value) else list(value)

    def _is_default(self, value: tuple[str, ...]) -> bool:
        return not self.required and set(value) == set(self.default)

    def canonical(self, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(value)))

    def describe(self, value: tuple[str, ...], words: Mapping[str, str]) -> str:
        text = words["or"].join(words.get(word, word) for word in value)
        return text if self.required else "" if self._is_default(value) else f" ({text})"

    def from_form(self, text: str) -> list[str] | None:
        words = text.split()
        return words if words or self.required else None

    def to_form(self, value: tuple[str, ...]) -> str:
        return "" if self._is_default(value) else " ".join(value)

    def schema(self) -> dict[str, Any]:
        word = {"enum": list(self.choices)}
        return {"anyOf": [word, {"type": "array", "items": word, "minItems": 1}]}


@dataclass(frozen=True)
class Number(FieldType):
    """A decimal number under 10⁹ with at most 6 decimals; a string keeps its digits."""

    widget: ClassVar[str] = "decimal"

    def parse(self, value: Any, at: str) -> Decimal:
        try:
            if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
                raise InvalidOperation
            number = Decimal(str(value))
            if abs(number) < 10**9 and number == number.quantize(Decimal("0.000001")):
                return number
        except InvalidOperation:
            pass
        fail(at, "must be a number under 1000000000 with at most 6 decimals")

    def dump(self, value: Decimal | None) -> str | None:
        return None if value is None else plain_number(value)

    def to_form(self, value: Decimal | None) -> str:
        return "" if value is None else plain_number(value)

    def schema(self) -> dict[str, Any]:
        return {"type": ["number", "string"]}


@dataclass(frozen=True)
class Unit(FieldType):
    """A unit of UCUM, compared as it is written."""

    def parse(self, value: Any, at: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[!-~µ°²³]{1,40}", value):
            fail(at, f"must be a UCUM unit such as {_listed(self.examples)}")
        return value


def plain_number(value: Decimal) -> str:
    """Without exponent, trailing zeros or a negative zero."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _word(value: Any, at: str, choices: Collection[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        fail(at, f"{quoted(value)} is not one of {', '.join(choices)}")
    return value


def _listed(examples: Iterable[str]) -> str:
    *first, last = (f"'{example}'" for example in examples)
    return f"{', '.join(first)} or {last}" if first else last
