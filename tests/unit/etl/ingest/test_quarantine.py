"""The quarantine: what waits, why, and its texts taken from landing again, with landed folders made by hand."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.errors import InputError
from etl.ingest.bundles import expand
from etl.ingest.landing import receive
from etl.ingest.quarantine import Refused, collect_for_replay, explain, find, mark_replayed, read_text, refused, summary

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("batch", "file")),
        ("line", pa.int64()),
        *((name, pa.string()) for name in ("part", "type", "id", "reason")),
    ]
)
CANARY = "Élodie Martin"
BOM = b"\xef\xbb\xbf"


@pytest.fixture
def landing(tmp_path):
    return tmp_path / "landing"


@pytest.fixture
def quarantine(tmp_path):
    return tmp_path / "quarantine"


@pytest.fixture
def land(tmp_path, landing):
    """Lands files of the given names and bytes as one batch; → its id."""

    def land(**files):
        folder = tmp_path / f"export{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, content in files.items():
            (folder / name.replace("_", ".")).write_bytes(content)
        return receive([folder], landing, split_bytes=1 << 20).id

    return land


@pytest.fixture
def refuse(quarantine):
    """Writes rows of the quarantine index as the staging tasks do, each call one file of it."""

    def refuse(batch, *places, reason="the line is not valid JSON", type="Patient"):
        rows = [_row(batch, *place, reason=reason, type=type) for place in places]
        folder = quarantine / batch
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / f"{len(list(folder.iterdir())):010d}.parquet")

    return refuse


def _row(batch, file, line, part="", **more):
    return {"batch": batch, "file": file, "line": line, "part": part, "id": None, **more}


@pytest.fixture
def replayed(tmp_path, quarantine, landing):
    """What ``collect_for_replay`` writes, as lines; its count is that of the lines."""

    def replayed(batch=None):
        target = tmp_path / "replayed.ndjson"
        count = collect_for_replay(quarantine, landing, target, batch)
        lines = target.read_bytes().splitlines()
        assert count == len(lines)
        return lines

    return replayed


def _bundle(*resources):
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}


def _text(value):
    return json.dumps(value, separators=(",", ":")).encode()


# What waits.


def test_no_folder_is_an_empty_quarantine(quarantine):
    assert list(refused(quarantine)) == []
    assert summary(quarantine) == {}


def test_rows_come_batch_by_batch_and_file_by_file(quarantine, refuse):
    refuse("b000002-bb", ("000001", 9))
    refuse("b000001-aa", ("000001", 4), ("000001", 2))
    refuse("b000001-aa", ("000002", 1, "entry[3]"))
    ids = [row.id for row in refused(quarantine)]
    assert ids == [
        "b000001-aa/000001:4",
        "b000001-aa/000001:2",
        "b000001-aa/000002:1/entry[3]",
        "b000002-bb/000001:9",
    ]
    assert [row.id for row in refused(quarantine, "b000002-bb")] == ids[3:]


def test_the_summary_counts_by_batch_type_and_reason(quarantine, refuse):
    refuse("b1", ("f", 1), ("f", 2), reason="x")
    refuse("b1", ("f", 3), reason="y", type=None)
    refuse("b2", ("f", 1), reason="x", type="Encounter")
    both = {("b1", "Patient", "x"): 2, ("b1", "(unreadable)", "y"): 1, ("b2", "Encounter", "x"): 1}
    assert summary(quarantine) == both
    assert summary(quarantine, "b2") == {("b2", "Encounter", "x"): 1}


def test_a_row_is_found_by_its_id(quarantine, refuse):
    refuse("b1", ("f", 1), ("f", 2, "entry[0]"))
    row = Refused("b1", "f", 2, "entry[0]", "Patient", None, "the line is not valid JSON")
    assert find(quarantine, "b1/f:2/entry[0]") == row
    assert row.to_dict()["quarantine_id"] == "b1/f:2/entry[0]"


@pytest.mark.parametrize("wanted", ["b1/f:2", "b1/f:1/entry[0]", "b9/f:1", "", "/", "b1"])
def test_an_id_that_does_not_wait_says_where_ids_are_printed(quarantine, refuse, wanted):
    refuse("b1", ("f", 1))
    with pytest.raises(InputError, match=rf"no '{wanted.replace('[', '.').replace(']', '.')}' waits .*list --rows"):
        find(quarantine, wanted)


def test_what_was_replayed_waits_no_more_and_says_where_it_went(quarantine, refuse):
    for batch in ("b1", "b2", "b3"):
        refuse(batch, ("f", 1))
    mark_replayed(quarantine, {"b1", "b3"}, "b4")
    assert [row.batch for row in refused(quarantine)] == ["b2"]
    assert json.loads((quarantine / "b1" / "replayed.json").read_text()) == {"into": "b4"}
    with pytest.raises(InputError, match="no 'b1/f:1' waits"):
        find(quarantine, "b1/f:1")


# Why.


def test_the_explanation_names_elements_and_rules_and_no_values(landing, land):
    wrong = {"resourceType": "Patient", "id": "a", "name": {"family": CANARY}, "birthDate": CANARY, "nom": CANARY}
    batch = land(p_ndjson=_text(wrong) + b"\n")
    reasons = explain(Refused(batch, "000001", 1, "", "Patient", "a", "the first reason"), landing)
    assert reasons[0] == "the first reason"
    assert sorted(reasons[1:]) == [
        "Patient.birthDate: does not have the form that FHIR asks for",
        "Patient.name: must be a JSON array",
        "Patient.nom: is not an element of FHIR R4",
    ]


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ({"resourceType": "Observation", "code": {}}, "Observation.status: is required and missing"),
        ({"resourceType": "Patient", "link": [{"type": "seealso"}]}, "Patient.link.other: is required and missing"),
        ({"resourceType": "Patient", "contact": [{"name": CANARY}]}, "Patient.contact.name: must be a JSON object"),
        ({"resourceType": "Patient", "multipleBirthInteger": CANARY}, "multipleBirthInteger: must be a whole number"),
        ({"resourceType": "Patient", "photo": [{"size": -1}]}, "photo.size: breaks the rule 'greater_than_equal'"),
    ],
)
def test_each_fault_of_the_model_has_words(landing, land, resource, reason):
    batch = land(p_ndjson=_text(resource) + b"\n")
    (_, found) = explain(Refused(batch, "000001", 1, "", resource["resourceType"], None, "r"), landing)
    assert found.endswith(reason)


def test_an_element_name_that_may_be_a_value_is_left_out(landing, land):
    batch = land(p_ndjson=_text({"resourceType": "Patient", "id": "a", CANARY: 1}) + b"\n")
    assert CANARY not in " ".join(explain(Refused(batch, "000001", 1, "", "Patient", "a", "r"), landing))


@pytest.mark.parametrize(
    "line",
    [b"Bonjour", b"[1]", b"null", b'{"resourceType":"Patiant"}', b'{"resourceType":7}', b"{}", b"\xff", b"[" * 9999],
)
def test_a_text_that_no_model_reads_keeps_its_first_reason_alone(landing, land, line):
    batch = land(p_ndjson=line + b"\n")
    assert explain(Refused(batch, "000001", 1, "", None, None, "the reason"), landing) == ["the reason"]


def test_a_line_that_is_not_there_keeps_its_first_reason(landing, land):
    batch = land(p_ndjson=b"{}\n")
    assert explain(Refused(batch, "000001", 2, "", None, None, "the reason"), landing) == ["the reason"]


def test_a_part_of_a_bundle_is_explained_by_itself(landing, land):
    good, bad = {"resourceType": "Patient", "id": "a"}, {"resourceType": "Patient", "id": "b", "active": "oui"}
    batch = land(b_json=json.dumps(_bundle(good, bad), indent=1).encode())
    row = Refused(batch, "000001", 1, "entry[1]", "Patient", "b", "Patient.active must be a JSON boolean")
    assert json.loads(read_text(row, landing) or b"") == bad
    assert read_text(replace(row, part="entry[7]"), landing) is None
    assert explain(row, landing)[0] == row.reason


# Again.


def test_refused_lines_come_back_once_each_in_the_order_of_landing(land, refuse, replayed):
    first = land(a_ndjson=b"".join(b"a%d\n" % n for n in range(1, 10)), b_ndjson=b"b1\nb2\n")
    second = land(c_ndjson=b"c1\nc2")
    refuse(second, ("000001", 2))
    refuse(first, ("000002", 2), ("000001", 9))
    refuse(first, ("000001", 3), ("000001", 4))
    assert replayed() == [b"a3", b"a4", b"a9", b"b2", b"c2"]
    assert replayed(second) == [b"c2"]
    assert replayed("b000009-00000000") == []


def test_bytes_that_are_not_text_come_back_as_they_are(land, refuse, replayed):
    batch = land(a_ndjson=BOM + b'{"x\r\n\r\n{"\xff"}\r\n')
    refuse(batch, ("000001", 1), ("000001", 3))
    assert replayed() == [b'{"x', b'{"\xff"}']


def test_lines_of_a_gzip_file_come_back(land, refuse, replayed):
    batch = land(a_ndjson_gz=gzip.compress(b"a1\na2\n") + gzip.compress(b"a3\n"))
    refuse(batch, ("000001.gz", 1), ("000001.gz", 3))
    assert replayed() == [b"a1", b"a3"]


def test_entries_of_a_bundle_come_back_each_on_a_line(land, refuse, replayed):
    patients = [{"resourceType": "Patient", "id": name} for name in "abc"]
    batch = land(b_json=json.dumps(_bundle(*patients), indent=1).encode())
    refuse(batch, ("000001", 1, "entry[2]"), ("000001", 1, "entry[0]"))
    assert [json.loads(line) for line in replayed()] == [patients[0], patients[2]]


def test_a_document_that_cannot_be_read_comes_back_whole(land, refuse, replayed):
    batch = land(b_json=b'{"resourceType":\n"Bundle",')
    refuse(batch, ("000001", 1), type=None)
    assert replayed() == [b'{"resourceType": "Bundle",']


def test_an_id_said_beside_the_entry_is_kept(land, refuse, replayed):
    """The id of an entry may stand in its fullUrl alone: the replayed text must not lose it."""
    resource = {"resourceType": "Patient", "active": "oui"}
    deletion = {"request": {"method": "DELETE", "url": "Patient/é"}}
    bundle = {"resourceType": "Bundle", "entry": [{"fullUrl": "urn:uuid:1-1", "resource": resource}, deletion]}
    batch = land(b_ndjson=_text(bundle) + b"\n")
    refuse(batch, ("000001", 1, "entry[0]"), ("000001", 1, "entry[1]"))
    docs = [doc for line in replayed() for doc in expand(line)]
    assert [(doc.action, doc.type, doc.given_id) for doc in docs] == [
        ("put", None, "1-1"),
        ("delete", "Patient", "é"),
    ]
    assert docs[0].text == _text(resource)


@pytest.mark.parametrize("in_bundle", [True, False])
def test_a_contained_resource_comes_back_inside_its_parent(land, refuse, replayed, in_bundle):
    """Its key is made of its parent's id, so a line of its own would be another resource."""
    inner = [{"resourceType": "Organization", "id": name} for name in ("o1", "o2")]
    parent = {"resourceType": "Claim", "id": "7", "contained": inner, "insurer": {"reference": "#o1"}}
    line = _text(_bundle(parent) if in_bundle else parent)
    where = "entry[0]." if in_bundle else ""
    batch = land(c_ndjson=line + b"\n")
    refuse(batch, *(("000001", 1, f"{where}contained[{n}]") for n in range(2)), type="Organization")
    (again,) = replayed()
    assert [(d.given_id, d.text) for d in expand(again)] == [
        (d.given_id if "contained" in d.part else None, d.text) for d in expand(line)
    ]


def test_each_landed_file_is_read_once(land, refuse, replayed, monkeypatch):
    """The work grows with the file, not with the file times the refused rows of it."""
    lines = 300
    batch = land(a_ndjson=b"x\n" * lines, b_json=_text(_bundle(*[{"resourceType": "Patient"}] * lines)))
    refuse(batch, *(("000001", n) for n in range(1, lines + 1)))
    refuse(batch, *(("000002", 1, f"entry[{n}]") for n in range(lines)))
    opened, real = [], Path.open

    def watched(self, *arguments, **named):
        opened.append(self.name)
        return real(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", watched)
    assert len(replayed()) == 2 * lines
    assert sorted(name for name in opened if name.isdigit()) == ["000001", "000002"]
