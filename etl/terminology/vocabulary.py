"""The closed vocabulary of a load: its code lists and forms, and what they make of (system, code).

A code that is in a list of its system, or has a form that leaves no room for an identifier, is kept. Of any other a
keyed pseudonym is kept, ``local-`` and 32 hexadecimal digits, which says which rows have the same code and no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
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

SYSTEMS = "urn:erios:code-systems"
"""The system under which code systems themselves are looked up; those that the vocabulary names are kept."""


@dataclass(frozen=True)
class Vocabulary:
    """What tasks are sent: systems and forms, the shipped lists by value, the loaded ones by path."""

    systems: CodeSystems = field(default_factory=CodeSystems)
    shipped: pa.Table = field(default_factory=SCHEMA.empty_table)
    files: tuple[str, ...] = ()

    def bind(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the connection's temp tables ``terms``, ``system_aliases``, ``allowed_systems`` and ``resolved``."""
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
        connection.execute(_RESOLVED)

    def resolve(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Add to ``resolved`` what the vocabulary makes of the (system, code) of ``asked`` that are not in it yet."""
        new = frozenset(url for (url,) in connection.execute(_NEW_SYSTEMS).fetchall())
        if new:
            connection.execute(f"INSERT INTO resolved {self._resolved_sql(new)}")

    def _resolved_sql(self, systems: Collection[str]) -> str:
        """SELECT of the rows of ``resolved`` for what ``asked`` has of these systems; no other form is planned."""
        word, has_form = FOLD_SQL.format("code"), self._has_form(systems)
        return f"""
        WITH canonical AS ({_NEW}), exact AS (
            SELECT c.system, c.code, any_value(t.display) AS display FROM terms t
            JOIN canonical c ON t.system = c.url AND t.asked = c.code WHERE NOT t.word GROUP BY 1, 2
        ), worded AS (
            SELECT c.system, c.code, min(t.code) AS meant, any_value(t.display) AS display FROM terms t
            JOIN (SELECT *, {word} AS folded FROM canonical) c ON t.system = c.url AND t.asked = c.folded
            WHERE t.word GROUP BY 1, 2
        ), known AS (
            SELECT c.*, coalesce(e.code, w.meant, s.system, CASE WHEN {has_form} THEN c.code END) AS known,
                   coalesce(e.display, w.display) AS display
            FROM canonical c LEFT JOIN exact e USING (system, code) LEFT JOIN worded w USING (system, code)
            LEFT JOIN allowed_systems s ON c.url = '{SYSTEMS}' AND c.code = s.system
        )
        SELECT *, coalesce(known, {_pseudonym()}) AS kept FROM known
        """

    def _has_form(self, systems: Collection[str]) -> str:
        """SQL: has the code ``c.code`` the form of its system ``c.url``, one of these?"""
        forms = {url: form for url, form in self.systems.forms.items() if url in systems}
        cases = [f"WHEN {literal(url)} THEN {condition(form, 'c.code')}" for url, form in forms.items()]
        return f"CASE c.url {' '.join(cases)} ELSE false END" if cases else "false"


_RESOLVED = """
CREATE TEMP TABLE resolved (
    system VARCHAR, code VARCHAR, url VARCHAR, known VARCHAR, display VARCHAR, kept VARCHAR
)
"""
"""``url``: the system's canonical name. ``known`` is NULL for a code of no list and no form: its pseudonym is kept."""
_NEW = """
SELECT a.system, a.code, coalesce(l.url, a.system) AS url
FROM asked a LEFT JOIN system_aliases l ON a.system = l.alias ANTI JOIN resolved r
ON a.system = r.system AND a.code = r.code
"""
_NEW_SYSTEMS = f"SELECT DISTINCT url FROM ({_NEW})"


def read_vocabulary(systems: Path, shipped: Path, loaded: Path) -> Vocabulary:
    """The vocabulary of a file of code systems, a folder of shipped lists, and the folder of loaded ones."""
    lists = [each for path in sorted(shipped.glob("*.ndjson")) for each in read_publisher_file(path)]
    files = tuple(str(loaded / entry.file) for entry in entries(loaded))
    return Vocabulary(read_code_systems(systems), rows(lists), files)


def local_code(system: str, code: str) -> str:
    """SQL of the pseudonym of a code, over SQL of its system and of itself."""
    return f"'{LOCAL}' || pseudonym('code|' || {system} || '|' || {code})"


def _pseudonym() -> str:
    """SQL of what is kept of an unknown code, or of an unknown code system."""
    return (
        f"CASE url WHEN '{SYSTEMS}' THEN '{LOCAL}' || pseudonym('system|' || code) ELSE {local_code('url', 'code')} END"
    )


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    values = ", ".join(f"({literal(alias)}, {literal(url)})" for alias, url in pairs)
    empty = "SELECT NULL::VARCHAR AS alias, NULL::VARCHAR AS url WHERE false"
    return f"SELECT * FROM (VALUES {values}) AS v(alias, url)" if values else empty
