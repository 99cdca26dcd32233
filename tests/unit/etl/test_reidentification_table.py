"""Segments of the re-identification table: written by a task, found again, forgotten on demand."""

from contextlib import closing

import duckdb
import pyarrow as pa
import pytest

from etl.errors import StorageError
from etl.ingest.reading import Chunk
from etl.ingest.transform import ChunkTransform, TransformPlan
from etl.privacy import PseudonymKey, pseudonym
from etl.reidentification_table import (
    SCHEMA,
    find_reference,
    forget,
    open_segment,
    seal_segment,
    segment_paths,
    segment_writer,
)
from etl.sealing import SealingKey

KEY = SealingKey("k1", b"k" * 32)


def find_key(_key_id: str) -> SealingKey:
    return KEY


def rows(*ids: str, mark: str = "a") -> pa.Table:
    columns = [[name.rjust(32, mark) for name in ids], [f"Patient/{name}" for name in ids], ["k1"] * len(ids)]
    return pa.table([pa.array(column) for column in columns], schema=SCHEMA)


@pytest.fixture
def transform():
    """A connection as the transform leaves it after evaluating Patient: two versions of one patient, one deleted."""
    with closing(duckdb.connect()) as connection:
        connection.execute(
            "CREATE TABLE parsed AS SELECT * FROM (VALUES ('aa', '1', 'put'), ('aa', '1', 'put'), ('bb', '2', 'put'),"
            " ('cc', '3', 'delete')) t(resource_key, id, action)"
        )
        yield connection


def test_a_task_writes_one_segment_of_all_its_pieces(tmp_path, transform):
    with segment_writer(tmp_path, "b000001-ab", 3, KEY) as keep:
        keep(transform)
        transform.execute("UPDATE parsed SET resource_key = 'dd', id = '4'")
        keep(transform)

    (path,) = segment_paths(tmp_path)
    assert path == tmp_path / "b000001-ab" / "0000000003-k1.sealed"
    assert sorted(open_segment(path, find_key).to_pydict()["reference"]) == ["Patient/1", "Patient/2", "Patient/4"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"Patient/" not in path.read_bytes()


def test_what_the_kernel_made_of_a_patient_is_found_again(tmp_path):
    text = '{"resourceType": "Patient", "id": "a"}'
    lines = pa.table({"file": ["f"], "line": [1], "text": pa.array([text], pa.large_string())})
    key = PseudonymKey("k1", b"p" * 32)
    with (
        ChunkTransform(TransformPlan({}, 4, 1 << 20, memory_mb=256), key) as transform,
        segment_writer(tmp_path, "b1", 0, KEY) as keep,
    ):
        transform.load(Chunk(lines), 0)
        transform.evaluate("Patient")
        keep(transform.sql)

    assert find_reference(tmp_path, pseudonym(key, "Patient/a"), find_key) == "Patient/a"


def test_the_same_task_again_writes_the_same_file(tmp_path, transform):
    for _ in range(2):
        with segment_writer(tmp_path, "b1", 0, KEY) as keep:
            keep(transform)

    assert len(segment_paths(tmp_path)) == 1


def test_a_task_without_patients_or_that_fails_writes_nothing(tmp_path, transform):
    def fail() -> None:
        with segment_writer(tmp_path, "b1", 1, KEY) as keep:
            keep(transform)
            raise RuntimeError

    with segment_writer(tmp_path, "b1", 0, KEY):
        pass
    with pytest.raises(RuntimeError):
        fail()

    assert segment_paths(tmp_path) == []


def test_a_reference_is_found_in_the_newest_segment_first(tmp_path):
    seal_segment(tmp_path / "b000001-x" / "1-k1.sealed", rows("old"), KEY)
    seal_segment(tmp_path / "b000002-x" / "1-k1.sealed", rows("new"), KEY)

    assert [path.parent.name for path in segment_paths(tmp_path)] == ["b000002-x", "b000001-x"]
    assert find_reference(tmp_path, "old".rjust(32, "a"), find_key) == "Patient/old"
    assert find_reference(tmp_path, "0" * 32, find_key) is None
    assert find_reference(tmp_path / "nowhere", "0" * 32, find_key) is None


def test_a_moved_segment_does_not_open(tmp_path):
    path = tmp_path / "b1" / "1-k1.sealed"
    seal_segment(path, rows("1"), KEY)
    moved = path.rename(tmp_path / "b1" / "2-k1.sealed")

    with pytest.raises(StorageError, match=r"reidentification/b1/2-k1.sealed\) are damaged or of another place"):
        open_segment(moved, find_key)


def test_the_erased_are_forgotten_and_the_others_kept(tmp_path):
    for batch, ids in (("b1", ("1", "2")), ("b2", ("1",)), ("b3", ("3",))):
        seal_segment(tmp_path / batch / "0-k1.sealed", rows(*ids), KEY)
    (tmp_path / "b1" / ".0-k1.sealed.ab12cd34").write_bytes(b"left by a killed task")

    assert forget(tmp_path, ["1".rjust(32, "a"), "9" * 32], find_key) == 2

    left = {path.parent.name: open_segment(path, find_key)["reference"].to_pylist() for path in segment_paths(tmp_path)}
    assert left == {"b1": ["Patient/2"], "b3": ["Patient/3"]}
    assert [path.name for path in (tmp_path / "b1").iterdir()] == ["0-k1.sealed"]
