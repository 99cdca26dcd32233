"""Erasure: remove a patient from every file of every kept release, and prove it by a scan.

Owns the rewriting of files that releases share, the re-pinning of the releases, and the proof: a scan of every byte
of the zones for the patient's pseudonyms, which is run before (and must find them) and after (and must not). Old
files are deleted last, so that a kill at any moment leaves every release whole, and a second run ends the work.
"""

from __future__ import annotations

import json
import mmap
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from etl.dicom.archive import members
from etl.errors import InputError
from etl.files import write_atomically
from etl.ingest.local_codes import forget_unused
from etl.ingest.redaction import Redacted, redact
from etl.load_config import LoadConfig
from etl.merge.patient_identity import LOGICAL_MARK
from etl.pipeline import locked_warehouse
from etl.privacy import pseudonym
from etl.sql import list_literal, literal
from etl.warehouse.columns import IDENTIFIER, IDENTITY, INTERNAL, LEDGER, LINK
from etl.warehouse.data_files import TABLES, DataFile, rows_sql
from etl.warehouse.delta import set_state
from etl.warehouse.garbage import sweep, work_folder
from etl.warehouse.parquet_writer import rows_of, write_file
from etl.warehouse.release import PinnedTable, Release, open_release, release_ids, write_release
from etl.warehouse.staged_files import STAGING
from etl.warehouse.storage_faults import check_whole

BEGUN = "erasing.json"
_TOKEN = re.compile(rb"[0-9a-f]{32}")


@dataclass(frozen=True)
class Scan:
    """Number of files searched, and path → occurrences of pseudonyms, of files with any."""

    files: int
    occurrences: Mapping[str, int]

    @property
    def hits(self) -> int:
        """All occurrences."""
        return sum(self.occurrences.values())

    def to_dict(self) -> dict[str, Any]:
        """The scan in the erasure's report."""
        return {"files": self.files, "found": dict(self.occurrences)}


@dataclass
class Erasure:
    """What was erased (``keys``: pseudonyms looked for), and the scans before and after; it holds no pseudonym."""

    keys: int
    rows: int = 0
    files: int = 0
    releases: list[str] = field(default_factory=list)
    redacted: Redacted = field(default_factory=lambda: Redacted(0, 0))
    before: Scan | None = None
    after: Scan | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report's form, which is stored."""
        return {
            **{name: getattr(self, name) for name in ("keys", "rows", "files", "releases")},
            "blanked": asdict(self.redacted),
            "before": self.before and self.before.to_dict(),
            "after": self.after and self.after.to_dict(),
        }


def erase(
    config: LoadConfig,
    references: Sequence[str],
    folders: Sequence[Path] = (),
    *,
    landing: bool,
    done: Callable[[Erasure], None] = lambda _: None,
) -> Erasure:
    """Erase the patient that any of ``references`` names from every kept release and from quarantine.

    ``landing``: redact the records in the landing zone too. ``folders`` are scanned beside the warehouse. ``done`` is
    called before the erasure counts as ended: killed in it or before, the same command takes it up again. InputError
    when no kept release knows the patient.
    """
    warehouse = config.zones.warehouse
    with locked_warehouse(config):
        begun = _begun(warehouse / STAGING)
        with work_folder(config.zones.warehouse) as folder:  # by which the next run sweeps up after a kill
            keys = _keys(config, references, begun)
            erasure = Erasure(len(keys))
            erasure.before = _scan(warehouse, folders, keys)
            _begin(folder, keys)
            erasure.redacted = redact(config, references, keys | _numbers(config, keys), landing=landing)
            _redact_pages(warehouse / "validation", keys)
            _rewrite_all(config, keys, erasure)
            sweep(warehouse)
            if config.local_codes:
                forget_unused(config.local_codes, _releases(config), config.tables)
            erasure.after = _scan(warehouse, folders, keys)
            done(erasure)
    return erasure


