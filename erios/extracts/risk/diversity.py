"""What the classes tell of sensitive columns: l-diversity, confidence, t-closeness.

Owns how many values of a patient are one sensitive value: a set column is the set of the patient's distinct values, and
in t-closeness each of them has an equal part of the patient. Null, or no value at all, is a value of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from erios.extracts.generalisation.values import level_sql
from erios.extracts.generalisation.vocabulary import KEEP
from erios.extracts.risk.attacker_knowledge import Knowledge, Sensitive
from erios.extracts.risk.equivalence_classes import Lattice
from erios.extracts.risk.extract_tables import KEY, Extract
from erios.extracts.risk.figures import rounded
from erios.extracts.risk.patient_facts import Pair
from erios.extracts.risk.quasi_identifiers import present, value_sql
from erios.extracts.risk.report import SensitiveColumn


@dataclass(frozen=True)
class _Distance:
    """t-closeness: greatest over the classes, and mean over the patients."""

    greatest: float
    mean: float


def sensitive_columns(
    extract: Extract, knowledge: Knowledge, lattice: Lattice, pairs: Sequence[Pair]
) -> tuple[SensitiveColumn, ...]:
    """A line for each sensitive column that the extract has."""
    columns = present(extract, knowledge.sensitive) if lattice.patients else []
    return tuple(_column(extract, column, lattice, _coded(extract, column, knowledge, pairs)) for column in columns)


def _column(extract: Extract, column: Sensitive, lattice: Lattice, coded: str) -> SensitiveColumn:
    _make_values(extract, column, coded)
    besides = _besides(column, lattice)
    _make_classes(extract, lattice, besides)
    distinct, entropy, homogeneous = _diversity(extract)
    confidence = _confidence(extract)
    distance = _ordered_distance(extract) if column.kind == "number" else _distance(extract)
    for table in ("classed", "member", "meaning", "total"):
        extract.run(f"DROP TABLE {table}")
    return SensitiveColumn(
        name=column.name,
        fr=column.fr,
        en=column.en,
        table=column.table,
        columns=column.columns,
        kind=column.kind,
        besides=tuple(lattice.dimensions[n].quasi.name for n in besides),
        distinct_l=distinct,
        entropy_l=rounded(entropy),
        homogeneous_patients=homogeneous,
        confidence=rounded(confidence),
        t=rounded(distance.greatest),
        mean_t=rounded(distance.mean),
    )


def _besides(sensitive: Sensitive, lattice: Lattice) -> list[int]:
    """Quasi-identifiers made of the same columns: what an attacker knows cannot be what is to be found out."""
    return [
        n
        for n, dimension in enumerate(lattice.dimensions)
        if dimension.quasi.table == sensitive.table and set(dimension.quasi.columns) & set(sensitive.columns)
    ]


def _make_values(extract: Extract, sensitive: Sensitive, coded: str) -> None:
    """``meaning``: pid, v (a number in order of value), w (its part of the patient); 0 is null or nothing."""
    extract.run(f"CREATE TABLE patient_code AS {coded}")
    parts = "SELECT pid, 1.0::DOUBLE / count(*) AS w FROM patient_code GROUP BY pid"
    shared = f"LEFT JOIN ({parts}) USING (pid)" if sensitive.kind == "set" else ""
    part = "coalesce(w, 1.0::DOUBLE)" if sensitive.kind == "set" else "1.0::DOUBLE"
    extract.run(
        f"CREATE TABLE meaning AS SELECT pid, coalesce(code, 0) AS v, {part} AS w"
        f" FROM person LEFT JOIN patient_code USING (pid) {shared}"
    )
    extract.run("DROP TABLE patient_code")


def _coded(extract: Extract, sensitive: Sensitive, knowledge: Knowledge, pairs: Sequence[Pair]) -> str:
    """SELECT of pid and code, from 1 on: each distinct value of a set, else one value of a patient."""
    column = (sensitive.table, sensitive.columns)
    same = (pair for pair in pairs if pair.source.exact and (pair.source.table, (pair.source.column,)) == column)
    pair = next(same, None) if sensitive.kind == "set" else None
    if pair is not None and sensitive.at == KEEP:
        return f"SELECT pid, c AS code FROM {pair.table}"
    if pair is not None:
        value = level_sql(sensitive.at, "v", knowledge.groupings)
        codes = f"SELECT c, CAST(dense_rank() OVER (ORDER BY {value}) AS INTEGER) AS code FROM {pair.words}"
        return f"SELECT DISTINCT pid, code FROM {pair.table} JOIN ({codes}) USING (c)"
    number = "TRY_CAST(v AS DOUBLE)" if sensitive.kind == "number" else "v"
    values = _values(extract, sensitive, knowledge)
    codes = (
        f"SELECT v, CAST(dense_rank() OVER (ORDER BY {number}) AS INTEGER) AS code"
        f" FROM (SELECT DISTINCT v FROM ({values}) WHERE {number} IS NOT NULL)"
    )
    return f"SELECT pid, code FROM ({values}) JOIN person USING ({KEY}) JOIN ({codes}) USING (v)"


def _values(extract: Extract, sensitive: Sensitive, knowledge: Knowledge) -> str:
    """SELECT of patient_key and v."""
    table = extract.tables[sensitive.table]
    if sensitive.kind == "set":
        value = _joined(
            [level_sql(sensitive.at, table.text(column), knowledge.groupings) for column in sensitive.columns]
        )
        return f"SELECT DISTINCT {KEY}, {value} AS v FROM {table.view}"
    value = _joined([value_sql(sensitive, table, column) for column in sensitive.columns])
    value = "CAST(count(*) AS VARCHAR)" if sensitive.how == "count" else value
    rows = f"SELECT {KEY}, {value} AS v FROM {table.view} GROUP BY {KEY}"
    return f"SELECT {KEY}, {level_sql(sensitive.at, 'v', knowledge.groupings)} AS v FROM ({rows})"


def _joined(texts: Sequence[str]) -> str:
    return "".join(texts) if len(texts) < 2 else f"nullif(concat_ws(chr(31), {', '.join(texts)}), '')"


def _make_classes(extract: Extract, lattice: Lattice, besides: Sequence[int]) -> None:
    """``member``: pid, class; ``classed``: class, v, p (patients), w (parts of patients); ``total``: v, w of all."""
    node = tuple(dimension.top if n in besides else 0 for n, dimension in enumerate(lattice.dimensions))
    order = f"ORDER BY {columns}" if (columns := lattice.columns(node)) else "ORDER BY NULL"
    extract.run(
        "CREATE TABLE member AS SELECT pid, class FROM placed JOIN"
        f" (SELECT cell, CAST(dense_rank() OVER ({order}) AS INTEGER) AS class FROM cell) USING (cell)"
    )
    extract.run(
        "CREATE TABLE classed AS SELECT class, v, count(*) AS p, sum(w) AS w"
        " FROM meaning JOIN member USING (pid) GROUP BY class, v"
    )
    extract.run("CREATE TABLE total AS SELECT v, sum(w) AS w FROM classed GROUP BY v")


def _diversity(extract: Extract) -> tuple[int, float, int]:
    """Fewest distinct sets of a class, least exp(entropy) of its sets, patients in classes with one set alone.

    A set goes by its number of values and two sums of their 64-bit hashes.
    """
    extract.run(
        "CREATE TABLE worded AS SELECT class, s, count(*) AS p FROM (SELECT pid, {'n': count(*),"
        " 'a': sum(hash(v)::HUGEINT), 'b': bit_xor(hash(v::BIGINT * 2654435761 + 1))} AS s FROM meaning GROUP BY pid)"
        " JOIN member USING (pid) GROUP BY class, s"
    )
    distinct, entropy, homogeneous = extract.rows(
        "SELECT min(l), min(e), coalesce(sum(n) FILTER (l = 1), 0) FROM (SELECT class, count(*) AS l, sum(p) AS n,"
        " exp(ln(sum(p)) - sum(p * ln(p)) / sum(p)) AS e FROM worded GROUP BY class)"
    )[0]
    extract.run("DROP TABLE worded")
    return int(distinct), float(entropy), int(homogeneous)


def _confidence(extract: Extract) -> float:
    """The greatest share of a class whose patients have one value (not: no value)."""
    sizes = "SELECT class, count(*) AS n FROM member GROUP BY class"
    greatest = extract.scalar(f"SELECT max(p / n) FROM classed JOIN ({sizes}) USING (class) WHERE v > 0")
    return float(greatest or 0.0)


def _distance(extract: Extract) -> _Distance:
    """Total variation: half the sum of |p - q|; values that a class lacks add all of their q."""
    return _summed(
        extract,
        "SELECT class, sum(c.w) AS n, (sum(abs(c.w / s.n - t.w / a.n)) + 1 - sum(t.w) / any_value(a.n)) / 2 AS d"
        " FROM classed c JOIN total t USING (v) JOIN (SELECT class, sum(w) AS n FROM classed GROUP BY class) s"
        " USING (class), (SELECT sum(w) AS n FROM total) a GROUP BY class",
    )


def _ordered_distance(extract: Extract) -> _Distance:
    """Earth mover's distance on ordered values: the mean gap between the cumulated shares, over m - 1 steps.

    From one value of a class to its next the class's cumulated share P stands still while that of everybody, Q, grows;
    ``even`` is where Q passes P, so two differences of running sums of Q give the gaps on either side.
    """
    values = int(extract.scalar("SELECT count(*) FROM total"))
    if values < 2:
        return _Distance(0.0, 0.0)
    extract.run(
        "CREATE TABLE climb AS SELECT v, place, q, sum(q) OVER (ORDER BY place) AS area FROM (SELECT v,"
        " row_number() OVER (ORDER BY v) AS place, sum(w) OVER (ORDER BY v) / sum(w) OVER () AS q FROM total)"
    )
    stretches = (
        "SELECT class, n, sum(w) OVER so_far / n AS p, place AS start, area AS area_start, q AS q_start,"
        f" coalesce(lead(place) OVER so_far, {values}) AS stop FROM classed JOIN climb USING (v)"
        " JOIN (SELECT class, sum(w) AS n FROM classed GROUP BY class) USING (class)"
        " WINDOW so_far AS (PARTITION BY class ORDER BY v)"
    )
    extract.run(f"CREATE TABLE stretch AS {stretches}")
    passed = "greatest(least(coalesce(e.place, 0), s.stop - 1), s.start - 1)"
    gap = (  # the sum of |P - Q| over the places start … stop - 1; Q is at most P up to ``even``
        "p * (even - start + 1) - (area_even - area_start + q_start) + (area_last - area_even) - p * (stop - 1 - even)"
    )
    within = (
        f"SELECT class, n, CASE WHEN stop > start THEN {gap} ELSE 0 END AS gap FROM (SELECT s.*, l.area AS area_last,"
        f" {passed} AS even, coalesce(m.area, 0) AS area_even FROM stretch s ASOF LEFT JOIN climb e ON s.p >= e.q"
        f" LEFT JOIN climb l ON l.place = s.stop - 1 LEFT JOIN climb m ON m.place = {passed})"
    )
    # the first values of everybody, before the first of the class: P is 0
    before = "SELECT class, any_value(n) AS n, min(area_start - q_start) AS gap FROM stretch GROUP BY class"
    gaps = f"SELECT class, any_value(n) AS n, sum(gap) / {values - 1} AS d FROM ({within} UNION ALL {before})"
    distance = _summed(extract, gaps + " GROUP BY class")
    for table in ("climb", "stretch"):
        extract.run(f"DROP TABLE {table}")
    return distance


def _summed(extract: Extract, distances: str) -> _Distance:
    greatest, mean = extract.rows(f"SELECT max(d), sum(n * d) / sum(n) FROM ({distances})")[0]
    return _Distance(max(0.0, float(greatest)), max(0.0, float(mean)))
