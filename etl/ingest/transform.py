"""The transformation of one chunk: texts in, pseudonymised rows out, in one DuckDB connection.

Owns the order of work (expand Bundles, classify, check, evaluate the views, apply the privacy rules) and the
promise that every resource text ends either among the accepted resources or among the refusals. Clear text
lives only in this connection's memory; temporary spilling to disk is switched off. On the ordinary path Python only
passes each text through a typed decoder (``etl.fhir.json_types``); Bundles, containers and texts that
look malformed are opened.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from etl.duckdb_engine import connect, scalar
from etl.fhir.resource_types import RESOURCE_TYPES
from etl.ingest import closed_columns
from etl.ingest.bundles import Document, expand
from etl.ingest.closed_columns import ClosedColumns
from etl.ingest.reading import BLANKS, Chunk
from etl.ingest.resource_type_plans import IDENTIFIED, TypePlan, other_type_plan
from etl.privacy import RULES, PseudonymKey, bind_key
from etl.sql import literal
from etl.tables import WarehouseTable
from etl.terminology.vocabulary import Vocabulary
from etl.views.exact_decimals import exact_text
from etl.warehouse.columns import LOGICAL, PATIENT, ROW_VERSION
from etl.warehouse.data_files import bucket_sql

_ID = "[A-Za-z0-9\\-.]{1,64}"
_DOCUMENT_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("part", pa.string()),
        ("text", pa.large_string()),
        ("given_id", pa.string()),
        ("action", pa.string()),
        ("given_type", pa.string()),
        ("given_reason", pa.string()),
    ]
)
_HEADS = "json_extract_string(text, ['$.resourceType', '$.id', '$.meta.lastUpdated', '$.meta.versionId'])"


@dataclass(frozen=True)
class TransformPlan:
    """What is evaluated, by resource type; made once on the driver and sent to every task. It holds no key."""

    types: Mapping[str, TypePlan]
    buckets: int
    max_line_bytes: int
    memory_mb: int = 1024
    vocabulary: Vocabulary = field(default_factory=Vocabulary)


@dataclass
class ChunkTransform:
    """A DuckDB connection that transforms chunks; use it as a context manager."""

    plan: TransformPlan
    key: PseudonymKey
    _connection: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> ChunkTransform:
        self._connection = connect(self.plan.memory_mb)  # clear text: it must not spill
        bind_key(self._connection, self.key)
        self.plan.vocabulary.bind(self._connection)
        self._connection.execute(_UNLISTED)
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._connection is not None:
            self._connection.close()

    @property
    def sql(self) -> duckdb.DuckDBPyConnection:
        assert self._connection is not None
        return self._connection

    def load(self, chunk: Chunk, first_seq: int, deleted_at: str | None = None) -> int:
        """Classify a chunk into temp table ``doc``; returns how many resource texts it holds.

        ``doc(seq, file, line, part, action, type, id, updated, version, text, reason)``; ``seq`` counts from
        ``first_seq`` and is unique in the batch. ``deleted_at`` is the instant of a deletion that names none.
        """
        lines = self._expanded(chunk)
        self.sql.register("lines", lines)
        self.sql.execute(_CLASSIFY, {"first": first_seq, "deleted_at": deleted_at})
        self.sql.unregister("lines")
        self._refuse_unknown_types()
        return scalar(self.sql, "SELECT count(*) FROM doc")

    def types(self) -> list[str]:
        """Types with accepted resources in the chunk."""
        rows = self.sql.execute("SELECT DISTINCT type FROM doc WHERE reason IS NULL ORDER BY 1").fetchall()
        return [row[0] for row in rows]

    def evaluate(self, resource: str) -> list[WarehouseTable]:
        """Read and check the resources of one type and evaluate its views into temp tables ``out_<table>``.

        Faults found go to ``doc.reason``; afterwards ``parsed`` holds the accepted resources of the type.
        """
        plan = self._type_plan(resource)
        present = self._check_keys(plan)
        self._check_json_types(plan)
        plan = plan.narrowed(present)
        self._parse(plan)
        for table in plan.tables:
            self._run_view(table)
        self._refuse_view_problems(plan)
        return list(plan.tables)

    def rows_sql(self, table: WarehouseTable) -> str:
        """SELECT of a table's protected rows: its columns, lineage columns, ``bucket`` and ``seq``."""
        self._pseudonyms(table)
        closed = closed_columns.prepare(self.sql, self.plan.vocabulary, table)
        return _rows_sql(closed, self.plan.buckets, logical=self.logical_sql() is not None)

    def resources_sql(self, resource: str) -> str:
        """SELECT of the accepted resources of the type evaluated last, one row each, for the ledger."""
        return _LEDGER.format(type=resource, bucket=bucket_sql("p.resource_key", self.plan.buckets))

    def identifiers_sql(self, resource: str) -> str | None:
        """SELECT of (identifier_key, resource_key): the keyed business identifiers others may refer by."""
        bucket = bucket_sql("resource_key", self.plan.buckets)
        return _IDENTIFIERS.replace("$bucket", bucket) if resource in IDENTIFIED else None

    def links_sql(self) -> str:
        """SELECT of (resource_key, replaced_by, replaces) of the patients evaluated last."""
        return _LINKS.replace("$bucket", bucket_sql("resource_key", self.plan.buckets))

    def _type_plan(self, resource: str) -> TypePlan:
        return self.plan.types.get(resource) or other_type_plan(resource)

    def _expanded(self, chunk: Chunk) -> pa.Table:
        """Lines with Bundles and contained resources opened up; the ordinary line passes untouched."""
        self.sql.register("raw", chunk.lines)
        special = self.sql.execute(_SPECIAL).fetchall()
        lines = self.sql.sql(_ORDINARY).to_arrow_table() if special else _plain(chunk.lines)
        self.sql.unregister("raw")
        documents = [(file, line, doc) for file, line, text in special for doc in expand(text.encode())]
        refused = [(r.file, r.line, Document("", b"{}", r.id, "put", r.type, r.reason)) for r in chunk.refusals]
        return pa.concat_tables([lines.cast(_DOCUMENT_SCHEMA), _document_table([*documents, *refused])])

    def _refuse_unknown_types(self) -> None:
        self.sql.execute(
            "UPDATE doc SET reason = 'resourceType is not a type of FHIR R4', type = NULL"
            " WHERE reason IS NULL AND NOT list_contains(?, type)",
            [sorted(RESOURCE_TYPES)],
        )

    def _parse(self, plan: TypePlan) -> None:
        self.sql.execute(
            "CREATE OR REPLACE TEMP TABLE parsed AS "
            + _PARSE.format(
                exact=exact_text("text"),
                structure=literal(json.dumps(plan.structure)),
                patient=plan.patient,
                replaced_by=plan.links[0],
                replaces=plan.links[1],
                type=plan.resource,
                version=_LEDGER_VERSION,
            )
        )
        self.sql.execute(_SUBJECTS)

    def _check_keys(self, plan: TypePlan) -> frozenset[str]:
        """Refuse texts whose top-level names are not those of the type; answers the names that the others have."""
        name_sets = self.sql.execute(f"SELECT DISTINCT json_keys(text) {_TEXTS.format(type=plan.resource)}").fetchall()
        present: set[str] = set()
        for (names,) in name_sets:
            if reason := plan.fhir.check_keys(names):
                self._refuse("type = ? AND TRY(json_keys(text)) = ?", [plan.resource, names], reason)
            else:
                present.update(names)
        return frozenset(present)

    def _check_json_types(self, plan: TypePlan) -> None:
        """Look closely at the few texts whose JSON kinds are not those of the type."""
        for reason, seqs in self._wrong_texts(plan).items():
            self._refuse("seq IN (SELECT unnest(?))", [seqs], reason)

    def _wrong_texts(self, plan: TypePlan) -> Mapping[str, list[int]]:
        """Reason → seqs of the texts with a wrong JSON kind."""
        wrong = defaultdict(list)
        for batch in self.sql.sql(f"SELECT seq, text {_TEXTS.format(type=plan.resource)}").to_arrow_reader(16384):
            for position in plan.fhir.json_types.suspects(batch["text"]):
                if reason := plan.fhir.check_text(batch["text"][position].as_py()):
                    wrong[reason].append(batch["seq"][position].as_py())
        return wrong

    def _refuse(self, where: str, values: Sequence[object], reason: str) -> None:
        self.sql.execute(f"UPDATE doc SET reason = ? WHERE reason IS NULL AND {where}", [reason, *values])

    def _drop_refused(self, table: str) -> None:
        self.sql.execute(f"DELETE FROM {table} WHERE seq IN (SELECT seq FROM doc WHERE reason IS NOT NULL)")

    def _run_view(self, table: WarehouseTable) -> None:
        carry = ["seq", "resource_key", "patient_ref", "_last_updated"]
        sql = table.view.sql("(SELECT * FROM parsed WHERE action = 'put')", "r", carry, problems=True)
        self.sql.execute(f"CREATE OR REPLACE TEMP TABLE out_{table.name} AS {sql}")

    def _refuse_view_problems(self, plan: TypePlan) -> None:
        problems = 0
        for table in plan.tables:
            rows = self.sql.execute(
                f"SELECT _problem, list(DISTINCT seq) FROM out_{table.name} WHERE _problem IS NOT NULL GROUP BY 1"
            ).fetchall()
            for problem, seqs in rows:
                self._refuse("seq IN (SELECT unnest(?))", [seqs], f"{table.name}: {problem}")
            problems += len(rows)
        if problems:
            for name in ["parsed", *(f"out_{table.name}" for table in plan.tables)]:
                self._drop_refused(name)

    def _pseudonyms(self, table: WarehouseTable) -> None:
        """Temp table ``pseudonyms(ref, key)``: each distinct reference of a table's chunk hashed once."""
        single = [f'SELECT "{c.name}" AS ref FROM out_{table.name}' for c in table.references if not c.collection]
        lists = [
            f"""SELECT unnest(list_filter("{c.name}", lambda x: contains(x, '?identifier='))) FROM out_{table.name}"""
            for c in table.references
            if c.collection
        ]
        union = " UNION ALL ".join([*single, *lists, "SELECT NULL::VARCHAR AS ref"])
        self.sql.execute(
            "CREATE OR REPLACE TEMP TABLE pseudonyms AS SELECT ref, pseudonym(ref) AS key"
            f" FROM (SELECT DISTINCT ref FROM ({union}) WHERE ref IS NOT NULL)"
        )

    def logical_sql(self) -> str | None:
        """SELECT of the keyed business identifiers that the table asked for last, or its patients, refer by."""
        sql = "SELECT DISTINCT key AS identifier_key FROM ({}) WHERE contains(ref, '?identifier=')"
        sql = sql.format("FROM pseudonyms UNION ALL FROM subjects")
        return sql if scalar(self.sql, f"SELECT count(*) FROM ({sql})") else None


