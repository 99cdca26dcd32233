"""Whatever comes in whatever order, the warehouse holds what the plain-Python model holds, after every step."""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from etl.ingest.landing import read_batch
from etl.load_config import LoadConfig, Verdict, Zones
from etl.pipeline import LoadReport, load, refresh
from etl.privacy import PseudonymKey, pseudonym
from etl.tables import as_table
from etl.terminology.code_lists import CodeList, Concept, rows
from etl.terminology.vocabulary import Vocabulary
from etl.views import compile_view, parse_view
from etl.warehouse.data_files import bucket_sql
from etl.warehouse.delta import open_table
from etl.warehouse.release import open_release, release_ids
from tests.inline import InlineRunner
from tests.property.model_warehouse import Key, ModelWarehouse

KEY = PseudonymKey("k1", b"k" * 32)
SYSTEM = "urn:example:ipp"


def view(name: str, resource: str, columns: dict[str, str]) -> Any:
    pseudonyms = [column for column in columns if column.endswith("_key")]
    rules = {"birth_date": "keep"}
    listed = [
        {
            "name": column,
            "path": path,
            "tag": [
                {"name": "erios/privacy", "value": "pseudonym" if column in pseudonyms else rules.get(column, "code")}
            ],
        }
        for column, path in columns.items()
    ]
    return as_table(compile_view(parse_view({"name": name, "resource": resource, "select": [{"column": listed}]})))


TABLES = (
    view("patient", "Patient", {"patient_key": "getResourceKey()", "birth_date": "birthDate"}),
    view(
        "encounter",
        "Encounter",
        {
            "encounter_key": "getResourceKey()",
            "patient_key": "subject.getReferenceKey(Patient)",
            "doctor_key": "participant.individual.getReferenceKey(Practitioner).first()",
            "status": "status",
        },
    ),
    view("practitioner", "Practitioner", {"practitioner_key": "getResourceKey()", "gender": "gender"}),
)
WORDS = {
    "encounter.status": ("planned", "in-progress", "finished"),
    "practitioner.gender": ("male", "female"),
    "encounter.class_code": ("IMP",),
    "stay.status": ("planned", "in-progress", "finished"),
}
VOCABULARY = Vocabulary(
    shipped=rows(CodeList(f"urn:erios:{name}", "1", tuple(map(Concept, words))) for name, words in WORDS.items())
)
IDS = {"Patient": 4, "Encounter": 5, "Practitioner": 2}
MAX_VERSION = 5


def make(kind: str, number: int, version: int) -> dict[str, Any]:
    """A version of a resource: the same arguments give the same content, others nearly always another."""
    chance = random.Random(f"{kind} {number} {version}")
    base = {
        "resourceType": kind,
        "id": f"{kind[0].lower()}{number}",
        "meta": {"lastUpdated": f"2030-01-0{version}T00:00:00Z", "versionId": str(version)},
    }
    return {**base, **_PARTS[kind](number, chance)}


def _patient(number: int, chance: random.Random) -> dict[str, Any]:
    links = []
    if number + 1 < IDS["Patient"] and chance.random() < 0.5:
        links.append({"type": "replaced-by", "other": {"reference": f"Patient/p{number + 1}"}})
    if number > 0 and chance.random() < 0.3:
        links.append({"type": "replaces", "other": {"reference": f"Patient/p{number - 1}"}})
    identifier = [{"system": SYSTEM, "value": chance.choice(["11", "12", str(number)])}]
    return {"birthDate": f"19{chance.randrange(10, 99)}-01-01", "identifier": identifier, "link": links}


def _encounter(number: int, chance: random.Random) -> dict[str, Any]:
    patient = chance.choice([f"Patient/p{n}" for n in range(IDS["Patient"])] + [_named("Patient", "11")] * 2)
    doctor = chance.choice(["Practitioner/p0", "Practitioner/p1", _named("Practitioner", "7")])
    return {
        "status": chance.choice(["planned", "in-progress", "finished"]),
        "class": {"code": "IMP"},
        "subject": {"reference": patient},
        "participant": [{"individual": {"reference": doctor}}],
    }


def _practitioner(number: int, chance: random.Random) -> dict[str, Any]:
    identifier = [{"system": SYSTEM, "value": chance.choice(["7", "8"])}]
    return {"gender": chance.choice(["male", "female"]), "identifier": identifier}


