"""The risk figures in plain Python, by loops over rows. Written from docs/risk.md, without SQL."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]
Value = str | None
REGIONS = {"69": "AURA", "38": "AURA", "75": "IDF", "92": "IDF"}


def year(value: Value) -> Value:
    """The first four digits of a date; anything else as it is."""
    is_date = (
        value is not None and value[:4].isdigit() and (len(value) == 4 or (value[4] == "-" and len(value) in (7, 10)))
    )
    return value[:4] if value is not None and is_date else value


def years(width: int) -> Callable[[Value], Value]:
    """Bands of so many years, of years."""

    def banded(value: Value) -> Value:
        if value is None or not value.isdigit():
            return value
        low = int(value) // width * width
        return f"{low}-{low + width - 1}"

    return banded


def region(value: Value) -> Value:
    """What stands above a département."""
    return REGIONS.get(value, value) if value is not None else None


def letter(value: Value) -> Value:
    """The first letter of a code with a digit."""
    return value[:1] if value is not None and any(c.isdigit() for c in value) else value


def steps(value: Value) -> Value:
    """0, 1, 2 and 3+."""
    return value if value is None or int(value) < 3 else "3+"


def suppress(_: Value) -> Value:
    """Everything is one."""
    return "*"


HIERARCHIES: dict[str, list[Callable[[Value], Value]]] = {
    "birth": [year, years(10), suppress],
    "gender": [suppress],
    "place": [region, suppress],
    "first_diagnosis": [letter, suppress],
    "stays": [steps, suppress],
}


def patients(tables: Tables) -> list[str]:
    """Every patient whom a row is about."""
    return sorted({row["patient_key"] for rows in tables.values() for row in rows})


def rows_of(tables: Tables, table: str, key: str) -> list[Row]:
    """A patient's rows."""
    return [row for row in tables.get(table, []) if row["patient_key"] == key]


def known_values(tables: Tables, names: Sequence[str]) -> dict[str, tuple[Value, ...]]:
    """Each patient's value of each quasi-identifier."""
    return {key: tuple(known_value(tables, name, key) for name in names) for key in patients(tables)}


def known_value(tables: Tables, name: str, key: str) -> Value:
    """One patient's value of one quasi-identifier."""
    if name == "stays":
        return str(len(rows_of(tables, "encounter", key)))
    if name == "first_diagnosis":
        told = [row for row in rows_of(tables, "condition", key) if row["code_icd10"] is not None]
        dated = [(row["recorded_date"] is None, row["recorded_date"] or "", row["code_icd10"]) for row in told]
        return min(dated)[2] if dated else None
    column = {"birth": "birth_date", "gender": "gender", "place": "departement"}[name]
    return next((row[column] for row in rows_of(tables, "patient", key)), None)


def generalised(value: Value, name: str, level: int) -> Value:
    """A value at a level of its hierarchy; each level stands on the one below."""
    for step in HIERARCHIES[name][:level]:
        value = step(value)
    return value


def classes(values: Mapping[str, tuple[Any, ...]]) -> dict[tuple[Any, ...], list[str]]:
    """Patients of each class."""
    found: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for key, value in values.items():
        found[value].append(key)
    return dict(found)


def at_levels(values: Mapping[str, tuple[Value, ...]], names: Sequence[str], levels: Sequence[int]) -> dict[str, Any]:
    """Everybody's values on a node of the lattice."""
    return {
        key: tuple(generalised(v, name, level) for v, name, level in zip(value, names, levels, strict=True))
        for key, value in values.items()
    }


def histogram(values: Mapping[str, tuple[Any, ...]]) -> dict[int, int]:
    """Class size → classes."""
    return dict(Counter(len(members) for members in classes(values).values()))


@cache
def expected_inverse(size: int, fraction: float) -> float:
    """E[1/F], by adding up the negative binomial law."""
    total, term = 0.0, fraction**size
    for extra in range(20_000):
        total += term / (size + extra)
        term *= (1 - fraction) * (size + extra) / (extra + 1)
    return total


def figures(sizes: Mapping[int, int], threshold: int, population: int | None) -> dict[str, Any]:
    """The figures of a histogram, named as in the report."""
    everybody = [size for size, number in sizes.items() for _ in range(number * size)]
    n, j = len(everybody), sum(sizes.values())
    if not n:
        return {"patients": 0, "classes": 0, "k": None, "under_threshold": 0, "uniques": 0}
    found: dict[str, Any] = {
        "patients": n,
        "classes": j,
        "k": min(everybody),
        "under_threshold": sum(size < threshold for size in everybody),
        "share_under": sum(size < threshold for size in everybody) / n,
        "uniques": everybody.count(1),
        "mean_class": n / j,
        "prosecutor_max": max(1 / size for size in everybody),
        "prosecutor_mean": sum(1 / size for size in everybody) / n,
        "marketer": float(sum(Fraction(1, size) for size in everybody) / n),
    }
    if population is not None:
        fraction = min(1.0, n / population)
        risks = [expected_inverse(size, fraction) for size in everybody]
        ones = sizes.get(1, 0)
        likely = sum(size * (1 - fraction) ** (size - 1) * number for size, number in sizes.items())
        found |= {
            "journalist_max": max(risks),
            "journalist_mean": max(j / max(n, population), sum(risks) / n),
            "population_marketer": sum(risks) / n,
            "population_uniques": ones / likely if ones else 0.0,
        }
    return found