def _scan(warehouse: Path, folders: Sequence[Path], keys: frozenset[str]) -> Scan:
    """Scan everything but the work folder, which holds the keys until the erasure ends."""
    return scan([*(path for path in sorted(warehouse.glob("*")) if path.name != STAGING), *folders], keys)


def _begin(folder: Path, keys: frozenset[str]) -> None:
    """Note what is being erased: after a kill the tables may not know the patient any more."""
    write_atomically(folder / BEGUN, json.dumps(sorted(keys)).encode())


def _begun(folder: Path) -> frozenset[str]:
    """The keys of an erasure that was killed; none, an empty set."""
    path = folder / BEGUN
    return frozenset(json.loads(path.read_text())) if path.exists() else frozenset()


def _keys(config: LoadConfig, references: Sequence[str], begun: frozenset[str]) -> frozenset[str]:
    """Pseudonyms of the patient and of all resources of theirs; with those ``begun`` if they are this patient's."""
    named = {pseudonym(config.read_key(), reference) for reference in references}
    left = begun if begun & named else frozenset()
    if left and not _known(config, named):
        return left
    patients = _aliases(config, references)
    return left.union(patients, *(_owned(release, patients) for release in _releases(config)))


def _known(config: LoadConfig, patients: Iterable[str]) -> bool:
    return any(_owned(release, patients) for release in _releases(config))


def _releases(config: LoadConfig) -> list[Release]:
    return [open_release(config.zones.warehouse, name) for name in release_ids(config.zones.warehouse)]


def _aliases(config: LoadConfig, references: Sequence[str]) -> frozenset[str]:
    """Pseudonyms of the patient: as named, as meant by an identifier, and of the identities merged into it."""
    key = config.read_key()
    releases = _releases(config)
    aliases = {pseudonym(key, reference) for reference in references}
    for release in releases[-1:]:  # identities merged once and parted since are two people
        aliases |= _meant(release, aliases, any(LOGICAL_MARK in reference for reference in references))
    if not any(_owned(release, aliases) for release in releases):
        raise InputError("no kept release has a row of this patient; check the id (Patient/ID, or SYSTEM|VALUE)")
    return frozenset(aliases)


def _meant(release: Release, aliases: set[str], logical: bool) -> set[str]:
    others: set[str] = set()
    with duckdb.connect() as sql:
        if logical:
            query = f"SELECT resource_key FROM ({_rows(release, IDENTIFIER)}) WHERE list_contains(?, identifier_key)"
            others |= {row[0] for row in sql.execute(query, [sorted(aliases)]).fetchall()}
        query = f"""
            WITH i AS ({_rows(release, IDENTITY)}), hit AS (
                SELECT coalesce(target, alias) AS t FROM i WHERE list_contains($1, alias) OR list_contains($1, target))
            SELECT alias FROM i WHERE target IN (FROM hit) UNION SELECT t FROM hit"""
        others |= {row[0] for row in sql.execute(query, [sorted(aliases | others)]).fetchall()}
    return others


def _numbers(config: LoadConfig, keys: frozenset[str]) -> frozenset[str]:
    """Keyed business identifiers that mean only resources of the patient: DICOM names patients by them."""
    identifiers: set[str] = set()
    query = """SELECT identifier_key FROM ({rows}) GROUP BY 1 HAVING bool_and(list_contains(?, resource_key))"""
    with duckdb.connect() as sql:
        for release in _releases(config)[-1:]:
            rows = sql.execute(query.format(rows=_rows(release, IDENTIFIER)), [sorted(keys)]).fetchall()
            identifiers |= {str(row[0]) for row in rows}
    return frozenset(identifiers)


def _rows(release: Release, table: str) -> str:
    return rows_sql(release.files(table) if table in release.tables else [], INTERNAL[table])


def _owned(release: Release, patients: Iterable[str]) -> frozenset[str]:
    """Keys of the resources that the ledger says are the patient's."""
    query = f"""SELECT DISTINCT resource_key FROM ({_rows(release, LEDGER)})
                WHERE list_contains($1, patient_key) OR list_contains($1, resource_key)"""
    with duckdb.connect() as sql:
        return frozenset(row[0] for row in sql.execute(query, [sorted(patients)]).fetchall())


