"""The linkage attack: two extracts of the same patients for two studies, joined by whatever they share.

Owns the attacker, who knows both extracts and the method, and looks for each drawn patient of the first extract among
all of the second; and the check that no pseudonym joins. Compared is every fact that both extracts have, on the finest
level where their values meet, and the days between a patient's events, which a constant shift of dates keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from erios.errors import InputError
from erios.extracts.generalisation.values import level_sql
from erios.extracts.generalisation.vocabulary import KEEP, SUPPRESS
from erios.extracts.risk.attacker_knowledge import Knowledge
from erios.extracts.risk.extract_tables import Extract, Table, add_table, open_folder
from erios.extracts.risk.figures import rounded, wilson
from erios.extracts.risk.patient_facts import Pair, Source, make_pairs, sources
from erios.extracts.risk.quasi_identifiers import make_persons
from erios.extracts.risk.report import Linkage
from erios.extracts.risk.shared_pseudonyms import shared_keys
from erios.extracts.risk.trajectories import ROUNDINGS, shared_sources
from etl.sql import identifier

TARGETS = 300
CANDIDATES = 3000
"""So many patients of the second extract are weighed for each target, those with its rarest facts first."""
_MEETING = 0.5


@dataclass(frozen=True)
class _Shared:
    """A fact that both extracts have: the tables of its pairs, the level that they meet on, does a patient have one?"""

    label: str
    pairs: tuple[str, str]
    single: bool


def link(
    folder_a: Path,
    tables_a: Mapping[str, Sequence[str]],
    folder_b: Path,
    tables_b: Mapping[str, Sequence[str]],
    knowledge: Knowledge,
    truth: Path,
    *,
    seed: int,
    targets: int = TARGETS,
    memory_mb: int = 1024,
    scratch: Path | None = None,
) -> Linkage:
    """Success of the attack on at most ``targets`` patients that are in both extracts, drawn with ``seed``.

    ``truth``: a Parquet file of ``key_a`` and ``key_b``, which says who is who; it only judges the attacker's guesses.
    InputError for a bad file.
    """
    with open_folder(folder_a, tables_a, memory_mb, scratch) as a:
        tables = {name: add_table(a.sql, folder_b, name, columns, f"b_{name}") for name, columns in tables_b.items()}
        return _link(a, Extract(a.sql, tables), knowledge, truth, seed, targets, tuple(ROUNDINGS))


def link_rows(
    folder_a: Path,
    tables_a: Mapping[str, Sequence[str]],
    rows_b: Mapping[str, str],
    knowledge: Knowledge,
    truth: Path,
    *,
    seed: int,
    targets: int = TARGETS,
    memory_mb: int = 1024,
    scratch: Path | None = None,
) -> Linkage:
    """The same against rows that SQL gives, a SELECT a table, such as the warehouse's in the extract's own forms; the
    extract's own rows are there as ``rows_TABLE``."""
    with open_folder(folder_a, tables_a, memory_mb, scratch) as a:
        a.run("CREATE TEMP MACRO pseudonym(t) AS md5(t)")  # the attacker has no key: keyed codes match nothing
        tables = {name: _view_of(a, name, select) for name, select in rows_b.items()}
        return _link(a, Extract(a.sql, tables), knowledge, truth, seed, targets, ("",))


def _view_of(a: Extract, name: str, select: str) -> Table:
    view = identifier(f"b_{name}")
    a.run(f"CREATE TABLE {view} AS {select}")
    return Table(name, view, {str(row[0]): str(row[1]) for row in a.rows(f"DESCRIBE {view}")})


def _link(
    a: Extract, b: Extract, knowledge: Knowledge, truth: Path, seed: int, targets: int, roundings: Sequence[str]
) -> Linkage:
    patients_a, patients_b = make_persons(a, "person_a"), make_persons(b, "person_b")
    drawn = _draw(a, truth, seed, targets)
    shared = _shared(a, b, knowledge, roundings)
    _make_facts(a, shared, max(1, patients_b))
    _make_candidates(a, seed)
    correct = _correct(a, seed) if drawn and shared else 0
    share = wilson(correct, drawn)
    chance = rounded(1 / patients_b) if patients_b else 0.0
    names = tuple(fact.label for fact in shared)
    return Linkage(drawn, correct, *share, chance, patients_a, patients_b, names, shared_keys(a, b), seed)


def _draw(a: Extract, truth: Path, seed: int, targets: int) -> int:
    """``target``: pid (of the first extract) and hers of the second; how many there are."""
    _read_truth(a, truth)
    a.run(
        "CREATE TABLE target AS SELECT a.pid, b.pid AS hers FROM truth JOIN person_a a ON a.patient_key = key_a"
        " JOIN person_b b ON b.patient_key = key_b ORDER BY hash(key_a || chr(31) || ?), a.pid LIMIT ?",
        [str(seed), targets],
    )
    return int(a.scalar("SELECT count(*) FROM target"))


