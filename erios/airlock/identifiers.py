"""What names or numbers a person, wherever text stands: labels, headers, notes, code, notebooks, metadata.

Owns the patterns of the airlock; that of people's titles and numbers in the hospital's codes is its own too
(``erios.workflows.codes``). A finding says which pattern and where, never what matched.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from functools import cache

from erios.checkout import PROJECT
from etl.privacy import LOCAL

PERSONAL = re.compile(
    r"\b(dr|docteur|pr|prof|professeur|mme|madame|mlle|mr|m|monsieur|cabinet|ide|chez|né|née|nee)\b[. ]"
    r"|@|\b0[1-9](?:[ .-]?\d{2}){4}\b|\d{6,}",
    re.IGNORECASE,
)
"""What names a person or numbers one, in a code of the hospital or its label."""

_MONTHS = (
    r"janv(?:ier)?|f[ée]vr?(?:ier)?|mars|avr(?:il)?|mai|juin|juil(?:let)?|ao[uû]t|sept?(?:embre)?|oct(?:obre)?|nov(?:embre)?"
    r"|d[ée]c(?:embre)?|january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun"
    r"|jul|aug"
)
_CAPITAL = (
    r"[A-ZÀ-ÖØ-Þ](?:[a-zà-öø-ÿ]+|[A-ZÀ-ÖØ-Þ]+|['’][A-ZÀ-Þ]?[a-zà-ÿ]+)"
    r"(?:[-'’ ](?:de |du |le |la )?[A-ZÀ-Þ][A-Za-zÀ-ÿ]+)?"
)
PATTERNS: Mapping[str, re.Pattern[str]] = {
    "hash": re.compile(r"(?<![0-9A-Za-z])(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{16,}(?![0-9A-Za-z])"),
    "uuid": re.compile(r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"),
    "local-code": re.compile(rf"\b{LOCAL}[0-9a-f]{{8,}}\b"),
    "nir": re.compile(
        r"(?<!\d)[1-478]\s?\d\d\s?(?:0[1-9]|1[0-2]|[2-9]\d)\s?(?:\d\d|2[ABab])\s?\d{3}\s?\d{3}(?:\s?\d\d)?(?!\d)"
    ),
    "phone": re.compile(r"(?<!\d)(?:0[1-9](?:[ .-]?\d{2}){4}|\+\d{2}[ .-]?\(?0?\)?\d(?:[ .-]?\d{2}){4})(?!\d)"),
    "email": re.compile(r"[\w.+-]+\s?(?:@|\[at\]|\(at\)| at )\s?[\w-]+\s?(?:\.|\[dot\]| dot )\s?[A-Za-z]{2,}"),
    "date": re.compile(
        rf"(?<![\d.,])(?:(?:19|20)\d\d(?P<a>[-/.])(?:0?[1-9]|1[0-2])(?P=a)(?:0?[1-9]|[12]\d|3[01])"
        rf"|(?:0?[1-9]|[12]\d|3[01])(?P<b>[-/.])(?:0?[1-9]|1[0-2])(?P=b)(?:(?:19|20)\d\d|\d\d)"
        rf"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
        rf"|(?:0?[1-9]|[12]\d|3[01])(?:er|st|nd|rd|th)?[ -](?:of )?(?:{_MONTHS})\.?,?[ -](?:19|20)?\d\d"
        rf"|(?:{_MONTHS})\.? (?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?,? (?:19|20)\d\d)(?![\d.]?\d)",
        re.IGNORECASE,
    ),
    "name": re.compile(
        r"(?:\b(?:M\.|Mme|Mlle|Mgr|Monsieur|Madame|Mademoiselle|Docteur|Professeur|Dr|Pr|Mr|Mrs|Ms|Miss)\.? ?"
        r"|\b(?:[Pp]atiente?|[Nn]ée?|[Nn]om|[Pp]r[ée]nom|NOM|PRENOM|[Nn]ame|[Ss]urname|[Ff]ille de|[Ff]ils de)"
        rf"[ \t]*[:=]?[ \t]*[\"']?)({_CAPITAL})"
    ),
    "initials": re.compile(r"\b[Pp]atiente?s?\s+[A-Z]\.\s?-?[A-Z]\b\.?"),
    "title": re.compile(
        r"\b(?:monsieur|madame|mademoiselle)\s+(?!(?:le|la|les|de|du|des|et|ou|x"
        r"|y)\b)[a-zà-ÿ][a-zà-ÿ'-]{2,}",
        re.IGNORECASE,
    ),
    "address": re.compile(
        r"\b\d{1,4}(?:\s?(?:bis|ter))?,?\s+(?:rue|avenue|av\.|boulevard|bd|chemin|impasse|all[ée]e|place|route|quai|street|road)\s+\w",
        re.IGNORECASE,
    ),
    "secret": re.compile(
        r"-----BEGIN [A-Z ]+-----|\b(?:password|passwd|mot de passe|api[_-]?key|token)\s*[:=]\s*['\"]?\S{6,}", re.I
    ),
}


@cache
def first_names() -> frozenset[str]:
    """First names, folded: ``conf/first_names.txt``."""
    lines = (PROJECT / "conf" / "first_names.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(name for line in lines if not line.startswith("#") for name in line.split())


_NAMED = {"initials": "name", "title": "name"}
_NOT_NAMES = frozenset(
    [
        "Data",
        "Cohort",
        "Cohorte",
        "Records",
        "Record",
        "Count",
        "Counts",
        "Level",
        "Sex",
        "Age",
        "Group",
        "Groupe",
        "Table",
        "Total",
        "Number",
        "Nombre",
        "Characteristics",
        "Demographics",
        "Care",
        "Safety",
        "Key",
        "Keys",
        "Id",
        "Ids",
        "Set",
        "Sets",
        "With",
        "Without",
        "Series",
        "Frame",
        "None",
        "True",
        "False",
        "Exclus",
        "Inclus",
        "Admis",
        "Status",
    ]
)
_KEYWORDS = frozenset(
    ("WHERE", "GROUP", "ORDER", "JOIN", "LEFT", "INNER", "OUTER", "FULL", "CROSS", "LIMIT", "UNION", "HAVING", "USING")
)
"""Of SQL, which stand after a table's name."""
_PERIOD_EDGES = re.compile(
    r"(?:19|20)\d\d-?(?:(?:01|04|07|10)-?01|03-?31|06-?30|09-?30|12-?31)|(?:01[/.](?:01|04|07|10)|31[/.](?:03|12)|30[/.](?:06|09))[/.](?:19|20)\d\d"
)
_LONG_NUMBER = re.compile(r"(?<![\d.,_])\d{7,}(?![\d.,_]\d|\d)")
_LONGER_NUMBER = re.compile(r"(?<![\d.,_])\d{10,}(?![\d.,_]\d|\d)")
_SPACED_DIGITS = re.compile(r"(?<!\d)(?:\d[ .\-_]){9,}\d(?!\d)")
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_HIDDEN_LETTERS = frozenset("\u3164\u2800\u115f\u1160\uffa0\u180e")