def _rewrite_all(config: LoadConfig, keys: frozenset[str], erasure: Erasure) -> None:
    """Rewrite every file that names the patient, once, and pin the new files in each release."""
    releases = _releases(config)
    written: dict[tuple[str, str], DataFile | None] = {}
    with duckdb.connect() as sql:
        sql.execute("CREATE TABLE gone AS SELECT unnest(?) AS key", [sorted(keys)])
        sql.execute("SET VARIABLE gone = ?", [sorted(keys)])
        for table in sorted({table for release in releases for table in release.tables}):
            written |= _rewrite_table(sql, config, table, releases, erasure)
    for release in releases:
        _pin_again(release, written, keys)
        erasure.releases.append(release.id)


def _rewrite_table(
    sql: duckdb.DuckDBPyConnection, config: LoadConfig, table: str, releases: Sequence[Release], erasure: Erasure
) -> dict[tuple[str, str], DataFile | None]:
    """Every file of the table, and what takes its place: itself, a new file, or None where nothing is left."""
    folder = config.zones.warehouse / TABLES / table
    files = {file.path: file for r in releases if table in r.tables for file in r.data_files(table)}
    named = _naming(sql, [str(folder / path) for path in files])
    return {
        (table, path): _rewrite(sql, folder, table, file, erasure) if str(folder / path) in named else file
        for path, file in files.items()
    }


def _columns(sql: duckdb.DuckDBPyConnection, source: str) -> tuple[list[str], list[str]]:
    """Text columns, and columns of lists of texts."""
    rows = sql.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    single = [str(row[0]) for row in rows if row[1] == "VARCHAR"]
    return single, [str(row[0]) for row in rows if row[1] == "VARCHAR[]"]