def _plain(lines: pa.Table) -> pa.Table:
    count = len(lines)
    columns = {
        "file": lines["file"],
        "line": lines["line"],
        "part": pa.repeat(pa.scalar(""), count),
        "text": lines["text"],
        "given_id": pa.nulls(count, pa.string()),
        "action": pa.repeat(pa.scalar("put"), count),
        "given_type": pa.nulls(count, pa.string()),
        "given_reason": pa.nulls(count, pa.string()),
    }
    return pa.table(columns)


def _document_table(documents: Sequence[tuple[str, int, Document]]) -> pa.Table:
    def rows() -> Iterator[dict[str, object]]:
        for file, line, doc in documents:
            yield {
                "file": file,
                "line": line,
                "part": doc.part,
                "text": doc.text.decode().strip(BLANKS),
                "given_id": doc.given_id,
                "action": doc.action,
                "given_type": doc.type,
                "given_reason": doc.reason,
            }

    return pa.Table.from_pylist(list(rows()), schema=_DOCUMENT_SCHEMA)


_IS_SPECIAL = """(contains(text, 'Bundle"') AND contains(text, '"Bundle"')
    OR contains(text, 'contained"') AND contains(text, '"contained"'))"""
"""Quotation marks are everywhere in JSON: a search that begins with a rarer letter is five times as fast."""
_SPECIAL = f"SELECT file, line, text FROM raw WHERE {_IS_SPECIAL}"
_ORDINARY = f"""
SELECT file, line, '' AS part, text, NULL::VARCHAR AS given_id, 'put' AS action, NULL::VARCHAR AS given_type,
       NULL::VARCHAR AS given_reason
FROM raw WHERE NOT {_IS_SPECIAL}
"""
_CLASSIFY = f"""
CREATE OR REPLACE TEMP TABLE doc AS
WITH heads AS (
    SELECT *, text[1] = '{{' AS is_object, TRY({_HEADS}) AS head
    FROM lines
), named AS (
    SELECT $first + row_number() OVER () - 1 AS seq, file, line, part, action, text, given_reason,
           head IS NOT NULL AS readable, is_object AND head IS NOT NULL AS ok,
           coalesce(given_type, head[1]) AS type, coalesce(given_id, head[2]) AS id,
           CASE WHEN action = 'delete' THEN $deleted_at ELSE head[3] END AS updated_text,
           head[4] AS version, given_id IS NOT NULL AND contains(given_id, '#') AS inner_id
    FROM heads
)
SELECT seq, file, line, part, action, type, id, TRY_CAST(updated_text AS TIMESTAMPTZ) AS updated, version, text,
       CASE WHEN given_reason IS NOT NULL THEN given_reason
            WHEN NOT ok AND readable AND text[1] = '[' THEN 'the line is a JSON array; a resource is an object'
            WHEN NOT ok AND readable THEN 'the line is JSON but not an object'
            WHEN NOT ok THEN 'the line is not valid JSON'
            WHEN type IS NULL THEN 'resourceType is missing'
            WHEN id IS NULL THEN 'id is missing'
            WHEN NOT inner_id AND NOT regexp_full_match(id, '{_ID}')
                THEN 'id is not legal: 1 to 64 letters, digits, hyphens and dots are'
            WHEN updated_text IS NOT NULL AND TRY_CAST(updated_text AS TIMESTAMPTZ) IS NULL
                THEN 'meta.lastUpdated is not an instant'
       END AS reason
FROM named
"""
_PARSE = """
SELECT seq, action, id, r, pseudonym('{type}/' || id) AS resource_key,
       {patient} AS patient_ref, {replaced_by} AS replaced_by, {replaces} AS replaces,
       updated AS _last_updated, {version} AS _version, content_hash(text) AS _hash
FROM (SELECT *, from_json({exact}, {structure}) AS r FROM doc WHERE reason IS NULL AND type = '{type}')
"""
_LEDGER_VERSION = (
    "CASE WHEN regexp_full_match(version, '[0-9]{1,9}') THEN version ELSE pseudonym('version|' || version) END"
)
"""A version id as the ledger has it: a short number orders versions; of anything else a keyed pseudonym is enough."""
_UNLISTED = "CREATE TEMP TABLE unlisted (system VARCHAR, code VARCHAR, label VARCHAR, kept VARCHAR)"
_SUBJECTS = """
CREATE OR REPLACE TEMP TABLE subjects AS SELECT ref, pseudonym(ref) AS key
FROM (SELECT DISTINCT patient_ref AS ref FROM parsed WHERE patient_ref IS NOT NULL)
"""
_TEXTS = "FROM doc WHERE reason IS NULL AND type = '{type}'"
_LEDGER = """
SELECT seq, '{type}' AS resource_type, p.resource_key, s.key AS patient_key, p._last_updated,
       p._version, p._hash, p.action = 'delete' AS deleted, {bucket} AS bucket
FROM parsed p LEFT JOIN subjects s ON p.patient_ref = s.ref
"""
_LINKS = """
SELECT seq, resource_key, pseudonym(other) AS replaced_by, NULL::VARCHAR AS replaces, $bucket AS bucket
FROM (SELECT seq, resource_key, unnest(replaced_by) AS other FROM parsed WHERE action = 'put') WHERE other IS NOT NULL
UNION ALL
SELECT seq, resource_key, NULL, pseudonym(other), $bucket
FROM (SELECT seq, resource_key, unnest(replaces) AS other FROM parsed WHERE action = 'put') WHERE other IS NOT NULL
"""
_IDENTIFIERS = """
SELECT DISTINCT pseudonym(type || '?identifier=' || coalesce(i.system, '') || '|' || i.value) AS identifier_key,
       resource_key, seq, $bucket AS bucket
FROM (
    SELECT p.seq, p.resource_key, d.type,
           unnest(from_json(d.text, '{"identifier": [{"system": "VARCHAR", "value": "VARCHAR"}]}').identifier) AS i
    FROM parsed p JOIN (SELECT seq, type, text FROM doc WHERE reason IS NULL) d USING (seq)
)
WHERE i.value IS NOT NULL
"""


