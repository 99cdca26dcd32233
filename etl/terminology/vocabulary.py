"""The closed vocabulary of a load: its code lists and forms, and what they make of (system, code).

A code that is in a list of its system, or has a form that leaves no room for an identifier, is kept. Of any other a
keyed pseudonym is kept, ``local-`` and 32 hexadecimal digits, which says which rows have the same code and no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from etl.privacy import LOCAL
from etl.sql import list_literal, literal
from etl.terminology.code_forms import condition
from etl.terminology.code_lists import FOLD_SQL, SCHEMA, entries, rows
from etl.terminology.code_systems import CodeSystems, read_code_systems
from etl.terminology.publisher_files import read_publisher_file


@dataclass(frozen=True)
class Vocabulary:
    """What tasks are sent: systems and forms, the shipped lists by value, the loaded ones by path."""

    systems: CodeSystems = field(default_factory=CodeSystems)
    shipped: pa.Table = field(default_factory=SCHEMA.empty_table)
    files: tuple[str, ...] = ()

    def bind(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the temp tables ``terms``, ``system_aliases`` and ``allowed_systems`` of the connection."""
        connection.register("shipped_terms", self.shipped)
        loaded = f" UNION ALL FROM read_parquet({list_literal(self.files)})" if self.files else ""
        connection.execute(f"CREATE TEMP TABLE terms AS FROM shipped_terms{loaded}")
        connection.unregister("shipped_terms")
        connection.execute(f"CREATE TEMP TABLE system_aliases AS {_pairs(self.systems.aliases.items())}")
        connection.execute(
            "CREATE TEMP TABLE allowed_systems AS SELECT DISTINCT system FROM terms"
            f" UNION SELECT unnest({list_literal([*self.systems.urls, *self.systems.aliases])}::VARCHAR[])"
        )
        connection.execute(
            "UPDATE terms SET system = url FROM system_aliases WHERE terms.system = system_aliases.alias"
        )

    def has_form(self, system: str, code: str) -> str:
        """SQL: has the code the form of its system?"""
        cases = [f"WHEN {literal(url)} THEN {condition(form, code)}" for url, form in self.systems.forms.items()]
        return f"CASE {system} {' '.join(cases)} ELSE false END" if cases else "false"


def read_vocabulary(systems: Path, shipped: Path, loaded: Path) -> Vocabulary:
    """The vocabulary of a file of code systems, a folder of shipped lists, and the folder of loaded ones."""
    lists = [each for path in sorted(shipped.glob("*.ndjson")) for each in read_publisher_file(path)]
    files = tuple(str(loaded / entry.file) for entry in entries(loaded))
    return Vocabulary(read_code_systems(systems), rows(lists), files)


def local_code(system: str, code: str) -> str:
    """SQL of the pseudonym of a code, over SQL of its system and of itself."""
    return f"'{LOCAL}' || pseudonym('code|' || {system} || '|' || {code})"


def local_system(system: str) -> str:
    """SQL of the pseudonym of a code system."""
    return f"'{LOCAL}' || pseudonym('system|' || {system})"


def resolved_sql(vocabulary: Vocabulary, asked: str) -> str:
    """SELECT of (system, code, label, url, known, display, kept) over SQL of (system, code, label).

    ``known`` is NULL for a code of no list and no form; ``kept`` is then its pseudonym.
    """
    word, has_form = FOLD_SQL.format("code"), vocabulary.has_form("c.url", "c.code")
    return f"""
    WITH asked AS (SELECT system, code, any_value(label) AS label FROM ({asked}) WHERE code IS NOT NULL GROUP BY 1, 2),
    canonical AS (
        SELECT a.*, coalesce(l.url, a.system) AS url FROM asked a LEFT JOIN system_aliases l ON a.system = l.alias
    ), exact AS (
        SELECT c.system, c.code, any_value(t.display) AS display FROM terms t
        JOIN canonical c ON t.system = c.url AND t.asked = c.code WHERE NOT t.word GROUP BY 1, 2
    ), worded AS (
        SELECT c.system, c.code, min(t.code) AS meant, any_value(t.display) AS display FROM terms t
        JOIN (SELECT *, {word} AS folded FROM canonical) c ON t.system = c.url AND t.asked = c.folded
        WHERE t.word GROUP BY 1, 2
    ), known AS (
        SELECT c.*, coalesce(e.code, w.meant, CASE WHEN {has_form} THEN c.code END) AS known,
               coalesce(e.display, w.display) AS display
        FROM canonical c LEFT JOIN exact e USING (system, code) LEFT JOIN worded w USING (system, code)
    )
    SELECT *, coalesce(known, {local_code("url", "code")}) AS kept FROM known
    """


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    values = ", ".join(f"({literal(alias)}, {literal(url)})" for alias, url in pairs)
    empty = "SELECT NULL::VARCHAR AS alias, NULL::VARCHAR AS url WHERE false"
    return f"SELECT * FROM (VALUES {values}) AS v(alias, url)" if values else empty