def _naming(sql: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> set[str]:
    """Those of the files that name the patient or a resource of theirs."""
    if not paths:
        return set()
    options = "union_by_name = true, hive_partitioning = false"
    single, lists = _columns(sql, f"read_parquet({list_literal(paths)}, {options})")
    named = " OR ".join([*map(_names_one, single), *map(_names_any, lists)])
    source = f"read_parquet({list_literal(paths)}, {options}, filename = '_file')"
    return {str(row[0]) for row in sql.execute(f"SELECT DISTINCT _file FROM {source} WHERE {named}").fetchall()}


def _rewrite(
    sql: duckdb.DuckDBPyConnection, folder: Path, table: str, file: DataFile, erasure: Erasure
) -> DataFile | None:
    """The file without the patient; None where nothing is left."""
    check_whole([str(folder / file.path)])
    source = f"read_parquet({literal(folder / file.path)}, hive_partitioning = false)"
    rows = rows_of(sql, _without(table, *_columns(sql, source), source))
    erasure.files += 1
    erasure.rows += file.rows - len(rows)
    low, high = file.range
    return write_file(rows, folder, file.bucket, low, high) if len(rows) else None


def _names_one(column: str) -> str:
    return f'coalesce("{column}" IN (SELECT key FROM gone), false)'


def _names_any(column: str) -> str:
    """Items are keys, or entries ``column:place=key``."""
    return f'coalesce(len(list_filter("{column}", lambda x: {_IS_GONE})) > 0, false)'


_IS_GONE = "list_contains(getvariable('gone'), string_split(x, '=')[-1])"


def _without(table: str, single: Sequence[str], lists: Sequence[str], source: str) -> str:
    """SQL of the rows that are not the patient's, in which references to the patient become NULL."""
    own = [name for name in _OWN.get(table, ("_patient", f"{table}_key")) if name in single]
    mine = " OR ".join(map(_names_one, own)) or "false"
    others = [name for name in single if name.endswith("_key") and name not in own]
    columns = [f'CASE WHEN NOT {_names_one(name)} THEN "{name}" END AS "{name}"' for name in others]
    columns += [f'list_filter("{name}", lambda x: NOT {_IS_GONE}) AS "{name}"' for name in lists]
    replaced = f" REPLACE ({', '.join(columns)})" if columns else ""
    return f"SELECT *{replaced} FROM {source} WHERE NOT ({mine})"


_OWN: Mapping[str, tuple[str, ...]] = {
    LEDGER: ("resource_key", "patient_key"),
    IDENTIFIER: ("resource_key",),
    LINK: ("resource_key", "replaced_by", "replaces"),
    IDENTITY: ("alias", "target"),
}
"""Columns by which a row of an internal table is the patient's."""


def _pin_again(release: Release, written: Mapping[tuple[str, str], DataFile | None], keys: frozenset[str]) -> None:
    """Pin the new files in the release, in one atomic step."""
    tables = {}
    for table in release.tables:
        now = [written[table, file.path] for file in release.data_files(table)]
        files = [file for file in now if file is not None]
        version = set_state(release.warehouse / TABLES / table, files)
        tables[table] = PinnedTable(version, sum(file.rows for file in files), len(files))
    validation = json.loads(_redacted(json.dumps(release.validation).encode(), keys))
    write_release(replace(release, tables=tables, validation=validation))


def _redacted(text: bytes, keys: frozenset[str]) -> bytes:
    return _TOKEN.sub(lambda m: b"(erased)" if m.group().decode() in keys else m.group(), text)


def _redact_pages(folder: Path, keys: frozenset[str]) -> None:
    """Redact the patient's keys in the Data Docs, which list keys of failing rows."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        text = path.read_bytes()
        redacted = _redacted(text, keys)
        if redacted != text:
            write_atomically(path, redacted)


def scan(folders: Iterable[Path], keys: frozenset[str]) -> Scan:
    """Look for the keys in every byte of every file; Parquet and zips are also read, because they are compressed."""
    wanted = {key.encode() for key in keys}
    paths = [path for folder in folders for path in [folder, *sorted(folder.rglob("*"))] if path.is_file()]
    occurrences = Counter({str(path): _in_bytes(path, wanted) for path in paths})
    occurrences.update({str(path): _in_zip(path, wanted) for path in paths if path.suffix == ".zip"})
    with duckdb.connect() as sql:
        sql.execute("CREATE TABLE gone AS SELECT unnest(?) AS key", [sorted(keys)])
        for group in _alike(path for path in paths if path.suffix == ".parquet"):
            occurrences.update(_in_parquet(sql, group))
    return Scan(len(paths), {path: hits for path, hits in occurrences.items() if hits})


def _in_bytes(path: Path, wanted: set[bytes]) -> int:
    with path.open("rb") as handle:
        if not path.stat().st_size:
            return 0
        with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return sum(token.group() in wanted for token in _TOKEN.finditer(content))


def _in_zip(path: Path, wanted: set[bytes]) -> int:
    return sum(token.group() in wanted for content in members(path) for token in _TOKEN.finditer(content))


def _alike(paths: Iterable[Path]) -> list[list[Path]]:
    """Parquet files with the same columns together, so that one query reads them."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        try:
            groups.setdefault(str(pq.read_schema(path)), []).append(path)
        except (OSError, ValueError):
            continue  # no Parquet after all: its bytes are looked at as they are
    return list(groups.values())


def _in_parquet(sql: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> dict[str, int]:
    """Path → occurrences of the keys in the file's text columns."""
    source = f"read_parquet({list_literal(paths)}, hive_partitioning = false, filename = '_file')"
    single, lists = _columns(sql, source)
    names = [name for name in [*single, *lists] if name != "_file"]
    if not names:
        return {}
    texts = " || ".join(f"coalesce(CAST(\"{name}\" AS VARCHAR), '') || ' '" for name in names)
    query = f"""SELECT _file, count(*) FROM (
        SELECT _file, unnest(regexp_extract_all({texts}, '[0-9a-f]{{32}}')) AS token FROM {source})
        SEMI JOIN gone ON token = key GROUP BY 1"""
    return {str(file): int(hits) for file, hits in sql.execute(query).fetchall()}
