"""The singling-out attack: an attacker knows one to ten facts of a drawn patient, and looks for whom they fit.

Owns the two attackers. The random one knows facts drawn evenly among all of the patient's; the worst one always takes,
among the patient's rarest facts, the one that leaves fewest candidates. Patients are bits: a fact is a row of bit
strings, one a block of patients, so matching is an "and" of bits whatever the size of the extract.
"""

from __future__ import annotations

from collections.abc import Sequence

from erios.extracts.risk.extract_tables import Extract
from erios.extracts.risk.figures import wilson
from erios.extracts.risk.patient_facts import Pair
from erios.extracts.risk.report import Attack

MOST_KNOWN = 10
RAREST = 10
"""The worst attacker chooses among this many rarest facts of the patient."""
_BLOCK = 8192
_BYTES_SHARE = 8


def attacks(
    extract: Extract, pairs: Sequence[Pair], patients: int, *, targets: int, threshold: int, seed: int, memory_mb: int
) -> tuple[Attack, ...]:
    """Both attackers, with 1 to ``MOST_KNOWN`` facts, on at most ``targets`` patients."""
    if not patients:
        return ()
    _make_target_facts(extract, pairs, targets, seed)
    _make_ranks(extract, seed)
    _make_bits(extract, pairs, patients, memory_mb)
    drawn = int(extract.scalar("SELECT count(*) FROM target"))
    series = (_attack(extract, attacker, drawn, patients, threshold) for attacker in ("random", "worst"))
    return tuple(attack for attacker in series for attack in attacker)


def _make_target_facts(extract: Extract, pairs: Sequence[Pair], targets: int, seed: int) -> None:
    """``target``: drawn pids; ``fact``: f, source, c, support; ``holds``: which target has which fact."""
    extract.run(
        "CREATE TABLE target AS SELECT pid FROM person ORDER BY hash(patient_key || chr(31) || ?), pid LIMIT ?",
        [str(seed), targets],
    )
    theirs = [f"SELECT pid, {n} AS source, c FROM {p.table} SEMI JOIN target USING (pid)" for n, p in enumerate(pairs)]
    union = " UNION ALL ".join(theirs) or "SELECT 0 AS pid, 0 AS source, 0 AS c LIMIT 0"
    extract.run(f"CREATE TABLE target_code AS {union}")
    counts = [
        f"SELECT {n} AS source, c, count(*) AS support FROM {pair.table}"
        f" SEMI JOIN (SELECT c FROM target_code WHERE source = {n}) USING (c) GROUP BY c"
        for n, pair in enumerate(pairs)
    ]
    supports = " UNION ALL ".join(counts) or "SELECT 0 AS source, 0 AS c, 0 AS support LIMIT 0"
    extract.run(
        "CREATE TABLE fact AS SELECT CAST(row_number() OVER (ORDER BY source, c) - 1 AS INTEGER) AS f, source, c,"
        f" support FROM ({supports})"
    )
    extract.run("CREATE TABLE holds AS SELECT pid, f, support FROM target_code JOIN fact USING (source, c)")


def _make_ranks(extract: Extract, seed: int) -> None:
    """``choice``: of each target's facts, their places in the random order and in that of rarity."""
    extract.run(
        "CREATE TABLE choice AS SELECT pid, f, row_number() OVER (PARTITION BY pid ORDER BY"
        " hash(f::VARCHAR || chr(31) || pid::VARCHAR || chr(31) || ?), f) AS drawn,"
        " row_number() OVER (PARTITION BY pid ORDER BY support, f) AS rarity FROM holds"
        f" QUALIFY drawn <= {MOST_KNOWN} OR rarity <= {RAREST}",
        [str(seed)],
    )