def _named(kind: str, value: str) -> str:
    return f"{kind}?identifier={SYSTEM}|{value}"


_PARTS = {"Patient": _patient, "Encounter": _encounter, "Practitioner": _practitioner}
versions = st.sampled_from(sorted(IDS)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.integers(0, IDS[kind] - 1), st.integers(1, MAX_VERSION))
)
deletions = st.sampled_from(sorted(IDS)).flatmap(lambda kind: st.tuples(st.just(kind), st.integers(0, IDS[kind] - 1)))
objectors = st.one_of(
    st.integers(0, IDS["Patient"] - 1).map(lambda n: f"Patient/p{n}"), st.just(_named("Patient", "11"))
)
steps: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.just("load"), st.lists(versions, min_size=1, max_size=8), st.lists(deletions, max_size=2)),
    st.tuples(st.just("load"), st.lists(versions, min_size=1, max_size=8), st.just([])),
    st.tuples(st.just("replay"), st.integers(0, 5), st.none()),
    st.tuples(st.just("object"), objectors, st.none()),
    st.tuples(st.just("withdraw"), objectors, st.none()),
)


@dataclass
class Warehouse:
    """The real warehouse in a folder, beside the model."""

    folder: Path
    file_rows: int = 3
    model: ModelWarehouse = field(default_factory=ModelWarehouse)
    batches: list[Path] = field(default_factory=list)

    @property
    def plan(self) -> LoadConfig:
        zones = Zones(self.folder / "landing", self.folder / "quarantine", self.folder / "warehouse")
        return LoadConfig(
            zones,
            TABLES,
            lambda: KEY,
            "k1",
            buckets=4,
            file_rows=self.file_rows,
            compaction_threshold=2,
            read_objectors=lambda: frozenset(self.model.objectors),
            vocabulary=VOCABULARY,
        )

    def run(self, step: tuple[str, Any, Any]) -> None:
        """One step in both."""
        name, first, second = step
        if name == "load":
            self._load(first, second)
        elif name == "replay" and self.batches:
            before = release_ids(self.plan.zones.warehouse)
            load([self.batches[first % len(self.batches)]], self.plan, InlineRunner(), open_gate)
            assert release_ids(self.plan.zones.warehouse) == before
        elif name in ("object", "withdraw"):
            (self.model.objectors.add if name == "object" else self.model.objectors.discard)(first)
            refresh(self.plan, InlineRunner(), open_gate)

    def _load(self, chosen: list[tuple[str, int, int]], deleted: list[tuple[str, int]]) -> None:
        resources = [make(*version) for version in chosen]
        gone: list[Key] = [(kind, f"{kind[0].lower()}{number}") for kind, number in deleted]
        report = self._send(resources, gone)
        received = read_batch(self.plan.zones.landing, report.batch).received
        self.model.load(resources, gone, received)

    def _send(self, resources: list[dict[str, Any]], gone: list[Key]) -> LoadReport:
        folder = self.folder / f"export{len(self.batches)}"
        folder.mkdir()
        lines = [json.dumps(resource) for resource in resources]
        entries = [{"request": {"method": "DELETE", "url": f"{kind}/{id}"}} for kind, id in gone]
        if entries:
            lines.append(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
        lines.append(json.dumps(make("Practitioner", 0, 1) | {"id": f"batch{len(self.batches)}", "identifier": []}))
        self.model.load([json.loads(lines[-1])], [], "")
        (folder / "all.ndjson").write_text("\n".join(lines) + "\n")
        self.batches.append(folder)
        return load([folder], self.plan, InlineRunner(), open_gate)

    def check(self) -> None:
        """Every table equal to the model, and every file where its name says."""
        if not release_ids(self.plan.zones.warehouse):
            return
        release = open_release(self.plan.zones.warehouse)
        for name, wanted in self.model.tables().items():
            names = [column.name for column in next(t for t in TABLES if t.name == name).view.columns]
            relation = release.duckdb(name).select(*names)
            found = relation.fetchall()
            assert sorted(found) == sorted(tuple(map(_hidden, row)) for row in wanted), name
            assert release.tables[name].rows == len(found)
            head = open_table(self.plan.zones.warehouse / "tables" / name)
            assert head.version() >= release.tables[name].version
            _check_places(release.warehouse / "tables" / name, release.data_files(name), name)


def _check_places(root: Path, files: list[Any], table: str) -> None:
    """Rows lie in the bucket and range that the file's name says."""
    cluster = "patient_key" if table == "patient" else f"coalesce(patient_key, {table}_key)"
    cluster = "practitioner_key" if table == "practitioner" else cluster
    for file in files:
        low, high = file.range
        rows = f"read_parquet('{root / file.path}', hive_partitioning = false)"
        wrong = duckdb.execute(
            f"SELECT count(*) FROM {rows} WHERE left({cluster}, 8) NOT BETWEEN '{low}' AND '{high}'"
            f" OR {bucket_sql(cluster, 4)} <> {file.bucket}"
        ).fetchall()
        assert wrong == [(0,)]


def _hidden(value: str) -> str:
    return pseudonym(KEY, value) if "/" in value or "?" in value else value


def open_gate(_tables: Any, _fresh: Any, _batch: str) -> Verdict:
    return Verdict(False, (), {"gate": "open"})


LIMITS = settings(max_examples=6, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
"""`make test` takes few stories; each is some loads."""


MERGED_THEN_PARTED: list[tuple[str, Any, Any]] = [
    ("load", [("Patient", 0, 2), ("Patient", 1, 3), ("Patient", 3, 1)], []),
    ("load", [("Encounter", 0, 2), ("Patient", 1, 4)], []),
]
PARTED_BY_A_BATCH_THAT_REPEATS = [MERGED_THEN_PARTED[0], ("load", [("Patient", 1, 4), ("Patient", 0, 2)], [])]
OBJECTING_WHILE_REPLACED = [
    ("object", "Patient/p0", None),
    MERGED_THEN_PARTED[0],
    ("withdraw", "Patient/p0", None),
    MERGED_THEN_PARTED[1],
]


FILES = pytest.mark.parametrize("file_rows", [3, 64], ids=["full files", "small files taken in"])


@pytest.mark.slow
@FILES
@LIMITS
@example(MERGED_THEN_PARTED)
@example(PARTED_BY_A_BATCH_THAT_REPEATS)
@example(OBJECTING_WHILE_REPLACED)
@given(plan=st.lists(steps, min_size=1, max_size=8))
def test_the_warehouse_and_the_model_agree_after_every_step(file_rows: int, plan: list[tuple[str, Any, Any]]) -> None:
    _check_story(file_rows, plan)


@pytest.mark.long
@FILES
@settings(LIMITS, max_examples=60)
@given(plan=st.lists(steps, min_size=1, max_size=8))
def test_the_warehouse_and_the_model_agree_on_many_stories(file_rows: int, plan: list[tuple[str, Any, Any]]) -> None:
    _check_story(file_rows, plan)


def _check_story(file_rows: int, plan: list[tuple[str, Any, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(Path(folder), file_rows)
        for step in plan:
            warehouse.run(step)
            warehouse.check()


@pytest.mark.slow
def test_small_files_are_taken_in_once_they_are_many(tmp_path: Path) -> None:
    """Each load brings a practitioner of its own: ten of them in four buckets."""
    warehouse = Warehouse(tmp_path, 64)
    for _ in range(10):
        warehouse.run(("load", [("Practitioner", 0, 1)], []))
    warehouse.check()
    files = open_release(warehouse.plan.zones.warehouse).data_files("practitioner")
    assert sum(file.rows for file in files) == 11
    assert max(Counter(file.bucket for file in files).values()) == 2


@pytest.mark.parametrize(
    "form",
    [lambda text: text + b"\r\n", lambda text: b'{"resourceType":"Bundle","entry":[{"resource": ' + text + b" }]}\n"],
)
def test_the_same_record_in_another_file_form_is_a_duplicate(form: Callable[[bytes], bytes], tmp_path: Path) -> None:
    plan = Warehouse(tmp_path).plan
    text = json.dumps(make("Practitioner", 0, 1)).encode()
    for number, content in enumerate([text + b"\n", form(text)]):
        (tmp_path / f"{number}.ndjson").write_bytes(content)
    first, again = (load([tmp_path / f"{n}.ndjson"], plan, InlineRunner(), open_gate) for n in range(2))
    assert first.new_release
    assert not again.new_release
    assert again.reconciliations["Practitioner"].duplicates == 1
