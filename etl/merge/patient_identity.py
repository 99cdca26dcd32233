"""Identity resolution: merged patients, business identifiers and objections, as of today.

Owns the table ``_identity`` and its computation, which runs on the driver between version resolution and merge, over
pseudonyms only. The table is computed from current versions alone, so the same records and register give the same
table in whatever order they arrive. Its difference from the last release says whose rows must move.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from etl.merge.versions import DISCARDED_COLUMNS, REPLACED_COLUMNS, list_sql
from etl.sql import literal
from etl.warehouse.columns import IDENTIFIER_COLUMNS, IDENTITY_COLUMNS, LINK_COLUMNS
from etl.warehouse.data_files import rows_sql
from etl.warehouse.storage_faults import check_whole

LOGICAL_MARK = "?identifier="
MOVED_COLUMNS = {"alias": "VARCHAR", "cluster": "VARCHAR"} | dict.fromkeys(
    ("logical", "excluded", "replaced"), "BOOLEAN"
)


@dataclass(frozen=True)
class IdentitySources:
    """Parquet files: of the last release, staged ones, and the folder of the lists of version resolution.

    ``objectors``: (alias, is it a business identifier) of every entry of the objection register.
    """

    identity: Sequence[str]
    links: Sequence[str]
    identifiers: Sequence[str]
    staged_links: Sequence[str]
    staged_identifiers: Sequence[str]
    staged_referred: Sequence[str]
    objectors: Sequence[tuple[str, bool]]
    lists: Path


def survivors(edges: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Key → key of the identity that finally replaces it, from pairs (replaced, replaced by), along chains.

    In a ring of replacements the smallest key replaces all others. An identity that two others claim to replace goes
    to the smaller one.
    """
    follows = {old: new for old, new in sorted(edges, reverse=True) if old != new}
    targets: dict[str, str] = {}
    for start in follows:
        end = _final(start, follows, targets)
        if end != start:
            targets[start] = end
    return targets


def _final(start: str, follows: Mapping[str, str], targets: Mapping[str, str]) -> str:
    path: list[str] = []
    here = start
    while here in follows and here not in path:
        path.append(here)
        here = follows[here]
    return min(path[path.index(here) :]) if here in path else here


@dataclass(frozen=True)
class IdentityChange:
    """Whether the table differs from the last release's, and whose earlier records must be staged again.

    ``returning``: pseudonyms of patients whose objection has ended, or whose replaced identity is their own again.
    """

    changed: bool
    returning: frozenset[str]


def resolve_identities(sources: IdentitySources, scratch: Path) -> IdentityChange:
    """Write the lists ``identity`` (the new table) and ``moved``; StorageError when a present file is damaged."""
    check_whole([*sources.identity, *sources.links, *sources.identifiers])
    with duckdb.connect(config={"temp_directory": str(scratch)}) as sql:
        _views(sql, sources)
        targets = survivors(sql.execute(_EDGES).fetchall())
        sql.execute("CREATE TEMP TABLE targets (alias VARCHAR, target VARCHAR)")
        if targets:
            sql.execute("INSERT INTO targets SELECT unnest(?), unnest(?)", [list(targets), list(targets.values())])
        sql.execute(_ALIASES)
        sql.execute(_IDENTITY)
        _write(sql, sources.lists / "identity", "SELECT * FROM identity ORDER BY alias")
        _write(sql, sources.lists / "moved", _MOVED)
        changed = bool(sql.execute(_CHANGED).fetchall()[0][0])
        return IdentityChange(changed, frozenset(row[0] for row in sql.execute(_RETURNING).fetchall()))


def _views(sql: duckdb.DuckDBPyConnection, sources: IdentitySources) -> None:
    lists = sources.lists
    seq = {"seq": "BIGINT"}
    views = {
        "discarded": list_sql(lists, "discarded", DISCARDED_COLUMNS),
        "replaced": list_sql(lists, "replaced", REPLACED_COLUMNS),
        "old": rows_sql(sources.identity, IDENTITY_COLUMNS),
        "old_links": rows_sql(sources.links, LINK_COLUMNS),
        "new_links": rows_sql(sources.staged_links, {**seq, **LINK_COLUMNS}),
        "old_identifiers": rows_sql(sources.identifiers, IDENTIFIER_COLUMNS),
        "new_identifiers": rows_sql(sources.staged_identifiers, {**seq, **IDENTIFIER_COLUMNS}),
        "referred": rows_sql(sources.staged_referred, {"identifier_key": "VARCHAR"}),
    }
    for name, query in views.items():
        sql.execute(f"CREATE TEMP VIEW {name} AS {query}")
    sql.execute("CREATE TEMP TABLE objectors (alias VARCHAR, logical BOOLEAN)")
    if sources.objectors:
        aliases, logical = zip(*sources.objectors, strict=True)
        sql.execute("INSERT INTO objectors SELECT unnest(?), unnest(?)", [list(aliases), list(logical)])