def identifiers_in(text: str, *, code: bool = False, pseudonyms: Collection[str] = ()) -> Iterator[tuple[str, int]]:
    """(name of a pattern, where it begins) for whatever names or numbers a person; ``code`` may have the first and last
    days of quarters and years, and numbers of up to nine digits, as the codes of terminologies are."""
    plain = unicodedata.normalize("NFKC", text)
    for name, pattern in PATTERNS.items():
        for match in pattern.finditer(plain):
            if not _is_harmless(name, match):
                yield _NAMED.get(name, name), match.start()
    for match in (_LONGER_NUMBER if code else _LONG_NUMBER).finditer(plain):
        if not match[0].endswith("0000"):
            yield "long-number", match.start()
    for match in _SPACED_DIGITS.finditer(plain):
        yield "long-number", match.start()
    yield from (("name", start) for start in _full_names(plain))
    yield from (("pseudonym", plain.find(each)) for each in pseudonyms if len(each) > 3 and each in plain)


def _is_harmless(name: str, match: re.Match[str]) -> bool:
    """Edges of a period; a capital after "patient" that is a word of the field."""
    if name == "date":
        return _PERIOD_EDGES.fullmatch(match[0]) is not None
    first = match[1].split()[0] if name == "name" else ""
    return bool(first) and (first in _NOT_NAMES | _KEYWORDS or (match[1].isupper() and len(match[1]) < 4))


def _full_names(text: str) -> Iterator[int]:
    """A first name beside a word with a capital: "Marie Xxxx", "XXXX Marie"."""
    words = list(_WORD.finditer(text))
    for place, word in enumerate(words):
        if fold_name(word[0]) in first_names() and word[0][0].isupper():
            beside = [words[other] for other in (place - 1, place + 1) if 0 <= other < len(words)]
            if any(_is_surname(other[0]) and _are_close(text, word, other) for other in beside):
                yield word.start()


def fold_name(word: str) -> str:
    """Without accents, in lower case."""
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _is_surname(word: str) -> bool:
    return len(word) > 2 and word[0].isupper() and word not in _NOT_NAMES


def _are_close(text: str, one: re.Match[str], other: re.Match[str]) -> bool:
    between = text[min(one.end(), other.end()) : max(one.start(), other.start())]
    return between in (" ", ", ", "  ", "_", ".", "\u202f", "\xa0", ";", ",") and "\n" not in between


def invisible_in(text: str) -> Iterator[int]:
    """Where a letter stands that nobody sees: zero width, direction, private, unassigned, controls."""
    for place, letter in enumerate(text):
        category = unicodedata.category(letter)
        seen = letter in "\n\r\t\f" or (place == 0 and letter == "\ufeff")
        variant = "\ufe00" <= letter <= "\ufe0f" or letter in _HIDDEN_LETTERS
        if (category in ("Cf", "Co", "Cn", "Cs", "Cc") and not seen) or variant:
            yield place
