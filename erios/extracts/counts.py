"""Feasibility counts of a release: how many patients meet criteria, as a person may see it.

Owns the engines (DuckDB by default, Spark where a session is given) and the way from a question to what is shown.
A true count must never leave this module: not in a result, an error or a log.
"""

from __future__ import annotations

import tomllib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from erios.checkout import PROJECT
from erios.errors import InputError, RefusedError, UsageError
from erios.extracts.criteria import (
    DUCKDB,
    SPARK,
    And,
    Criterion,
    Leaf,
    canonical,
    canonical_json,
    digest,
    leaves,
    leaves_query,
    parse,
    steps,
)
from erios.extracts.criteria.compile import tables
from erios.extracts.criteria.model import nodes
from erios.extracts.differencing import (
    MAX_LEAVES,
    Flags,
    Named,
    Packed,
    evaluate,
    evaluate_named,
    is_overexposed,
    without_small_parts,
)
from erios.governance import disclosure
from erios.governance.disclosure import Parameters, Shown
from erios.keys import derive_key
from erios.settings import Settings
from etl.warehouse.release import Release, open_release

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PURPOSE = b"erios disclosure noise"
CACHE_BYTES = 256 * 2**20
_KEPT_RELEASES, _KEPT_RECORDS = 2, 64
_LOW = np.int64(2**30 - 1)
EVERYBODY = And(())
_EVERYBODY_TEXT = canonical_json(EVERYBODY)


@dataclass(frozen=True)
class Cell:
    """One count that a study was shown, as the caller keeps it and hands it back: ``value`` None is masked, ``fresh``
    tells an answer of its own from one borrowed of a cohort nearly the same."""

    release: str
    canonical: str
    digest: str
    value: int | None
    fresh: bool


@dataclass(frozen=True)
class Step:
    """What is left after one criterion of the top-level "and"."""

    criterion: Criterion
    shown: Shown


@dataclass(frozen=True)
class Feasibility:
    """The answer to a question. ``cost``: new counts in it; ``cells``: what the caller adds to the study's history."""

    release: str
    digest: str
    everybody: Shown
    steps: tuple[Step, ...]
    total: Shown
    cost: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class _Groups:
    """Of one question: who meets each leaf, who is in the small parts left out of each node, how many meet it all."""

    question: Criterion
    leaves: dict[Leaf, Packed]
    small_parts: dict[Criterion, Packed]
    exact: int


@dataclass
class _Record:
    """What a study has been told of a release: the groups it named, and its own answers with whom they are about."""

    named: Named
    anchors: dict[int, Cell] = field(default_factory=dict)
    """Own answers by the index of their group among the named ones."""
    texts: list[str] = field(default_factory=list)

    def add(self, cell: Cell, who: Packed) -> None:
        self.texts.append(cell.canonical)
        if cell.fresh:
            self.anchors.setdefault(self.named.index(who), cell)

    def copy(self) -> _Record:
        return _Record(self.named.copy(), dict(self.anchors), list(self.texts))


class Engine(Protocol):
    """Who answers leaves."""

    def record_keys(self) -> Any:
        """Record keys of all patients, int64."""

    def members(self, wanted: Sequence[Leaf]) -> tuple[Any, list[Any]]:
        """Record keys of patients whom a leaf holds, and a flag a leaf for each."""


class DuckEngine:
    """One connection with a view a table; each question has a cursor of its own, so threads may ask at once."""

    def __init__(self, release: Release) -> None:
        import duckdb

        self._connection = duckdb.connect()
        self._connection.execute("SET enable_progress_bar = false")
        for name in release.names():
            release.duckdb(name, self._connection).create_view(name)

    def record_keys(self) -> Any:
        return self._fetch(f"SELECT {DUCKDB.record_key.format(key='patient_key')} AS k FROM patient", ())["k"]

    def members(self, wanted: Sequence[Leaf]) -> tuple[Any, list[Any]]:
        query = leaves_query(wanted, DUCKDB)
        columns = self._fetch(query.sql, query.parameters)
        return columns["record_key"], [columns[f"leaf_{n}"] for n in range(len(wanted))]

    def _fetch(self, sql: str, parameters: tuple[Any, ...]) -> dict[str, Any]:
        with self._connection.cursor() as cursor:
            return cursor.execute(sql, list(parameters)).fetchnumpy()


