"""What two figures tell together: a group within another, in one table, in two, or between a file and what left before.

Owns which figures are of nested groups: totals and parts, rows that count up or down, the same label in two tables, and
labels that differ in one limit ("≥ 65" and "≥ 66"). Source: differencing as the handbook of Eurostat's centre of
excellence on statistical disclosure control describes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from erios.airlock.cells import fold
from erios.airlock.column_kinds import is_total
from erios.airlock.margins import Equation, equations_of, recoverable, rounding_of
from erios.airlock.tables import Interval, Place, Table

Key = frozenset[str]
"""Labels and header of a figure, in no order, so that a table on its side has the same."""
_WHOLE = re.compile(
    r"(n|nb|nbr|no|size|support|denominat\w*|(n |nb |nombre )?(total|ensemble|effectif|patient|sejour"
    r"|stay|sujet|population"
    r"|inclus\w*|admission|at risk|a risque|included|participant|expos\w*|case|cas|personne"
    r"|subject)s?( (total|inclus\w*))?)"
)
_LIMIT = re.compile(
    r">|<|≥|≤|\bplus de\b|\bmoins de\b|\bau moins\b|\bau plus\b|\bat (least|most)\b|\bover\b|\bunder\b|\d ?\+|\bcumul"
)
_FLOW = re.compile(
    r"\b(inclu\w*|eligi\w*|screen\w*|analys\w*|randomi\w*|suivi\w*|dont|parmi|retenu\w*|apres|avant|followed|follow|after|before"
    r"|complete\w*|enrol\w*|assess\w*|evalu\w*|recrut\w*|initial\w*|final\w*|depart|of (which|whom)"
    r"|with|avec|sans|without)\b"
)
_AT_RISK = re.compile(r"cumul|\bcum\b|at risk|a risque|restants?|remaining|suivis|surviv|vivants")
_NUMBERS = re.compile(r"\d+(?:[.,]\d+)?")
_RANGE = re.compile(r"(.*?)(\d+) ?(?:-|a|to|–|et) ?(\d+)(.*)")
_PLAIN_COUNTS = re.compile(
    r"n|nb|nbre?|no|nombre|number|num|effectifs?|eff|counts?|freq(?:uence)?|patients?|sujets?|personnes|people|subjects"
    r"|cas|de|des|of|the|total"
)


def nested_columns(table: Table) -> Iterator[tuple[Place, Interval]]:
    """A column of all and one of some of them: those of the row who are in the first alone."""
    columns = sorted({column for _, column in table.counts})
    for whole in columns:
        if not (_WHOLE.fullmatch(_plain(table.names[whole])) or is_total(table.names[whole])):
            continue
        for part in columns:
            pairs = [
                ((row, part), table.counts[row, whole], table.counts[row, part])
                for row in table.body
                if (row, whole) in table.counts and (row, part) in table.counts
            ]
            shown = [(a, b) for _, a, b in pairs if not a.hidden and not b.hidden]
            if part != whole and shown and all(a.low >= b.low for a, b in shown):
                yield from _differences(pairs, rounding_of(table))


def _plain(name: str) -> str:
    return " ".join(re.sub(r"[^a-z]+", " ", fold(re.sub(r"\(.*?\)", " ", name))).split())


def _differences(pairs: Sequence[tuple[Place, Interval, Interval]], base: int) -> Iterator[tuple[Place, Interval]]:
    reach = 2 * (base // 2)
    for place, whole, part in pairs:
        if not whole.hidden and not part.hidden:
            apart = abs(whole.low - part.low)
            yield place, Interval(max(apart - reach, 0), apart + reach)


def nested_rows(table: Table) -> Iterator[tuple[Place, Interval]]:
    """Rows of which one is within the next: limits that move, and flows of inclusion; patients at risk."""
    base = rounding_of(table)
    for before, after in zip(table.body, table.body[1:], strict=False):
        labels = " ".join(table.label(before)), " ".join(table.label(after))
        nested = _is_moved_limit(*labels) or (_FLOW.search(labels[1]) and _FLOW.search(" ".join(labels)))
        for column in range(table.width):
            first, second = table.counts.get((before, column)), table.counts.get((after, column))
            at_risk = _AT_RISK.search(fold(table.names[column]))
            if first and second and (at_risk or (nested and (first.low >= second.low or _is_moved_limit(*labels)))):
                pairs = [((after, column), first, second)]
                yield from (each for each in _differences(pairs, base) if each[1].high > 0)


def _is_moved_limit(one: str, other: str) -> bool:
    """The same words with one number changed, where the number is a limit of the group."""
    if one == other or _NUMBERS.sub("#", one) != _NUMBERS.sub("#", other):
        return False
    moved = sum(a != b for a, b in zip(_NUMBERS.findall(one), _NUMBERS.findall(other), strict=True))
    ends = len(_NUMBERS.findall(one)) > 1 and _RANGE.search(one) is not None
    return moved == 1 and (_LIMIT.search(one) is not None or ends)


@dataclass(frozen=True)
class Facts:
    """A table's figures by what they are of."""

    table: Table

    @cached_property
    def keys(self) -> dict[Place, Key]:
        """Place → key."""
        return {(row, column): self._key(self.table.label(row), column) for row, column in self.table.counts}

    def _key(self, label: Sequence[str], column: int) -> Key:
        return frozenset(filter(None, map(_word, (*label, self.table.names[column]))))

    @cached_property
    def counts(self) -> dict[Key, Interval]:
        """Key → what is known, sums that anybody reckons included: of all rows, and of ranges that follow each
        other."""
        table, counts = self.table, {self.keys[place]: count for place, count in _solved(self.table).items()}
        rows = [row for row in table.body if not table.is_total_row(row)]
        for column in sorted({column for _, column in table.counts}):
            cells = [(table.label(row), table.counts[row, column]) for row in rows if (row, column) in table.counts]
            if len(cells) > 1 and all(not count.hidden for _, count in cells):
                total = sum(count.low for _, count in cells)
                counts.setdefault(self._key([], column), Interval(total, total))
            for label, count in _ranges(cells):
                counts.setdefault(self._key([label], column), count)
        return counts

    def all_keys(self) -> set[Key]:
        """Of figures, and of what they sum up to."""
        return {*self.counts, *(total for total, _, _ in self.equations())}

    def equations(self) -> list[tuple[Key, tuple[Key, ...], bool]]:
        """What sums up by its labels, by keys, and the sum of all rows where no row is a total."""
        sums = [
            (self.keys[each.total], tuple(self.keys[part] for part in each.parts), each.others)
            for each in equations_of(self.table)
            if each.named
        ]
        return sums if any(map(self.table.is_total_row, self.table.body)) else [*sums, *self._whole()]

    def _whole(self) -> Iterator[tuple[Key, tuple[Key, ...], bool]]:
        for column in sorted({column for _, column in self.table.counts}):
            parts = tuple(self.keys[row, column] for row in self.table.body if (row, column) in self.table.counts)
            total = self._key([], column)
            if len(parts) > 1 and total not in parts:
                yield total, parts, False