def ncp(column: Sequence[Value], name: str, level: int) -> float:
    """Mean over patients of (values in the group - 1) / (values - 1)."""
    domain = set(column)
    if len(domain) < 2:
        return 0.0
    groups = {v: sum(generalised(w, name, level) == generalised(v, name, level) for w in domain) for v in domain}
    return sum((groups[v] - 1) / (len(domain) - 1) for v in column) / len(column)


def entropy(values: Iterable[Any]) -> float:
    """In nats."""
    counts = Counter(values)
    total = sum(counts.values())
    return -sum(n / total * math.log(n / total) for n in counts.values())


def entropy_loss(column: Sequence[Value], name: str, level: int) -> float:
    """The share of the entropy that a level takes away."""
    if len(set(column)) < 2:
        return 0.0
    return 1 - entropy(generalised(v, name, level) for v in column) / entropy(column)


def least_loss(values: Mapping[str, tuple[Value, ...]], names: Sequence[str], threshold: int) -> float | None:
    """The least NCP of all nodes whose classes all have the threshold's patients, by trying every one."""
    found = []
    for node in product(*(range(len(HIERARCHIES[name]) + 1) for name in names)):
        if all(len(members) >= threshold for members in classes(at_levels(values, names, node)).values()):
            losses = [
                ncp([v[n] for v in values.values()], name, level)
                for n, (name, level) in enumerate(zip(names, node, strict=True))
            ]
            found.append(sum(losses) / len(losses))
    return min(found, default=None)


def diversity(groups: Iterable[Sequence[str]], sets: Mapping[str, frozenset[Any]]) -> dict[str, Any]:
    """l, homogeneous patients and confidence."""
    words = [[sets[key] for key in members] for members in groups]
    holders = [Counter(v for s in word for v in s if v is not None) for word in words]
    return {
        "distinct_l": min(len(set(word)) for word in words),
        "entropy_l": min(math.exp(entropy(word)) for word in words),
        "homogeneous_patients": sum(len(word) for word in words if len(set(word)) == 1),
        "confidence": max((n / len(w) for h, w in zip(holders, words, strict=True) for n in h.values()), default=0.0),
    }


def parts(keys: Iterable[str], sets: Mapping[str, frozenset[Any]]) -> dict[Any, float]:
    """The shares of values among patients, each patient spread evenly over theirs."""
    found: dict[Any, float] = defaultdict(float)
    keys = list(keys)
    for key in keys:
        for value in sets[key]:
            found[value] += 1 / len(sets[key]) / len(keys)
    return found


def closeness(
    groups: Sequence[Sequence[str]], sets: Mapping[str, frozenset[Any]], *, ordered: bool
) -> dict[str, float]:
    """t over the classes, greatest and mean over patients."""
    q = parts(sets, sets)
    domain = sorted(q, key=lambda v: (v is not None, v if v is not None else 0))
    distances = []
    for members in groups:
        p = parts(members, sets)
        gaps = [p.get(v, 0.0) - q[v] for v in domain]
        if ordered:
            total = sum(abs(sum(gaps[: n + 1])) for n in range(len(gaps)))
            distances.append(total / (len(domain) - 1) if len(domain) > 1 else 0.0)
        else:
            distances.append(sum(map(abs, gaps)) / 2)
    weights = [len(members) for members in groups]
    mean = sum(d * w for d, w in zip(distances, weights, strict=True)) / sum(weights)
    return {"t": max(distances), "mean_t": mean}


def fitting(known: Iterable[Any], facts: Mapping[str, set[Any]]) -> int:
    """Patients who have all the known facts."""
    return sum(set(known) <= theirs for theirs in facts.values())


def worst_facts(options: Sequence[Any], facts: Mapping[str, set[Any]], known: int) -> list[Any]:
    """Greedy: each time the fact that leaves fewest candidates, the first of several."""
    taken: list[Any] = []
    for _ in range(min(known, len(options))):
        left = [option for option in options if option not in taken]
        taken.append(min(left, key=lambda option: (fitting([*taken, option], facts), option)))
    return taken
