"""The privacy rules: what may be done to a column before Spark or a file sees it.

Owns the rule names of docs/design.md §3 and their SQL, and the keyed pseudonym. It takes key material as a value
and must never read a keyring, nor put the key into SQL text: a key reaches DuckDB only as a bound variable
of one in-process connection, so no plan, log or error message can show it.

Pseudonym = the first 128 bits, in hex, of HMAC-SHA-256 (RFC 2104, FIPS 180-4) over the clear-text key
``Type/id``. The type is part of the message and the key differs by key id, so pseudonyms differ between
resource types and between keys.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl.errors import PrivacyError

if TYPE_CHECKING:
    import duckdb

PSEUDONYM_HEX = 32
LOCAL = "local-"
"""How the pseudonym of a code or of a code system begins."""
CLOSED_RULES = ("code", "drop-unless-extract", "display", "unit", "code-system", "word")
"""Rules of text that comes from code lists and forms (``etl.ingest.closed_columns``)."""
CONTENT_HEX = 15
"""Hexadecimal digits of a content hash: as many as fit a number of 64 bits with its sign."""
_BLOCK = 64


@dataclass(frozen=True)
class PseudonymKey:
    """A key id and its 32 secret bytes; the secret never shows in ``repr``."""

    key_id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < 32:
            raise PrivacyError("a pseudonym key needs at least 32 secret bytes")


def pseudonym(key: PseudonymKey, text: str) -> str:
    """The pseudonym of one clear-text key such as ``Patient/42``: 32 hexadecimal digits."""
    return hmac.digest(key.secret, text.encode(), "sha256").hex()[:PSEUDONYM_HEX]


def bind_key(connection: duckdb.DuckDBPyConnection, key: PseudonymKey) -> None:
    """Give the connection the macros ``pseudonym(text)`` and ``content_hash(text)``.

    The key goes in as bound variables only. The content hash is a keyed digest of DuckDB's 64-bit hash: it
    distinguishes versions of a resource, and reveals nothing of the text without the key.
    """
    block = key.secret if len(key.secret) <= _BLOCK else hashlib.sha256(key.secret).digest()
    padded = block.ljust(_BLOCK, b"\0")
    connection.execute("SET VARIABLE erios_inner = ?", [bytes(b ^ 0x36 for b in padded)])
    connection.execute("SET VARIABLE erios_outer = ?", [bytes(b ^ 0x5C for b in padded)])
    content = hmac.digest(key.secret, b"content hash", "sha256").ljust(_BLOCK, b"\0")
    connection.execute("SET VARIABLE erios_content = ?", [content])
    connection.execute(
        "CREATE OR REPLACE TEMP MACRO content_hash(t) AS"
        f" ('0x' || left(sha256(getvariable('erios_content') || encode(hash(t)::VARCHAR)), {CONTENT_HEX}))::BIGINT"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP MACRO pseudonym(t) AS left(sha256(getvariable('erios_outer') ||"
        f" unhex(sha256(getvariable('erios_inner') || encode(t)))), {PSEUDONYM_HEX})"
    )


def _date(length: int) -> Callable[[str, str], str]:
    return lambda column, sql_type: _cut_date(column, sql_type, length)


def _cut_date(column: str, sql_type: str, length: int) -> str:
    """Cut FHIR date text to ``length`` characters; a typed date to the first instant of that unit."""
    unit = {4: "year", 7: "month", 10: "day"}[length]
    if sql_type == "VARCHAR":
        return f"left({column}, {length})"
    return f"CAST(date_trunc('{unit}', {column}) AS {sql_type})"


def _departement(column: str, _sql_type: str) -> str:
    """French département of a postcode: 2A/2B for Corsica, three digits overseas, NULL if not French."""
    return (
        f"CASE WHEN NOT regexp_full_match({column}, '[0-9]{{5}}') THEN NULL"
        f" WHEN {column} >= '97000' THEN left({column}, 3)"
        f" WHEN {column} BETWEEN '20000' AND '20199' THEN '2A'"
        f" WHEN left({column}, 2) = '20' THEN '2B'"
        f" WHEN left({column}, 2) = '00' THEN NULL"
        f" ELSE left({column}, 2) END"
    )


@dataclass(frozen=True)
class Rule:
    """What a privacy rule does, in words for the reference page, and in SQL."""

    effect: str
    sql: Callable[[str, str], str]
    """The SQL of the protected value, given the column's SQL and its DuckDB type."""


def _as_is(column: str, _sql_type: str) -> str:
    return column


def _closed(_column: str, sql_type: str) -> str:
    """Text of a closed vocabulary is put in its place by ``etl.ingest.closed_columns``; by itself nothing is kept."""
    return f"CAST(NULL AS {sql_type})"


RULES: Mapping[str, Rule] = {
    "keep": Rule("as is: numbers, dates, yes or no; never text", _as_is),
    "code": Rule("a code of a code list or of a safe form; of any other a keyed pseudonym, `local-…`", _closed),
    "display": Rule("the label that the code list has for the code beside it; never the record's", _closed),
    "unit": Rule("the name that the code list has for the unit's code; a keyed pseudonym of an unknown unit", _closed),
    "code-system": Rule("a code system of `conf/code_systems.toml` or of a code list; else a keyed pseudonym", _closed),
    "word": Rule("the code that a closed list has for the word; anything else is left out", _closed),
    "pseudonym": Rule(
        "keyed pseudonym of a record or reference; a list of pseudonyms where the type is `VARCHAR[]`",
        lambda column, _sql_type: f"pseudonym({column})",
    ),
    "date:day": Rule("cut to the day", _date(10)),
    "date:month": Rule("cut to the month", _date(7)),
    "date:year": Rule("cut to the year", _date(4)),
    "postcode:departement": Rule("French département of a postcode", _departement),
    "note": Rule(
        "free text: nothing of it is kept for now, the column is empty",
        lambda _column, sql_type: f"CAST(NULL AS {sql_type})",
    ),
    "drop-unless-extract": Rule("as `code`, in an extract only on the DPO's explicit decision", _closed),
}
"""The privacy rules by name, as the tag ``erios/privacy`` of a column has them."""


def check_rule(table: str, column: str, rule: str | None, *, is_text: bool = False) -> str:
    """The rule, if it exists and is one for text; PrivacyError names the table and column that nobody decided on."""
    if rule is None:
        raise PrivacyError(f"{table}.{column} has no erios/privacy tag; choose one of {', '.join(RULES)}")
    if rule not in RULES:
        raise PrivacyError(f"{table}.{column}: unknown privacy rule '{rule}'; choose one of {', '.join(RULES)}")
    if is_text and rule == "keep":
        raise PrivacyError(
            f"{table}.{column}: 'keep' would pass whatever text the source wrote; choose code, display, unit,"
            " code-system, word, pseudonym or note"
        )
    return rule


KeyReader = Callable[[], PseudonymKey]
