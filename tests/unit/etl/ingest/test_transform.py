"""The transform on one chunk: one row a resource, and one bad line never spoils its neighbours."""

import json

import pyarrow as pa
import pytest

from erios.checkout import PROJECT
from etl.ingest.reading import Chunk
from etl.ingest.resource_type_plans import type_plans
from etl.ingest.transform import ChunkTransform, TransformPlan
from etl.privacy import PseudonymKey, pseudonym
from etl.tables import as_table, load_tables
from etl.views import ViewError, compile_view

KEY = PseudonymKey("k1", b"k" * 32)


@pytest.fixture(scope="module")
def plan():
    tables = [t for t in load_tables(PROJECT / "conf" / "views") if t.name in ("organization", "patient")]
    return TransformPlan(type_plans(tables), 4, 1 << 20, memory_mb=512)


def _chunk(lines):
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    columns = {"file": ["f"] * len(texts), "line": range(1, len(texts) + 1)}
    return Chunk(pa.table({**columns, "text": pa.array(texts, pa.large_string())}))


def _ward(id):
    return {"resourceType": "Organization", "id": id, "partOf": {"reference": "Organization/chu"}}


def test_resources_that_share_a_reference_stay_one_row_each(plan):
    with ChunkTransform(plan, KEY) as transform:
        transform.load(_chunk([_ward("a"), _ward("b"), _ward("c")]), 0)
        (table,) = transform.evaluate("Organization")
        rows = transform.sql.sql(transform.rows_sql(table)).project("organization_key, part_of_key").fetchall()
    whole = pseudonym(KEY, "Organization/chu")
    assert sorted(rows) == sorted((pseudonym(KEY, f"Organization/{id}"), whole) for id in "abc")


def test_a_bad_line_does_not_stop_the_identifiers_of_its_neighbours(plan):
    identified = {"resourceType": "Patient", "id": "a", "identifier": [{"system": "urn:ipp", "value": "7"}]}
    with ChunkTransform(plan, KEY) as transform:
        transform.load(_chunk(['{"resourceType":"Patient","id":"x', identified]), 0)
        transform.evaluate("Patient")
        rows = (
            transform.sql.sql(str(transform.identifiers_sql("Patient")))
            .project("identifier_key, resource_key")
            .fetchall()
        )
    assert rows == [(pseudonym(KEY, "Patient?identifier=urn:ipp|7"), pseudonym(KEY, "Patient/a"))]


def test_views_that_do_not_go_together_are_refused_before_anything_is_read():
    """One follows an element to any depth, the other reads it as a structure."""
    key = {"name": "key", "path": "getResourceKey()", "tag": [{"name": "erios/privacy", "value": "pseudonym"}]}
    keep = [{"name": "erios/privacy", "value": "code"}]
    text = {"column": [{"name": "text", "path": "text", "tag": keep}]}
    selects = {
        "deep": [{"column": [key]}, {"repeat": ["item"], **text}],
        "flat": [{"column": [key, {"name": "first", "path": "item.linkId.first()", "tag": keep}]}],
    }
    views = [{"name": name, "resource": "QuestionnaireResponse", "select": select} for name, select in selects.items()]
    tables = [as_table(compile_view(view)) for view in views]
    assert list(type_plans(tables[:1])) == ["QuestionnaireResponse"]
    with pytest.raises(ViewError, match="split the types"):
        type_plans(tables)