def _write(sql: duckdb.DuckDBPyConnection, folder: Path, query: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sql.execute(f"COPY ({query}) TO {literal(folder / 'all.parquet')} (FORMAT parquet)")


_EDGES = """
WITH current_links AS (
    SELECT * FROM old_links WHERE resource_key NOT IN (SELECT resource_key FROM replaced)
    UNION ALL
    SELECT * EXCLUDE (seq) FROM new_links ANTI JOIN discarded USING (seq)
)
SELECT resource_key, replaced_by FROM current_links WHERE replaced_by IS NOT NULL
UNION
SELECT replaces, resource_key FROM current_links WHERE replaces IS NOT NULL
"""
_ALIASES = """
CREATE TEMP TABLE logicals AS
SELECT DISTINCT identifier_key FROM (
    FROM referred
    UNION ALL SELECT alias FROM old WHERE logical
    UNION ALL SELECT alias FROM objectors WHERE logical);
CREATE TEMP TABLE meant AS
SELECT identifier_key AS alias, min(resource_key) AS target
FROM (
    SELECT * FROM old_identifiers SEMI JOIN logicals USING (identifier_key)
    WHERE resource_key NOT IN (SELECT resource_key FROM replaced)
    UNION ALL
    SELECT * EXCLUDE (seq) FROM new_identifiers SEMI JOIN logicals USING (identifier_key)
    ANTI JOIN discarded USING (seq)
)
GROUP BY 1 HAVING count(DISTINCT resource_key) = 1
"""
_IDENTITY = """
CREATE TEMP TABLE named AS
SELECT l.identifier_key AS alias, coalesce(e.target, m.target) AS target, true AS logical
FROM logicals l LEFT JOIN meant m ON m.alias = l.identifier_key LEFT JOIN targets e ON e.alias = m.target
UNION ALL
SELECT alias, target, false FROM targets
UNION ALL
SELECT alias, alias, false FROM objectors WHERE NOT logical AND alias NOT IN (SELECT alias FROM targets);
CREATE TEMP TABLE excluded_targets AS
SELECT DISTINCT target FROM named SEMI JOIN objectors USING (alias) WHERE target IS NOT NULL;
CREATE TEMP TABLE identity AS
SELECT *, alias IN (SELECT alias FROM objectors) AS objects,
       alias IN (SELECT alias FROM objectors) OR coalesce(target IN (FROM excluded_targets), false) AS excluded
FROM (
    FROM named UNION ALL
    SELECT target, target, false FROM excluded_targets WHERE target NOT IN (SELECT alias FROM named)
)
"""
_DIFFERENCE = """
SELECT coalesce(new.alias, old.alias) AS alias, coalesce(new.logical, old.logical) AS logical,
       old.alias IS NOT NULL AS known,
       CASE WHEN old.alias IS NULL AND NOT new.logical THEN new.alias ELSE old.target END AS was,
       CASE WHEN new.alias IS NULL AND NOT old.logical THEN old.alias ELSE new.target END AS is_now,
       coalesce(old.excluded, false) AS was_excluded, coalesce(new.excluded, false) AS excluded
FROM identity new FULL JOIN old ON new.alias = old.alias
"""
_MOVED = f"""
SELECT alias, coalesce(was, alias) AS cluster, logical, excluded, NOT logical AND is_now <> alias AS replaced
FROM ({_DIFFERENCE})
WHERE (known OR NOT logical) AND (was IS DISTINCT FROM is_now OR was_excluded <> excluded)
"""
_RETURNING = f"""
SELECT alias FROM ({_DIFFERENCE})
WHERE NOT excluded AND (was_excluded OR (NOT logical AND was <> alias AND is_now = alias))
"""
_CHANGED = """
SELECT count(*) > 0 FROM (
    (SELECT * FROM identity EXCEPT SELECT * FROM old) UNION ALL (SELECT * FROM old EXCEPT SELECT * FROM identity))
"""