def _read_truth(a: Extract, file: Path) -> None:
    import duckdb

    try:
        a.run("CREATE TABLE truth AS SELECT DISTINCT key_a, key_b FROM read_parquet(?)", [str(file)])
    except (duckdb.IOException, duckdb.BinderException):
        raise InputError(f"{file.name} must be a Parquet file with the columns key_a and key_b") from None


def _shared(a: Extract, b: Extract, knowledge: Knowledge, roundings: Sequence[str]) -> list[_Shared]:
    """What both have and can compare; its pairs are on the level where they meet."""
    of_a = {source.name: source for source in sources(a, knowledge)}
    of_b = {source.name: source for source in sources(b, knowledge)}
    shared = []
    for n, name in enumerate(name for name in of_a if name in of_b):
        both = [of_a[name], of_b[name]]
        pairs = [
            make_pairs(a, [source], f"{side}{n}_", f"person_{side}")[0] for side, source in zip("ab", both, strict=True)
        ]
        if both[0].dated and both[1].dated and not both[0].single:
            shared.append(_intervals(a, both[0], pairs))
        level = _meeting_level(a, both[0].hierarchy, pairs, knowledge)
        if level != SUPPRESS:
            for pair in pairs:
                a.run(f"CREATE TABLE met_{pair.table} AS {_at_level(pair, both[0].hierarchy, level, knowledge)}")
            label = f"{both[0].table}.{both[0].column}" + (f" ({level})" if level != KEEP else "")
            met = (f"met_{pairs[0].table}", f"met_{pairs[1].table}")
            shared.append(_Shared(label, met, both[0].single and both[1].single))
    return [*shared, *_longitudinal(a, b, knowledge, roundings)]


def _longitudinal(a: Extract, b: Extract, knowledge: Knowledge, roundings: Sequence[str]) -> Iterator[_Shared]:
    """Longitudinal facts on every rounding on which the two extracts meet."""
    for n, both in enumerate(shared_sources(a, b, roundings)):
        pairs = [
            make_pairs(a, [source], f"{side}t{n}_", f"person_{side}")[0]
            for side, source in zip("ab", both, strict=True)
        ]
        if _meeting_level(a, (), pairs, knowledge) == KEEP:
            for pair in pairs:
                a.run(f"CREATE TABLE met_{pair.table} AS {pair.spelled}")
            yield _Shared(both[0].name, (f"met_{pairs[0].table}", f"met_{pairs[1].table}"), single=False)


def _levels(hierarchy: Sequence[str]) -> list[str]:
    """The levels on which values can be compared."""
    return [KEEP, *(level for level in hierarchy if level not in (KEEP, SUPPRESS))]


def _meeting_level(a: Extract, hierarchy: Sequence[str], pairs: Sequence[Pair], knowledge: Knowledge) -> str:
    """The finest level where at least half of what the first extract says is a value of the second."""
    for level in _levels(hierarchy):
        first, second = (_at_level(pair, hierarchy, level, knowledge) for pair in pairs)
        share = a.scalar(
            f"SELECT avg(CASE WHEN s.v IS NULL THEN 0 ELSE 1 END) FROM ({first}) f"
            f" LEFT JOIN (SELECT DISTINCT v FROM ({second})) s ON s.v = f.v"
        )
        if share is not None and share >= _MEETING:
            return level
    return SUPPRESS


def _at_level(pair: Pair, hierarchy: Sequence[str], level: str, knowledge: Knowledge) -> str:
    """SELECT of the distinct pid and v at a level, which stands on all levels below it."""
    levels = _levels(hierarchy)
    select = pair.spelled
    for name in levels[1 : levels.index(level) + 1]:
        select = f"SELECT pid, {level_sql(name, 'v', knowledge.groupings)} AS v FROM ({select})"
    return f"SELECT DISTINCT pid, v FROM ({select})"


def _intervals(a: Extract, source: Source, pairs: Sequence[Pair]) -> _Shared:
    """Days from one of a patient's dates to the next, which tell as much as the dates where these are shifted."""
    for pair in pairs:
        day = f"SELECT pid, TRY_CAST(v AS DATE) AS day FROM ({pair.spelled})"
        a.run(
            f"CREATE TABLE gap_{pair.table} AS SELECT DISTINCT pid, CAST(gap AS VARCHAR) AS v FROM (SELECT pid, day"
            f" - lag(day) OVER (PARTITION BY pid ORDER BY day) AS gap FROM ({day}) WHERE day IS NOT NULL)"
            " WHERE gap IS NOT NULL"
        )
    label = f"{source.table}.{source.column} (intervals)"
    return _Shared(label, (f"gap_{pairs[0].table}", f"gap_{pairs[1].table}"), single=False)