class SparkEngine:
    """A Spark session with a temporary view a table; only record keys and flags of patients come back."""

    def __init__(self, release: Release, spark: SparkSession) -> None:
        self._spark = spark.newSession()
        for name in release.names():
            release.spark(name, self._spark).createOrReplaceTempView(name)

    def record_keys(self) -> Any:
        return self._fetch(f"SELECT {SPARK.record_key.format(key='patient_key')} AS k FROM patient", ())["k"]

    def members(self, wanted: Sequence[Leaf]) -> tuple[Any, list[Any]]:
        query = leaves_query(wanted, SPARK)
        columns = self._fetch(query.sql, query.parameters)
        return columns["record_key"], [columns[f"leaf_{n}"] for n in range(len(wanted))]

    def _fetch(self, sql: str, parameters: tuple[Any, ...]) -> dict[str, Any]:
        table = self._spark.sql(sql, args=list(parameters)).toArrow()
        return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}


class Counter:
    """Answers questions on one release; safe for several threads. Keeps who meets each leaf, packed, least used out."""

    def __init__(self, release: Release, engine: Engine, secret: bytes, parameters: Parameters) -> None:
        self.release, self.parameters = release, parameters
        self._engine, self._secret = engine, secret
        self._keys = np.sort(np.asarray(engine.record_keys(), dtype=np.int64))
        self._everybody: Flags = np.ones(len(self._keys), dtype=bool)
        self._kept: OrderedDict[Leaf, Packed] = OrderedDict()
        self._known: OrderedDict[str, _Groups] = OrderedDict()
        self._records: OrderedDict[tuple[str, ...], _Record] = OrderedDict()
        self._lock = Lock()

    def count(self, criterion: Criterion, history: Sequence[Cell] = (), spent: int | None = None) -> Feasibility:
        """What may be shown of a question, given all that the study was shown before (oldest first).

        ``spent`` is what of the budget is used (default: one for each count in the history but everybody's).
        Raises InputError for tables the release lacks or too many criteria, RefusedError when the budget is used up
        or the answers together would tell too much of one group.
        """
        questions = [And(steps(criterion)[:n]) for n in range(len(steps(criterion)) + 1)]
        names = [digest(question) for question in questions]
        answered = {cell.digest: cell for cell in history if cell.release == self.release.id}
        free = {digest(EVERYBODY)}
        price = disclosure.cost({cell.digest for cell in answered.values()} | free, names)
        used = len({(c.release, c.digest) for c in history if c.digest not in free}) if spent is None else spent
        disclosure.check_budget(used, price, self.parameters)
        cells = self._cells(questions, list(answered.values()))
        shown = [Shown(cell.value, self.parameters.threshold) for cell in cells]
        parts = tuple(Step(part, value) for part, value in zip(steps(criterion), shown[1:], strict=True))
        fresh = tuple({cell.digest: cell for cell in cells if cell.digest not in answered}.values())
        return Feasibility(self.release.id, names[-1], shown[0], parts, shown[-1], price, fresh)

    def _cells(self, questions: Sequence[Criterion], history: list[Cell]) -> list[Cell]:
        """A cell for each question, in order; each counts as history for the next."""
        answered = {cell.digest: cell for cell in history}
        if all(digest(question) in answered for question in questions):
            return [answered[digest(question)] for question in questions]
        record = self._replayed(history)
        texts = {digest(question): canonical_json(question) for question in questions}
        groups = self._groups(list(texts.values()))
        cells = []
        for question in questions:
            name = digest(question)
            if name not in answered:
                answered[name] = self._answer(question, texts[name], groups[texts[name]], record)
            cells.append(answered[name])
        if sum(cell.fresh for cell in answered.values()) > sum(cell.fresh for cell in history):
            self._check_exposure(record)
        self._remember(record)
        return cells

    def _answer(self, question: Criterion, text: str, groups: _Groups, record: _Record) -> Cell:
        """What one question is answered with; the record goes on."""
        who = self._answered(groups, record)
        packed, value, fresh = np.packbits(who), None, False
        if min(int(np.count_nonzero(who)), groups.exact) >= self.parameters.threshold:
            near = record.anchors.get(record.named.index(packed))
            fresh = near is None
            value = near.value if near else self._shown(who)
        cell = Cell(self.release.id, text, digest(question), value, fresh)
        record.add(cell, packed)
        return cell

    def _answered(self, groups: _Groups, record: _Record) -> Flags:
        """Whom the answer is about: groups taken for those they nearly are, small parts left out."""
        of = {leaf: self._unpack(who) for leaf, who in groups.leaves.items()}
        return evaluate_named(groups.question, of, groups.small_parts, self._everybody, record.named)

    def _replayed(self, history: Sequence[Cell]) -> _Record:
        """The record of a history, from the longest beginning of it that is remembered."""
        texts = tuple(cell.canonical for cell in history)
        with self._lock:
            replayed = next((n for n in range(len(texts), 0, -1) if texts[:n] in self._records), 0)
            start = self._records.get(texts[:replayed])
        record = start.copy() if start else _Record(Named(self.parameters.threshold, np.packbits(self._everybody)))
        groups = self._groups(texts[replayed:])
        for cell in history[replayed:]:
            record.add(cell, np.packbits(self._answered(groups[cell.canonical], record)))
        return record

    def _remember(self, record: _Record) -> None:
        with self._lock:
            self._records[tuple(record.texts)] = record
            while len(self._records) > _KEPT_RECORDS:
                self._records.popitem(last=False)

    def _shown(self, who: Flags) -> int | None:
        size = int(np.count_nonzero(who))
        return disclosure.show(self._secret, size, self._key_sum(who), self.parameters).value

    def _groups(self, texts: Sequence[str]) -> dict[str, _Groups]:
        """The groups of each canonical question; leaves that are not kept come with one query."""
        with self._lock:
            groups = {text: self._known[text] for text in texts if text in self._known}
        missing = {text: parse(text) for text in texts if text not in groups}
        of = self._leaves(list(missing.values())) if missing else {}
        groups |= {text: self._cut(question, of) for text, question in missing.items()}
        with self._lock:
            self._known.update(groups)
            while len(self._known) * 4 * (len(self._keys) // 8 + 1) > CACHE_BYTES:
                self._known.popitem(last=False)
        return groups

    def _cut(self, question: Criterion, of: dict[Leaf, Flags]) -> _Groups:
        distinct = list(dict.fromkeys(leaves(question)))
        if len(distinct) > MAX_LEAVES:
            raise InputError(f"a question has at most {MAX_LEAVES} different criteria, this one {len(distinct)}")
        small = {node: np.packbits(self._small_parts(node, distinct, of)) for node in nodes(question)}
        packed = {leaf: np.packbits(of[leaf]) for leaf in distinct}
        return _Groups(question, packed, small, int(np.count_nonzero(evaluate(question, of, self._everybody))))

    def _small_parts(self, node: Criterion, distinct: Sequence[Leaf], of: dict[Leaf, Flags]) -> Flags:
        smooth = without_small_parts(node, distinct, of, self._everybody, self.parameters.threshold)
        return smooth ^ evaluate(node, of, self._everybody)

    def _check_exposure(self, record: _Record) -> None:
        shared, (variance, looks) = record.named.shared, (self.parameters.variance, self.parameters.looks)
        if len(shared) > 1 and is_overexposed(shared, list(record.anchors), variance, looks):
            raise RefusedError(
                "this count, crossed with those the study was shown already, would say too precisely how many patients"
                " one of its groups has; keep to the questions already asked, or ask the DPO"
            )

    def _key_sum(self, who: Flags) -> int:
        """Exact sum of the record keys (60 bits each) of a set."""
        keys = self._keys[who]
        return (int((keys >> 30).sum()) << 30) + int((keys & _LOW).sum())

    def _leaves(self, questions: Sequence[Criterion]) -> dict[Leaf, Flags]:
        """Who meets each leaf of the questions; one query for those not kept."""
        wanted = list(dict.fromkeys(leaf for question in questions for leaf in leaves(canonical(question))))
        with self._lock:
            kept = {leaf: self._kept[leaf] for leaf in wanted if leaf in self._kept}
        missing = [leaf for leaf in wanted if leaf not in kept]
        self._check_tables(missing)
        asked = self._ask(missing) if missing else {}
        self._keep(asked)
        return {leaf: asked[leaf] if leaf in asked else self._unpack(kept[leaf]) for leaf in wanted}

    def _ask(self, missing: Sequence[Leaf]) -> dict[Leaf, Flags]:
        keys, flags = self._engine.members(missing)
        rows = np.searchsorted(self._keys, np.asarray(keys, dtype=np.int64))
        flags_of_leaf = {}
        for leaf, flag in zip(missing, flags, strict=True):
            who = np.zeros(len(self._keys), dtype=bool)
            who[rows[np.asarray(flag, dtype=bool)]] = True
            flags_of_leaf[leaf] = who
        return flags_of_leaf

    def _keep(self, flags_of_leaf: dict[Leaf, Flags]) -> None:
        with self._lock:
            self._kept.update((leaf, np.packbits(who)) for leaf, who in flags_of_leaf.items())
            while len(self._kept) * (len(self._keys) // 8 + 1) > CACHE_BYTES:
                self._kept.popitem(last=False)

    def _unpack(self, packed: Packed) -> Flags:
        return np.unpackbits(packed, count=len(self._keys)).view(bool)

    def _check_tables(self, missing: Sequence[Leaf]) -> None:
        lacking = tables(missing) - set(self.release.names())
        if lacking:
            raise InputError(
                f"release {self.release.id} has no table {', '.join(sorted(lacking))}, which these criteria need"
            )


_open: OrderedDict[tuple[str, str, int, Parameters], Counter] = OrderedDict()
_open_lock = Lock()


def open_counter(
    settings: Settings,
    release_id: str | None = None,
    *,
    parameters: Parameters | None = None,
    spark: SparkSession | None = None,
) -> Counter:
    """The counter of a release (the latest without an id), kept for the next question.

    Raises etl's ReleaseError, and KeyringError.
    """
    parameters = parameters or load_parameters()
    release = open_release(settings.warehouse, release_id)
    name = (str(settings.warehouse), release.id, id(spark), parameters)
    with _open_lock:
        if name not in _open:
            secret = derive_key(settings.keyring, PURPOSE).secret
            engine = SparkEngine(release, spark) if spark else DuckEngine(release)
            _open[name] = Counter(release, engine, secret, parameters)
        _open.move_to_end(name)
        while len(_open) > _KEPT_RELEASES:
            _open.popitem(last=False)
        return _open[name]


def load_parameters(file: Path | None = None) -> Parameters:
    """The parameters of ``file`` (conf/disclosure.toml); UsageError, one sentence, when it is not as it must be."""
    source = file or PROJECT / "conf" / "disclosure.toml"
    try:
        return Parameters(**tomllib.loads(source.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{source} cannot be read: {error}") from None
    except TypeError:
        names = ", ".join(Parameters.__dataclass_fields__)
        raise UsageError(f"{source}: each setting is a number, known are {names}") from None