def _make_bits(extract: Extract, pairs: Sequence[Pair], patients: int, memory_mb: int) -> None:
    """``bits``: f, block, b, for the facts that an attacker may know; so many blocks at once as memory bears."""
    extract.run("CREATE TABLE wanted AS SELECT f, source, c FROM fact SEMI JOIN choice USING (f)")
    hits = [
        f"SELECT f, pid FROM {pair.table} JOIN (SELECT f, c FROM wanted WHERE source = {n}) USING (c)"
        for n, pair in enumerate(pairs)
    ]
    extract.run(f"CREATE TABLE hit AS {' UNION ALL '.join(hits) or 'SELECT 0 AS f, 0 AS pid LIMIT 0'}")
    extract.run("CREATE TABLE bits (f INTEGER, block INTEGER, b BIT)")
    facts = max(1, int(extract.scalar("SELECT count(*) FROM wanted")))
    at_once = max(1, memory_mb * 2**20 // _BYTES_SHARE // (facts * _BLOCK // 8)) * _BLOCK
    for start in range(0, patients, at_once):
        extract.run(
            f"INSERT INTO bits SELECT f, pid // {_BLOCK}, bitstring_agg(pid % {_BLOCK}, 0, {_BLOCK - 1}) FROM hit"
            f" WHERE pid >= {start} AND pid < {start + at_once} GROUP BY ALL"
        )
    extract.run("DROP TABLE hit")


def _attack(extract: Extract, attacker: str, drawn: int, patients: int, threshold: int) -> list[Attack]:
    """A target with fewer facts than the attacker may know is attacked with all of them; one with none fits all."""
    extract.run("CREATE TABLE candidate (target INTEGER, block INTEGER, b BIT)")
    extract.run("CREATE TABLE taken (target INTEGER, f INTEGER, matches BIGINT)")
    results = []
    for known in range(1, MOST_KNOWN + 1):
        _learn(extract, attacker, known)
        singled, under, reidentified = extract.rows(
            "SELECT count(*) FILTER (m = 1), count(*) FILTER (m < ?), coalesce(sum(1.0 / m), 0)"
            " FROM (SELECT coalesce(min(matches), ?) AS m FROM target LEFT JOIN taken ON target = pid GROUP BY pid)",
            [threshold, patients],
        )[0]
        results.append(_result(attacker, known, drawn, int(singled), int(under), float(reidentified)))
    for table in ("candidate", "taken"):
        extract.run(f"DROP TABLE {table}")
    return results


def _result(attacker: str, known: int, drawn: int, singled: int, under: int, reidentified: float) -> Attack:
    shares = (*wilson(singled, drawn), under, *wilson(under, drawn), *wilson(reidentified, drawn))
    return Attack(attacker, known, drawn, singled, *shares)


def _learn(extract: Extract, attacker: str, known: int) -> None:
    """One more fact for each target, and the candidates that are left."""
    rank = f"drawn = {known}" if attacker == "random" else f"rarity <= {RAREST}"
    options = f"SELECT pid AS target, f FROM choice WHERE {rank} EXCEPT SELECT target, f FROM taken"
    matched = "bits x USING (f)" if known == 1 else "bits x USING (f) JOIN candidate c USING (target, block)"
    both = "x.b" if known == 1 else "x.b & c.b"
    extract.run(
        f"CREATE TABLE best AS SELECT target, f, matches FROM (SELECT target, f, sum(bit_count({both})) AS matches"
        f" FROM ({options}) o JOIN {matched} GROUP BY target, f)"
        " QUALIFY row_number() OVER (PARTITION BY target ORDER BY matches, f) = 1"
    )
    extract.run(
        f"CREATE TABLE narrowed AS SELECT target, block, {both} AS b FROM best JOIN {matched}"
        f" WHERE bit_count({both}) > 0 UNION ALL SELECT target, block, b FROM candidate ANTI JOIN best USING (target)"
    )
    extract.run("INSERT INTO taken SELECT target, f, matches FROM best")
    extract.run("DROP TABLE candidate")
    extract.run("ALTER TABLE narrowed RENAME TO candidate")
    extract.run("DROP TABLE best")
