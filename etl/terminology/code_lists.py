"""Code lists: what a code may be and what it is called, by code system.

Owns the form of a list on disk: one Parquet file a list, and an index that says of each its system, version, origin and
digest. A list is read by tasks through DuckDB, never row by row.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl.errors import InputError
from etl.files import write_atomically, written_atomically

INDEX = "lists.json"
ADOPTED = "adopted"
"""Origin of a list that the data manager made of the hospital's own codes."""
SCHEMA = pa.schema(
    [
        ("system", pa.string()),
        ("asked", pa.string()),
        ("code", pa.string()),
        ("display", pa.string()),
        ("word", pa.bool_()),
    ]
)
"""``asked``: the code itself, or (``word``) another way to write it, folded: what a record may say for ``code``."""


@dataclass(frozen=True)
class Concept:
    """A code, its label, and other words for it."""

    code: str
    display: str | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class CodeList:
    """The codes of one system as one publisher's file gives them."""

    system: str
    version: str
    concepts: tuple[Concept, ...]


@dataclass(frozen=True)
class ListEntry:
    """A list in force: where its rows are, and where they came from. ``digest``: SHA-256 of the publisher's file."""

    system: str
    version: str
    origin: str
    digest: str
    codes: int
    loaded: str
    file: str


def folded(word: str) -> str:
    """A word without accents, upper case and doubled spaces: as ``FOLD_SQL`` makes it."""
    plain = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if not unicodedata.combining(c))
    return " ".join(plain.split())


FOLD_SQL = r"trim(regexp_replace(strip_accents(lower({0})), '\s+', ' ', 'g'))"


def rows(lists: Iterable[CodeList]) -> pa.Table:
    """The rows of lists."""
    return pa.Table.from_pylist([row for each in lists for row in _rows(each)], schema=SCHEMA)


def _rows(code_list: CodeList) -> Iterator[dict[str, object]]:
    for concept in code_list.concepts:
        row = {"system": code_list.system, "code": concept.code, "display": concept.display}
        yield {**row, "asked": concept.code, "word": False}
        for word in sorted({folded(word) for word in concept.words}):
            yield {**row, "asked": word, "word": True}


def entries(folder: Path) -> tuple[ListEntry, ...]:
    """The lists in force, in the order in which they were loaded."""
    path = folder / INDEX
    if not path.exists():
        return ()
    return tuple(ListEntry(**entry) for entry in json.loads(path.read_text(encoding="utf-8")))


def add(folder: Path, lists: Sequence[CodeList], origin: str, digest: str, loaded: str) -> list[ListEntry]:
    """Put lists in force, each in the place of an earlier one of the same system and kind of origin.

    Raises InputError for a list without codes.
    """
    if not lists or any(not each.concepts for each in lists):
        raise InputError("the file holds no codes; a code list has at least one")
    folder.mkdir(parents=True, exist_ok=True)
    added = [_write(folder, each, origin, digest, loaded) for each in lists]
    replaced = {(entry.system, entry.origin == ADOPTED) for entry in added}
    kept = [entry for entry in entries(folder) if (entry.system, entry.origin == ADOPTED) not in replaced]
    write_atomically(folder / INDEX, json.dumps([asdict(e) for e in [*kept, *added]], indent=1).encode())
    _delete_unlisted(folder)
    return added


def _write(folder: Path, code_list: CodeList, origin: str, digest: str, loaded: str) -> ListEntry:
    table = rows([code_list]).sort_by([("word", "ascending"), ("asked", "ascending")])
    slug = re.sub(r"[^A-Za-z0-9]+", "-", code_list.system).strip("-")[-60:]
    unique = hashlib.sha256(f"{code_list.system} {origin} {digest} {loaded}".encode()).hexdigest()[:12]
    name = f"{slug}-{unique}.parquet"
    with written_atomically(folder / name) as draft:
        pq.write_table(table, draft, compression="zstd")
    return ListEntry(code_list.system, code_list.version, origin, digest, len(code_list.concepts), loaded, name)


def _delete_unlisted(folder: Path) -> None:
    listed = {entry.file for entry in entries(folder)}
    for path in folder.glob("*.parquet"):
        if path.name not in listed:
            path.unlink()


def one_per_system(lists: Iterable[CodeList]) -> list[CodeList]:
    """Lists of the same system put together; of a code given twice, the first counts."""
    together: dict[str, dict[str, Concept]] = {}
    versions: dict[str, str] = {}
    for each in lists:
        concepts = together.setdefault(each.system, {})
        versions.setdefault(each.system, each.version)
        for concept in each.concepts:
            concepts.setdefault(concept.code, concept)
    return [CodeList(url, versions[url], tuple(concepts.values())) for url, concepts in together.items()]


def read_concepts(path: Path) -> tuple[Concept, ...]:
    """The codes of a list in force with their labels."""
    table = pq.read_table(path)
    return tuple(Concept(row["code"], row["display"]) for row in table.to_pylist() if not row["word"])
