"""The landing zone: files found, copied whole, cut at line ends, renamed, landed once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.errors import InputError
from etl.ingest.file_splits import Split, pack
from etl.ingest.landing import batch_ids, read_batch, receive


def _receive(tmp_path, paths, split_bytes=1 << 20):
    return receive(paths, tmp_path / "landing", split_bytes=split_bytes)


def test_files_are_renamed_and_copied_as_they_are(tmp_path):
    source = tmp_path / "Martin_Jean.ndjson"
    source.write_bytes(b'{"resourceType":"Patient"}\r\n')
    batch = _receive(tmp_path, [source])
    landed = tmp_path / "landing" / batch.id / "000001"
    assert (landed.read_bytes(), landed.stat().st_mode & 0o777) == (source.read_bytes(), 0o400)
    assert (batch.files[0].original, read_batch(tmp_path / "landing", batch.id)) == ("Martin_Jean.ndjson", batch)


@pytest.mark.parametrize("split_bytes", [1, 7, 10, 64, 1 << 20])
def test_splits_cover_the_file_and_begin_at_lines(tmp_path, split_bytes):
    text = b"".join(b'{"n":%d}\n' % n for n in range(200)) + b'{"last":1}'
    (tmp_path / "x.ndjson").write_bytes(text)
    splits = _receive(tmp_path, [tmp_path / "x.ndjson"], split_bytes).splits()
    pieces = [text[s.offset : s.offset + s.length] for s in splits]
    assert b"".join(pieces) == text
    assert [s.first_line for s in splits] == [text[: s.offset].count(b"\n") + 1 for s in splits]
    assert all(s.offset == 0 or text[s.offset - 1 : s.offset] == b"\n" for s in splits)


def test_the_same_export_twice_is_one_batch(tmp_path):
    (tmp_path / "x.ndjson").write_bytes(b"{}\n")
    first, second = (_receive(tmp_path, [tmp_path / "x.ndjson"]) for _ in range(2))
    assert (second.id, batch_ids(tmp_path / "landing")) == (first.id, [first.id])


def test_an_unknown_batch_names_those_there(tmp_path):
    with pytest.raises(InputError, match="no batch 'b9' in the landing zone; batches: none"):
        read_batch(tmp_path, "b9")


@given(st.lists(st.tuples(st.integers(0, 1 << 25), st.booleans()), max_size=60), st.integers(1, 9))
def test_packed_splits_keep_their_order_in_groups_that_weigh_the_same(lengths, count):
    splits = [Split("b", "f", n, 0, length, 1, gzip, False) for n, (length, gzip) in enumerate(lengths)]
    groups = pack(splits, count)
    assert [split for group in groups for split in group] == splits
    assert len(groups) <= count
    even, heaviest = sum(s.weight for s in splits) / count, max((s.weight for s in splits), default=0)
    assert all(sum(split.weight for split in group) <= even + heaviest for group in groups)


def test_types_weigh_too_for_each_is_compiled():
    small = [Split("b", f"f{n}", n, 0, 1000, 1, False, False, kind=f"Type{n}") for n in range(6)]
    big = Split("b", "f6", 6, 0, 12 << 20, 1, False, False, kind="Observation")
    assert [len(group) for group in pack([*small, big], 2)] == [6, 1]


def test_a_file_says_of_what_type_it_is_by_its_first_lines(tmp_path):
    (tmp_path / "odd.name.ndjson").write_bytes(b'{"id": "1", "resourceType" : "Patient"}\n')
    (tmp_path / "other.ndjson").write_bytes(b'{"resourceType": "Dupont"}\n')
    batch = _receive(tmp_path, [tmp_path / "odd.name.ndjson", tmp_path / "other.ndjson"])
    assert [split.kind for split in batch.splits()] == ["Patient", ""]
    assert read_batch(tmp_path / "landing", batch.id) == batch
