"""Feasibility counts of a release: how many patients meet criteria, as a person may see it.

Owns the engines (DuckDB by default, Spark where a session is given) and the way from a question to what is shown.
A true count must never leave this module: not in a result, an error or a log.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

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
    steps,
)
from erios.extracts.criteria.compile import tables
from erios.extracts.criteria.model import nodes
from erios.extracts.differencing import (
    MAX_LEAVES,
    BlurredLimits,
    Flags,
    Groups,
    Naming,
    Packed,
    evaluate,
    evaluate_named,
    pack,
    unpack,
    without_small_parts,
)
from erios.extracts.ledger import Answer, Digests, Entry, Key, Ledger, Reader, Roster, patient_digests
from erios.governance import disclosure
from erios.governance.disclosure import Parameters, Shown
from erios.keys import derive_key
from erios.settings import Settings
from etl.warehouse.release import Release, open_release

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PURPOSE = b"erios disclosure noise"
CACHE_BYTES = 256 * 2**20
_KEPT_RELEASES = 2
_LOW = np.int64(2**30 - 1)
EVERYBODY = And(())
EVERYBODY_DIGEST = digest(EVERYBODY)
"""Of the question whose answer is public: it costs nothing and is no secret."""


@dataclass(frozen=True)
class Step:
    """What is left after one criterion of the top-level "and"."""

    criterion: Criterion
    shown: Shown


@dataclass(frozen=True)
class Feasibility:
    """The answer to a question. ``cost``: new counts in it; ``shown_keys``: answers of the ledger that it shows, in
    order; ``entry``: what the caller appends to the ledger."""

    release: str
    digest: str
    everybody: Shown
    steps: tuple[Step, ...]
    total: Shown
    cost: int
    shown_keys: tuple[Key, ...]
    entry: Entry


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
        self.patients = patient_digests(secret, self._keys.tolist())
        """Digests of the release's patients: a ledger that answers about it has them all in its roster."""
        self.limits = BlurredLimits(secret, parameters)
        self._places: tuple[Roster | None, NDArray[np.intp]] = (None, np.empty(0, dtype=np.intp))
        self._kept: OrderedDict[Leaf, Packed] = OrderedDict()
        self._lock = Lock()

    def digests_of(self, record_keys: Any) -> Digests:
        """Digests of patients of the release by their record keys."""
        keys = np.asarray(record_keys, dtype=np.int64)
        digests: Digests = self.patients[np.searchsorted(self._keys, keys[np.isin(keys, self._keys)])]
        return digests

    def cohort(self, criterion: Criterion) -> Digests:
        """Digests of the patients who meet a criterion exactly; raises InputError for tables that the release lacks."""
        question = canonical(criterion)
        wanted = list(dict.fromkeys(leaves(question)))
        self._check_tables(wanted)
        of = self._ask(wanted) if wanted else {}
        return np.asarray(self.patients[evaluate(question, of, np.ones(len(self._keys), dtype=bool))], dtype=np.int64)

    def prepare(self, criterion: Criterion) -> None:
        """Find who meets each leaf of a question, which may take long, so that ``count`` need not.

        Raises InputError for tables that the release lacks, or too many criteria.
        """
        self._leaves(criterion)

    def count(self, criterion: Criterion, ledger: Ledger, reader: Reader) -> Feasibility:
        """What may be shown of a question, given all that the hospital answered before, and to whom.

        Raises InputError as ``prepare``, RefusedError when a budget is used up or the answers together would tell too
        much of one group. Nothing is written: ``entry`` is what the answer adds to the ledger.
        """
        questions = [And(steps(criterion)[:n]) for n in range(len(steps(criterion)) + 1)]
        keys = [(self.release.id, digest(question)) for question in questions]
        cost = disclosure.check_budget(reader.accounts, set(keys) - {self._everybody_key}, self.parameters)
        self.prepare(criterion)
        answers, entry, layer = self._answers(questions, ledger)
        self._check_exposure(ledger, reader, answers, layer)
        shown = [Shown(answer.value, self.parameters.threshold) for answer in answers]
        parts = tuple(Step(part, value) for part, value in zip(steps(criterion), shown[1:], strict=True))
        return Feasibility(self.release.id, keys[-1][1], shown[0], parts, shown[-1], cost, tuple(keys), entry)

    @property
    def _everybody_key(self) -> Key:
        return self.release.id, EVERYBODY_DIGEST

    def _answers(self, questions: Sequence[Criterion], ledger: Ledger) -> tuple[list[Answer], Entry, Groups]:
        """An answer to each question, in order, what they add to the ledger, and its groups with theirs."""
        layer, values = Groups(self.parameters.threshold, ledger.groups, self.limits), dict(ledger.values)
        answers: dict[Key, Answer] = {}
        new = []
        for question in questions:
            key = (self.release.id, digest(question))
            if key not in answers:
                known = ledger.answers.get(key)
                answers[key] = known or self._answer(question, ledger, layer, values)
                new += [] if known else [answers[key]]
        ordered = [answers[self.release.id, digest(question)] for question in questions]
        return ordered, Entry(layer.added(), tuple(new)), layer

    def _answer(self, question: Criterion, ledger: Ledger, layer: Groups, values: dict[int, int | None]) -> Answer:
        """What one question is answered with; the layer and the values go on."""
        naming = Naming(layer)
        who, taken, exact = self._answered(question, ledger, naming)
        group, value, fresh = None, None, False
        if np.count_nonzero(who) >= self.parameters.threshold:
            group = naming.place(who)
            self._name_changes(question, group, ledger, naming)
        if group is not None and np.count_nonzero(taken) - naming.drift >= self._least(taken):
            fresh = group not in values
            enough = exact >= self.parameters.threshold
            if fresh:
                values[group] = self._shown(who, ledger.roster) if enough else None
            value = values[group] if enough else None
        text = canonical_json(question)
        return Answer(self.release.id, text, digest(question), value, group, tuple(naming.named), fresh)

    def _least(self, taken: Flags) -> int:
        """How many patients it takes for a count to be shown, of those whom the question is about, each leaf taken for
        the group that it nearly is, and without small parts: two questions that are the same then are both shown or
        both masked, and whether a small part is empty changes neither."""
        about = b"group " + hashlib.sha256(pack(taken).tobytes()).digest()
        return disclosure.blurred_limit(self._secret, about, self.parameters)

    def _answered(self, question: Criterion, ledger: Ledger, naming: Naming) -> tuple[Flags, Flags, int]:
        """Whom the answer is about; who meets the question, each leaf taken for the group that it nearly is, without
        its small parts; and how many meet it exactly.

        Each leaf is taken for that group first, so that nothing after can tell it from that group.
        """
        question = canonical(question)
        exact_of = {leaf: self._wide(who, ledger.roster) for leaf, who in self._leaves(question).items()}
        patients = self._wide(np.ones(len(self._keys), dtype=bool), ledger.roster)
        exact = int(np.count_nonzero(evaluate(question, exact_of, patients)))
        of = {leaf: naming.nearest_leaf(who) for leaf, who in exact_of.items()}
        everybody = reduce(np.logical_or, of.values(), naming.nearest(patients))
        small = {part: self._small_parts(part, of, everybody) for part in nodes(question)}
        who = evaluate_named(question, of, small, everybody, naming)
        taken = evaluate(question, of, everybody) ^ small[question]
        return who, taken, exact

    def _small_parts(self, node: Criterion, of: dict[Leaf, Flags], everybody: Flags) -> Flags:
        smooth = without_small_parts(node, list(of), of, everybody, self.parameters.threshold)
        return smooth ^ evaluate(node, of, everybody)

    def _name_changes(self, question: Criterion, group: int, ledger: Ledger, naming: Naming) -> None:
        """Who came and who went since a question was answered of another release are groups too."""
        places = len(ledger.roster)
        now = unpack(naming.layer.packed(group), places)
        for place in dict.fromkeys(ledger.groups_of(digest(question))):
            before = unpack(ledger.groups.packed(place), places)
            for changed in (now & ~before, before & ~now):
                naming.nearest(changed)

    def _check_exposure(self, ledger: Ledger, reader: Reader, answers: Sequence[Answer], layer: Groups) -> None:
        new = [answer for answer in answers if answer.key not in reader.circle and answer.group is not None]
        if all(answer.digest == EVERYBODY_DIGEST for answer in new):
            return
        if ledger.is_overexposed(reader, new, layer, EVERYBODY_DIGEST, self.parameters):
            raise RefusedError(
                "this count, crossed with those that you and your teams were shown already, would say too precisely how"
                " many patients one of its groups has; keep to the questions already asked, or ask the DPO"
            )

    def _wide(self, who: Flags, roster: Roster) -> Flags:
        """Flags of the release's patients as flags of the roster's places."""
        if self._places[0] is not roster:
            self._places = (roster, roster.places(self.patients))
        wide = np.zeros(len(roster), dtype=bool)
        wide[self._places[1]] = who
        return wide

    def _shown(self, who: Flags, roster: Roster) -> int | None:
        size = int(np.count_nonzero(who))
        return disclosure.show(self._secret, size, _key_sum(roster.digests[who]), self.parameters).value

    def _leaves(self, criterion: Criterion) -> dict[Leaf, Flags]:
        """Who meets each leaf of a question; one query for those not kept."""
        wanted = list(dict.fromkeys(leaves(canonical(criterion))))
        if len(wanted) > MAX_LEAVES:
            raise InputError(f"a question has at most {MAX_LEAVES} different criteria, this one {len(wanted)}")
        with self._lock:
            kept = {leaf: self._kept[leaf] for leaf in wanted if leaf in self._kept}
        missing = [leaf for leaf in wanted if leaf not in kept]
        self._check_tables(missing)
        asked = self._ask(missing) if missing else {}
        self._keep(asked)
        return {leaf: asked[leaf] if leaf in asked else unpack(kept[leaf], len(self._keys)) for leaf in wanted}

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
            self._kept.update((leaf, pack(who)) for leaf, who in flags_of_leaf.items())
            while len(self._kept) * (len(self._keys) // 8 + 1) > CACHE_BYTES:
                self._kept.popitem(last=False)

    def _check_tables(self, missing: Sequence[Leaf]) -> None:
        lacking = tables(missing) - set(self.release.names())
        if lacking:
            raise InputError(
                f"release {self.release.id} has no table {', '.join(sorted(lacking))}, which these criteria need"
            )


def _key_sum(digests: Digests) -> int:
    """Exact sum of digests of 60 bits."""
    return (int((digests >> 30).sum()) << 30) + int((digests & _LOW).sum())


_open: OrderedDict[tuple[str, str, int, int, Parameters], Counter] = OrderedDict()
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
    version = release.tables["patient"].version if "patient" in release.tables else 0  # an erasure pins a release again
    name = (str(settings.warehouse), release.id, version, id(spark), parameters)
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