def _make_facts(a: Extract, shared: Sequence[_Shared], patients_b: int) -> None:
    """``weight``: source, v, support in the second extract, and what it tells, ln(patients / support);
    ``target_fact``: each target's facts; ``mass``: what all facts of a patient of the second extract tell together."""
    theirs = [f"SELECT {n} AS source, pid, v FROM {fact.pairs[1]}" for n, fact in enumerate(shared)]
    ours = [f"SELECT {n} AS source, pid, v FROM {fact.pairs[0]}" for n, fact in enumerate(shared)]
    none = "SELECT 0 AS source, 0 AS pid, '' AS v LIMIT 0"
    a.run(f"CREATE VIEW theirs AS {' UNION ALL '.join(theirs) or none}")
    a.run(
        f"CREATE TABLE weight AS SELECT source, v, count(*) AS support, ln({patients_b}.0 / count(*)) AS w"
        " FROM theirs GROUP BY source, v"
    )
    rows = " UNION ALL ".join(ours) or none
    a.run(f"CREATE TABLE target_fact AS SELECT source, pid, v FROM ({rows}) SEMI JOIN target USING (pid)")
    single = ", ".join(str(n) for n, fact in enumerate(shared) if fact.single) or "-1"
    for name, rows in (("our_profile", "target_fact"), ("their_profile", "theirs")):
        a.run(
            f"CREATE TABLE {name} AS SELECT pid, string_agg(source || '=' || v, chr(31) ORDER BY source) AS v"
            f" FROM {rows} WHERE source IN ({single}) GROUP BY pid"
        )


def _make_candidates(a: Extract, seed: int) -> None:
    """``candidate``: target and pid, of those who have the target's rarest facts, or all of its single ones."""
    a.run(
        "CREATE TABLE clue AS SELECT pid AS target, source, v, support FROM target_fact JOIN weight USING (source, v)"
        " UNION ALL SELECT o.pid, -1, v, n FROM our_profile o"
        " JOIN (SELECT v, count(*) AS n FROM their_profile GROUP BY v) USING (v)"
    )
    a.run(
        "CREATE TABLE followed AS SELECT target, source, v FROM clue"
        " WINDOW rarest AS (PARTITION BY target ORDER BY support, source, v)"
        f" QUALIFY row_number() OVER rarest = 1 OR sum(support) OVER rarest <= {CANDIDATES}"
    )
    followed = (
        "SELECT target, t.pid FROM followed f JOIN theirs t USING (source, v)"
        " UNION SELECT target, t.pid FROM followed f JOIN their_profile t USING (v) WHERE f.source = -1"
    )
    a.run(
        f"CREATE TABLE candidate AS SELECT target, pid FROM ({followed})"
        f" QUALIFY row_number() OVER (PARTITION BY target ORDER BY {_lot('pid')}, pid) <= {CANDIDATES}",
        [str(seed)],
    )


def _lot(pid: str) -> str:
    """An order by chance, the same for the same seed (its parameter)."""
    return f"hash(target::VARCHAR || chr(31) || {pid}::VARCHAR || chr(31) || ?)"


def _correct(a: Extract, seed: int) -> int:
    """Targets whose best candidate is the right one. The score is what the two have in common over what either has
    (weighted Jaccard); of several best, one is drawn."""
    a.run(
        "CREATE TABLE mass AS SELECT pid, sum(w) AS w FROM theirs JOIN weight USING (source, v)"
        " SEMI JOIN candidate USING (pid) GROUP BY pid"
    )
    a.run(
        "CREATE TABLE scored AS SELECT target, c.pid, sum(w) AS common FROM candidate c JOIN theirs t ON t.pid = c.pid"
        " JOIN (SELECT pid AS target, source, v FROM target_fact) o USING (target, source, v)"
        " JOIN weight USING (source, v) GROUP BY target, c.pid"
    )
    rows = "target_fact LEFT JOIN weight USING (source, v)"
    ours = f"SELECT pid AS target, sum(coalesce(w, 0)) AS w FROM {rows} GROUP BY pid"
    score = "round(common / greatest(o.w + m.w - common, 1e-9), 9)"
    best = (
        f"SELECT target, s.pid FROM scored s JOIN mass m ON m.pid = s.pid JOIN ({ours}) o USING (target)"
        f" QUALIFY row_number() OVER (PARTITION BY target ORDER BY {score} DESC, {_lot('s.pid')}, s.pid) = 1"
    )
    right = f"SELECT count(*) FROM ({best}) best JOIN target t ON t.pid = target AND t.hers = best.pid"
    return int(a.scalar(right, [str(seed)]))