def _solved(table: Table) -> dict[Place, Interval]:
    """The counts of a table, with each hidden one that is the only unknown of a sum."""
    counts = dict(table.counts)
    sums = [each for each in equations_of(table) if each.named and not each.others]
    for _ in sums:
        for each in sums:
            places = (each.total, *each.parts)
            unknown = [place for place in places if counts[place].hidden]
            if len(unknown) == 1:
                shown = sum(counts[part].low for part in each.parts if part not in unknown)
                value = shown if unknown[0] == each.total else counts[each.total].low - shown
                counts[unknown[0]] = Interval(max(value, 0), max(value, 0))
    return counts


def _word(text: str) -> str:
    """Nothing for a total or a plain count: the count of women is the same under "n" and under "total"."""
    plain = " ".join(fold(re.sub(r"[(\[]\s*n\s*=.*?[)\]]", " ", text, flags=re.IGNORECASE)).split())
    tokens = re.findall(r"[a-z0-9]+", plain)
    return "" if is_total(plain) or all(map(_PLAIN_COUNTS.fullmatch, tokens)) else plain


def _ranges(cells: Sequence[tuple[tuple[str, ...], Interval]]) -> Iterator[tuple[str, Interval]]:
    """Sums of ranges that follow each other: "18-29" and "30-39" are "18-39", with the same words around."""
    bounds = [(_RANGE.fullmatch(" ".join(label)), count) for label, count in cells]
    for start, (first, count) in enumerate(bounds):
        total, end = count.low, int(first[3]) if first else 0
        for match, following in bounds[start + 1 :]:
            around = first and match and (first[1], first[4]) == (match[1], match[4])
            if not first or not match or not around or int(match[2]) != end + 1 or count.hidden or following.hidden:
                break
            total, end = total + following.low, int(match[3])
            yield f"{first[1]}{first[2]}-{end}{first[4]}", Interval(total, total)