def _protected(closed: ClosedColumns) -> Iterator[str]:
    table, kept = closed.table, closed_columns.protected(closed)
    taken = {column.name for column in closed_columns.closed_columns(table)}
    for column in table.view.columns:
        quoted = f'o."{column.name}"'
        if column.name == table.key:
            yield f'o.resource_key AS "{column.name}"'
        elif column.name in taken:
            yield f'CAST({kept.get(column.name, "NULL")} AS {column.sql_type}) AS "{column.name}"'
        elif column.privacy != "pseudonym":
            yield f'{RULES[column.privacy or ""].sql(quoted, column.sql_type)} AS "{column.name}"'
        elif column.collection:
            yield f'list_transform({quoted}, lambda x: pseudonym(x)) AS "{column.name}"'
        else:
            yield f'"k_{column.name}".key AS "{column.name}"'


def _logical(table: WarehouseTable) -> str:
    """SQL of the entries ``column:place=key`` of a row's references by business identifier; NULL without one."""
    single = [
        f"""CASE WHEN contains(o."{c.name}", '?identifier=') THEN ['{c.name}:1=' || "k_{c.name}".key] ELSE [] END"""
        for c in table.references
        if not c.collection
    ]
    many = [
        f"""list_filter(list_transform(o."{c.name}", lambda x, i: CASE WHEN contains(x, '?identifier=')
            THEN '{c.name}:' || i || '=' || pseudonym(x) END), lambda e: e IS NOT NULL)"""
        for c in table.references
        if c.collection
    ]
    if not single and not many:
        return "NULL::VARCHAR[]"
    entries = " || ".join(f"coalesce({part}, [])" for part in [*single, *many])
    return f"nullif(({entries})::VARCHAR[], []::VARCHAR[])"


def _rows_sql(closed: ClosedColumns, buckets: int, *, logical: bool) -> str:
    table = closed.table
    references = [
        f'LEFT JOIN pseudonyms AS "k_{c.name}" ON o."{c.name}" = "k_{c.name}".ref'
        for c in table.references
        if not c.collection
    ]
    refers = _logical(table) if logical else "NULL::VARCHAR[]"
    bucket = bucket_sql("coalesce(k_patient.key, o.resource_key)", buckets)
    lineage = f"{ROW_VERSION}, k_patient.key AS {PATIENT}, {refers} AS {LOGICAL}"
    return (
        f"SELECT o.seq, {', '.join(_protected(closed))}, {lineage}, {bucket} AS bucket"
        f" FROM out_{table.name} AS o {' '.join([*references, *closed_columns.joins(closed)])}"
        " LEFT JOIN subjects AS k_patient ON o.patient_ref = k_patient.ref"
    )
