"""The checks of text: prose, code, labels of tables, cells of notebooks.

Owns what text may not hold: identifiers, invisible letters, data in disguise, markup that a page would run, and
numbers of few patients in words.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import islice

from erios.airlock.cells import NUMBER_WORDS, Shape, fold, read_cell
from erios.airlock.findings import MOST_FINDINGS, Finding, Verdict
from erios.airlock.identifiers import identifiers_in, invisible_in
from erios.airlock.margins import is_disclosed
from erios.airlock.shares import share_of
from erios.settings_sections import AirlockSettings

_LONGEST_LINE = 4000
_READ_OF_LONG = 200
"""Characters of a line; one with more holds the file, so that little of it needs to be read."""
_PEOPLE = (
    r"(?:patient(?:e?s?)|personnes?|people|persons?|individu(?:s|als?)?|sujets?|subjects?|cas|cases?|deces|deaths?|morts?|femmes?"
    r"|hommes?|women|woman|men|man|enfants?|child(?:ren)?|malades?|participants?|sejours?|stays?|admissions?|evenements?|events?"
    r"|hospitalisations?|males?|females?|garcons?|filles?|boys?|girls?|nouveau-nes?|newborns?|infants?|survivors?|survivants?"
    r"|temoins?|controls?|porteurs?|rechutes?|complications?|volontaires?|donneurs?|donors?|readmissions?|suicides?)"
)
_SMALL = "|".join(sorted((word for word, number in NUMBER_WORDS.items() if 1 < number < 11), key=len, reverse=True))
_LINKS = r"(?:de|des|du|d|of|sur|par|per|chez|in|for|from|et|and|ou|or|les|the|a|to|with|avec)"
_FEW = re.compile(
    rf"(?<![\w.,/-])(\d{{1,2}}|{_SMALL})\s+(?:(?:of|de|des|parmi)\s+(?:(?:the|les|nos|our)\s+)?"
    rf"|(?:(?!{_LINKS}\b)[a-z'’-]+\s+){{0,2}}?){_PEOPLE}\b"
)
_SINGLE = re.compile(
    rf"\b(?:une? seule?|un unique|une unique|l unique|only one|a single|one single|just one"
    rf"|exactly one)(?:\s+[a-z-]+)?\s+{_PEOPLE}\b"
)
_OF_WHOM = re.compile(
    rf"\b(?:dont|including|of whom|of which|parmi lesquels|parmi lesquelles|notamment)\s+(\d{{1,2}}"
    rf"|{_SMALL}|une?|one)\b(?! ?[%.,]?\d| ?%)"
)
_SECTION = re.compile(
    rf"^[ \t]*(?:\[[\w.]*?(?:counts?|effectifs?|{_PEOPLE})\]|[\"']?\w*?(?:counts?|effectifs?"
    rf"|{_PEOPLE})[\"']?\s*[:=]\s*[({{]*)[ \t]*\n"
    r"((?:[ \t]*[\"']?[\w -]+[\"']?\s*[:=]\s*[\d.]+,?[ \t]*(?:\n|$))+)",
    re.MULTILINE,
)
_SIZE = re.compile(r"\bn\s*(?:=|:|≈)\s*(\d{1,2})(?![\d.,]*\d)")
_OF = re.compile(
    r"(?<![\w.,/])(\d{1,3})\s*(?:/|sur(?: les?)?|of(?: the)?|out of(?: the)?|parmi(?: les)?"
    r"|among(?: the)?|des)\s*(\d{1,6})\b"
)
_SHARE_OF = re.compile(
    r"(\d+(?:[.,]\d+)?)\s*%\s*(?:de|des|of|parmi|chez|among|in|sur)?\s*(?:les|the|nos|our|ces)?\s*(\d{1,6})\b"
)
_ANY_SHARE = re.compile(r"(?<![\d.,])(\d+(?:[.,]\d+)?)\s*%")
_PEOPLE_NUMBER = re.compile(rf"(?<![\d.,])(\d{{2,3}})\s+(?:[a-z'’-]+\s+){{0,2}}?{_PEOPLE}\b")
_PORTRAIT = re.compile(
    r"\b(?:homme|femme|patiente?|garcon|fille|enfant|dame|monsieur|man|woman|boy|girl|patient|il|elle|she|he|nourrisson)\b[^.\n]{0,25}?"
    r"\b(?:age(?:e)? de|de|aged|of)\s*(\d{1,3})\s*(?:ans|years?)\b|\b(\d{1,3})[- ]year[- ]old\b"
    r"|\b(\d{1,3})[- ]?(?:yo|y/o)\b"
)
_OLD = re.compile(
    r"(?<![\d>≥<≤.,=-])(\d{2,3})\s*(?:ans|years? old|years of age)\b(?!\s*(?:et plus"
    r"|and over|or more|ou plus))"
)
_BLOB = re.compile(
    r"[A-Za-z0-9+/_-]{80,}={0,2}|data:[\w/+.-]+;base64,|(?:\\x[0-9a-fA-F]{2}){12,}|(?:%[0-9a-fA-F]{2}){12,}"
)
_NUMBERS = re.compile(r"(?:[+-]?\d+(?:[.,]\d+)?(?:e[+-]?\d+)?\s*[,;\s]\s*){24,}[+-]?\d", re.IGNORECASE)
_MARKUP = re.compile(
    r"<\s*/?\s*(?:script|svg|img|iframe|object|embed|html|body|style|table|link|meta|form|input|base|video|audio)\b|<!doctype"
    r"|<\?xml|javascript:|\{\\rtf|^%!PS|^%PDF",
    re.IGNORECASE | re.MULTILINE,
)
_ANY_TAG = re.compile(r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>|&#x?[0-9a-f]+;", re.IGNORECASE)
_TRAILING = re.compile(r"[ \t]*\t[ \t]*$|[ ]{3,}$", re.MULTILINE)
_ASSIGNED = re.compile(
    r"^[\s\-*>#]*[\"']?([^\W\d][\w .'’()-]{0,60}?)[\"']?\s*(?::|<-|=|->|→|\t"
    r"|\.{2,})\s*(\d{1,2})(?:\.0+)?\s*(?:\(.*\)|%)?[,;.]?\s*(?:#.*)?$",
    re.MULTILINE,
)
_METHOD = re.compile(
    r"\b(?:version|seed|graine|fold\w*|folds|pli\w*|epoch\w*|page|chapitre|chapter|section|step\w*|etape\w*|k|depth|max|min|layer\w*"
    r"|couche\w*|figure|fig|table\w*|tableau\w*|threshold|seuil|batch\w*|split\w*|iter\w*|jobs?|neighbo\w*|estimator\w*|cluster\w*|component\w*"
    r"|degree\w*|lag|window|fenetre|horizon|ans|years|mois|months|jours|days|semaines|weeks|hours|heures|minutes|level|niveau|score"
    r"|classe?s?|variables?|features?|columns?|colonnes?|models?|modeles?|centres?|sites?|hopitaux|services?|annexe|appendix|python|r|note"
    r"|significance|alpha|power|puissance|digits?|decimals?|round|repeats?|grade|stage|stade|rang|rank|quantiles?|bins?|size|question|item)\b"
)
_LIMITS = re.compile(r"\b(?:min|max|threshold|seuil|limit|least|most|per|par)\b")
_POPULATION = re.compile(
    rf"(?:^|[^a-z]){_PEOPLE}(?:$|[^a-z])|^(?:n|nb|counts?|effectifs?)$|mort|vivant|exclu|inclu"
    rf"|perdus"
)


def check_text(
    text: str, settings: AirlockSettings, *, code: bool = False, pseudonyms: Collection[str] = ()
) -> Iterator[Finding]:
    """What is seen in a text; places are lines from 1. ``code``: what programs write is no number of patients."""
    return islice(_seen(text, settings, code, pseudonyms), MOST_FINDINGS)


def _seen(text: str, settings: AirlockSettings, code: bool, pseudonyms: Collection[str]) -> Iterator[Finding]:
    yield from _letters(text)
    lines = text.split("\n")
    if max(map(len, lines)) > _LONGEST_LINE:
        yield Finding("long-line", values={"limit": _LONGEST_LINE})
        text = "\n".join(line[:_READ_OF_LONG] for line in lines)
    yield from (_at(text, start, name) for name, start in identifiers_in(text, code=code, pseudonyms=pseudonyms))
    if not code:
        yield from (_at(text, match.start(), "markup") for match in _ANY_TAG.finditer(text))
    for check, pattern in (("blob", _BLOB), ("numbers", _NUMBERS), ("markup", _MARKUP), ("trailing-space", _TRAILING)):
        yield from (_at(text, match.start(), check) for match in pattern.finditer(text))
    plain = _folded(text)
    yield from _few(plain, settings, code)
    yield from _portraits(plain, settings)


def _at(text: str, start: int, check: str, verdict: Verdict = Verdict.HELD, **values: object) -> Finding:
    return Finding(check, verdict, "line", {"line": text.count("\n", 0, max(start, 0)) + 1, **values})


def _letters(text: str) -> Iterator[Finding]:
    yield from (_at(text, place, "invisible") for place in invisible_in(text))


def _folded(text: str) -> str:
    """Folded, line by line, so that places keep their lines."""
    return "\n".join(fold(line) for line in text.splitlines())


def _few(plain: str, settings: AirlockSettings, code: bool) -> Iterator[Finding]:
    """Numbers of few patients, in figures or words, and what shares tell of them."""
    limit = settings.threshold
    for match in (match for pattern in (_FEW, _OF_WHOM) for match in pattern.finditer(plain)):
        if (NUMBER_WORDS.get(match[1]) or _integer(match[1]) or limit) < limit:
            yield _at(plain, match.start(), "few-patients", threshold=limit)
    for match in _SINGLE.finditer(plain):
        yield _at(plain, match.start(), "few-patients", threshold=limit)
    yield from () if code else _in_prose(plain, limit)
    yield from _sections(plain, limit)
    yield from _assigned(plain, limit, code)


def _in_prose(plain: str, limit: int) -> Iterator[Finding]:
    for match in _OF.finditer(plain):
        few, whole = int(match[1]), int(match[2])
        told = few < whole and (few < limit or whole - few < limit)
        if told and whole >= limit and _near_people(plain, match):
            yield _at(plain, match.start(), "few-patients", threshold=limit)
    for match in _SIZE.finditer(plain):
        if int(match[1]) < limit:
            yield _at(plain, match.start(), "few-patients", threshold=limit)
    yield from _shares(plain, limit)


def _sections(plain: str, limit: int) -> Iterator[Finding]:
    """Sections of a configuration under the name of a count."""
    for match in _SECTION.finditer(plain):
        if any(float(value) < limit for value in re.findall(r"[:=]\s*(\d+(?:\.\d+)?)", match[1])):
            yield _at(plain, match.start(), "few-patients", threshold=limit)


def _integer(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _near_people(plain: str, match: re.Match[str]) -> bool:
    around = plain[max(match.start() - 60, 0) : match.end() + 60]
    return re.search(rf"\b{_PEOPLE}\b|%|\bn\b", around) is not None


def _assigned(plain: str, limit: int, code: bool) -> Iterator[Finding]:
    """Lines as "deaths: 3"; in code only where the name is of people, and not where it begins to count."""
    for match in _ASSIGNED.finditer(plain):
        name = match[1].replace("_", " ")
        people = _POPULATION.search(name) is not None and not _LIMITS.search(name)
        counted = people and int(match[2]) > 1 if code else people or not _METHOD.search(name)
        if int(match[2]) < limit and counted:
            yield _at(plain, match.start(1), "few-patients", threshold=limit)


def _shares(plain: str, limit: int) -> Iterator[Finding]:
    """ "12.5 % of the 24 patients", and any share in a line that says of how many."""
    for start, line in _lines(plain):
        sizes = [int(match[2]) for match in _SHARE_OF.finditer(line)] + [
            int(match[1]) for match in _PEOPLE_NUMBER.finditer(line)
        ]
        sizes += [int(match[1]) for match in re.finditer(r"\bn\s*=\s*(\d{2,6})\b", line)]
        for match in _ANY_SHARE.finditer(line):
            cell = read_cell(match[0])
            if cell.shape == Shape.NUMBER and cell.figures:
                share = share_of((0, 0), cell.figures[0], percent=True)
                intervals = (share.of(size, size) for size in sizes)
                if any(
                    interval is not None and interval.high > 0 and is_disclosed(interval, limit)
                    for interval in intervals
                ):
                    yield _at(plain, start + match.start(), "share", threshold=limit)


def _lines(plain: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in plain.split("\n"):
        yield start, line
        start += len(line) + 1


def _portraits(plain: str, settings: AirlockSettings) -> Iterator[Finding]:
    """One person described by an age; ages of the very old."""
    yield from (_at(plain, match.start(), "portrait") for match in _PORTRAIT.finditer(plain))
    for match in _OLD.finditer(plain):
        if settings.age < int(match[1]) < 125:
            yield _at(plain, match.start(), "old-age", age=settings.age)
