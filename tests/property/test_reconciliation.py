"""Accounting balances for any batch, and what no view lists never appears: staging and merging without Spark."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erios.checkout import PROJECT
from etl.ingest.file_splits import pack
from etl.ingest.landing import receive
from etl.ingest.resource_type_plans import type_plans
from etl.ingest.staging import StagingPlan, StagingTask, stage
from etl.ingest.transform import TransformPlan
from etl.merge.reconciliation import reconcile, total
from etl.merge.versions import ResolveTask, resolve_versions
from etl.privacy import PseudonymKey
from etl.tables import load_tables
from etl.warehouse.columns import LEDGER
from tests.sampling import examples

MARKER = "zqMARKERqz"
pytestmark = pytest.mark.slow
FEW = settings(max_examples=examples(12), suppress_health_check=list(HealthCheck))


@cache
def _plan():
    tables = [t for t in load_tables(PROJECT / "conf" / "views") if t.name in ("patient", "encounter")]
    return TransformPlan(type_plans(tables), 4, 1 << 20, memory_mb=512)


def _key():
    return PseudonymKey("k1", b"k" * 32)


def _run(folder: Path, lines: list[bytes]):
    """Stage and resolve_versions one batch; → (reconciliations, files staged)."""
    path = folder / "export.ndjson"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    for place in ("work", "lists"):
        (folder / place).mkdir()
    batch = receive([path], folder / "landing", split_bytes=1 << 20)
    plan = StagingPlan(_plan(), folder / "landing", folder / "work", folder / "quarantine", _key, chunk_bytes=1 << 20)
    staged = stage(plan, StagingTask(0, batch.id, batch.received, pack(batch.splits(), 1)[0]))
    task = ResolveTask(0, 3, tuple(staged.of(LEDGER)), (), (), folder / "lists", scratch=folder)
    return reconcile(staged, [resolve_versions(task).outcomes]), staged


def _dumps(resource) -> bytes:
    return json.dumps(resource).encode()


def _patient(number: int, version: int | None = None) -> dict:
    meta = {"meta": {"versionId": str(version), "lastUpdated": f"2024-01-0{version}T00:00:00Z"}} if version else {}
    return {"resourceType": "Patient", "id": f"p{number}", **meta}


def _bundle(numbers: list[int]) -> dict:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": _patient(n)} for n in numbers]}


def _delete(number: int) -> dict:
    entry = {"request": {"method": "DELETE", "url": f"Patient/p{number}"}}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}


def _container(number: int) -> dict:
    inner = {"resourceType": "Organization", "id": "o1"}
    return {**_patient(number), "contained": [inner], "managingOrganization": {"reference": "#o1"}}


NUMBERS = st.integers(0, 3)
LINES = st.one_of(
    st.builds(lambda n: (_dumps(_patient(n)), 1), NUMBERS),
    st.builds(lambda n, v: (_dumps(_patient(n, v)), 1), NUMBERS, st.integers(1, 4)),
    st.builds(lambda many: (_dumps(_bundle(many)), len(many)), st.lists(NUMBERS, min_size=1, max_size=4)),
    st.builds(lambda n: (_dumps(_delete(n)), 1), NUMBERS),
    st.builds(lambda n: (_dumps(_container(n)), 2), NUMBERS),
    st.sampled_from([b"garbage", b"[1]", b"{}", b"\xff", b'{"resourceType":"Patient"}', b"{"]).map(lambda x: (x, 1)),
    st.sampled_from([b"", b"   "]).map(lambda x: (x, 0)),
)
"""(line, resources in it)."""


@FEW
@given(st.lists(LINES, min_size=1, max_size=15))
def test_every_resource_of_any_batch_has_one_end(lines):
    with tempfile.TemporaryDirectory() as folder:
        reconciliations, _ = _run(Path(folder), [line for line, _ in lines])
    whole = total(reconciliations)
    assert (whole.balances(), whole.resources) == (True, sum(count for _, count in lines))


@FEW
@given(st.lists(st.tuples(NUMBERS, st.integers(1, 4)), min_size=1, max_size=12))
def test_written_is_the_number_of_distinct_resources(versions):
    with tempfile.TemporaryDirectory() as folder:
        reconciliations, _ = _run(Path(folder), [_dumps(_patient(n, v)) for n, v in versions])
    copies = Counter(versions)
    account = reconciliations["Patient"]
    assert account.written == len({number for number, _ in versions})
    assert account.duplicates == sum(count - 1 for count in copies.values())


NAMES = st.sampled_from(["name", "telecom", "text", "photo", "contact", "extension", "identifier", "_gender"])
VALUES = {
    "name": [{"family": MARKER, "given": [MARKER], "text": MARKER}],
    "telecom": [{"system": "phone", "value": MARKER}],
    "text": {"status": "generated", "div": f"<div>{MARKER}</div>"},
    "photo": [{"title": MARKER, "url": f"http://{MARKER}"}],
    "contact": [{"name": {"family": MARKER}, "address": {"line": [MARKER]}}],
    "extension": [{"url": f"http://example.org/{MARKER}", "valueString": MARKER}],
    "identifier": [{"system": f"urn:{MARKER}", "value": MARKER}],
    "_gender": {"extension": [{"url": f"http://example.org/{MARKER}", "valueString": MARKER}]},
}


@FEW
@given(st.sets(NAMES, min_size=1), st.booleans())
def test_what_no_view_lists_never_appears(names, is_bad):
    resource = {**_patient(1), "gender": "female", **{name: VALUES[name] for name in names}}
    if is_bad:
        resource["birthDate"] = MARKER
    with tempfile.TemporaryDirectory() as folder:
        _, staged = _run(
            Path(folder), [_dumps(resource), _dumps({"resourceType": "Patient", "id": "b", "foreign": MARKER})]
        )
        kept = [
            *(path for _, path, rows in staged.files if rows),
            *map(str, Path(folder).glob("quarantine/*/*.parquet")),
        ]
        text = str([duckdb.connect().execute(f"FROM read_parquet('{path}')").fetchall() for path in kept])
    assert len(kept) > 0
    assert MARKER not in text