def between(table: Table, earlier: Sequence[Table], threshold: int) -> Iterator[tuple[Place, Interval]]:
    """What a table tells beside those that left before: differences of nested groups, and hidden cells reckoned
    jointly."""
    facts, before = Facts(table), [Facts(each) for each in earlier]
    places = {key: place for place, key in facts.keys.items()}
    first = next(iter(table.counts), None)
    if first is None:
        return
    for other in before:
        shapes = _by_shape(other.counts)
        for key, count in facts.counts.items():
            related = [
                other.counts[name] for name in shapes.get(_shape(key), ()) if name == key or _is_nested(key, name)
            ]
            for apart in _apart(count, related, max(rounding_of(table), rounding_of(other.table))):
                yield places.get(key, first), apart
    agreeing = [other for other in before if _agrees(facts, other)]
    for key, interval in _jointly([facts, *agreeing], threshold) if agreeing else ():
        yield places.get(key, first), interval


def _shape(key: Key) -> Key:
    """A key whatever its numbers are."""
    return frozenset(_NUMBERS.sub("#", word) for word in key)


def _by_shape(counts: Mapping[Key, Interval]) -> dict[Key, list[Key]]:
    shapes: dict[Key, list[Key]] = {}
    for key in counts:
        shapes.setdefault(_shape(key), []).append(key)
    return shapes


def _apart(count: Interval, related: Sequence[Interval], base: int) -> Iterator[Interval]:
    reach = 2 * (base // 2)
    for interval in related:
        apart = abs(count.low - interval.low)
        if not count.hidden and not interval.hidden and apart > 0:
            yield Interval(max(apart - reach, 0), apart + reach)


def _is_nested(key: Key, other: Key) -> bool:
    """All words the same but one, in which a limit moved."""
    mine, theirs = key - other, other - key
    return len(mine) == len(theirs) == 1 and _is_moved_limit(next(iter(mine)), next(iter(theirs)))


def _agrees(facts: Facts, other: Facts) -> bool:
    """The same population: where both show a figure, it is the same."""
    common = [key for key in facts.all_keys() if key in other.all_keys()]
    known = facts.counts.keys() & other.counts.keys()
    shown = [key for key in known if not facts.counts[key].hidden and not other.counts[key].hidden]
    return bool(common) and all(facts.counts[key].low == other.counts[key].low for key in shown)


def _jointly(facts: Sequence[Facts], threshold: int) -> Iterator[tuple[Key, Interval]]:
    """Hidden cells by the equations of several tables: what one hides another may show."""
    numbers: dict[Key, Place] = {}
    counts: dict[Place, Interval] = {}
    place_of: Callable[[Key], Place] = lambda key: numbers.setdefault(key, (len(numbers), 0))  # noqa: E731
    equations = []
    for each in facts:
        for key, count in each.counts.items():
            place = place_of(key)
            counts[place] = _both(counts[place], count) if place in counts else count
        for key in each.all_keys():
            counts.setdefault(place_of(key), Interval(0, hidden=True))
        equations += [Equation(place_of(total), tuple(map(place_of, parts)), o) for total, parts, o in each.equations()]
    keys = {place: key for key, place in numbers.items()}
    for place, interval in recoverable(counts, equations, threshold):
        yield keys[place], interval


def _both(one: Interval, other: Interval) -> Interval:
    """What both tell of the same cell."""
    low, high = max(one.low, other.low), min(one.high, other.high)
    return Interval(low, high, hidden=one.hidden and other.hidden) if low <= high else one
