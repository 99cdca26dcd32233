"""From bytes to texts: every line once with its number, whatever the cuts; what is no text is refused by number."""

import gzip
import tracemalloc
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from etl.errors import InputError
from etl.ingest.file_splits import Split
from etl.ingest.landing import receive
from etl.ingest.reading import Refusal, chunks, packed

BOM = b"\xef\xbb\xbf"
MB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def _no_wait_for_the_disk():
    """Hundreds of small files are landed here, and none must outlive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("etl.ingest.landing.os.fsync", lambda _descriptor: None)
        yield


def _splits(folder, content, *, name="x.ndjson", split_bytes=MB):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return receive([folder / name], folder / "landing", split_bytes=split_bytes).splits()


def _read(folder, content, *, chunk_bytes=MB, max_line_bytes=MB, **landed):
    """(number → text, refusals) of all chunks of a file."""
    lines: dict[int, str] = {}
    refusals = []
    for split in _splits(folder, content, **landed):
        for chunk in chunks(split, folder / "landing", chunk_bytes=chunk_bytes, max_line_bytes=max_line_bytes):
            found = dict(zip(chunk.lines["line"].to_pylist(), chunk.lines["text"].to_pylist(), strict=True))
            assert not lines.keys() & found.keys()
            lines |= found
            refusals += chunk.refusals
    return lines, refusals


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", {}),
        (b"\n", {}),
        (b"a", {1: "a"}),
        (b"a\n", {1: "a"}),
        (b"a\nb", {1: "a", 2: "b"}),
        (BOM + b"a\nb\n", {1: "a", 2: "b"}),
        (b"a\n" + BOM + b"b\n", {1: "a", 2: "\ufeffb"}),
        (BOM, {}),
        (b"a\r\nb\r\n", {1: "a", 2: "b"}),
        (b"\n\na\n  \n\t\r\nb\n\n", {3: "a", 6: "b"}),
        (b" a\n", {1: "a"}),
        ("é\u2028\n".encode(), {1: "é\u2028"}),
        (b"a\x00b\n", {1: "a\x00b"}),
        ("\n\u00a0\n\x1c\n".encode(), {2: "\u00a0", 3: "\x1c"}),
    ],
    ids=repr,
)
def test_lines_keep_their_numbers(tmp_path, content, lines):
    assert _read(tmp_path, content) == (lines, [])
    assert _read(tmp_path, gzip.compress(content), name="z.ndjson.gz") == (lines, [])


@pytest.mark.parametrize("chunk_bytes", [4, 1000])
def test_what_is_no_text_is_refused_by_its_number_and_its_neighbours_stay(tmp_path, chunk_bytes):
    lines, refusals = _read(tmp_path, b"a\n\xff\n\nb\n\xc3\n\xa9\nc\n", chunk_bytes=chunk_bytes)
    assert lines == {1: "a", 4: "b", 7: "c"}
    assert refusals == [Refusal("000001", n, "the line is not valid UTF-8 text") for n in (2, 5, 6)]


@pytest.mark.parametrize("chunk_bytes", [64, 10 * MB])
@pytest.mark.parametrize("last", [b"\nb\n", b""])
@pytest.mark.parametrize("filler", [b"x", b"\xff"])
def test_a_line_beyond_the_limit_is_refused_once(tmp_path, chunk_bytes, last, filler):
    lines, refusals = _read(tmp_path, b"a\n" + filler * (3 * MB) + last, chunk_bytes=chunk_bytes)
    assert lines == ({1: "a", 3: "b"} if last else {1: "a"})
    assert refusals == [Refusal("000001", 2, "the line is longer than 1 MB")]


def test_a_line_at_the_limit_is_read(tmp_path):
    lines, refusals = _read(tmp_path, b"12345678\n123456789\n", max_line_bytes=9)
    assert (lines, [refusal.line for refusal in refusals]) == ({1: "12345678"}, [2])


def test_an_endless_line_is_not_kept_in_memory(tmp_path):
    """What is over the limit is dropped while it is read: blocks stay near the limit, not near the line."""
    (split,) = _splits(tmp_path, b"y" * (8 * MB) + b"\na\n", split_bytes=16 * MB)
    tracemalloc.start()
    try:
        read = list(chunks(split, tmp_path / "landing", chunk_bytes=1 << 14, max_line_bytes=1 << 16))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [chunk.lines["text"].to_pylist() for chunk in read if len(chunk.lines)] == [["a"]]
    assert (sum(len(chunk.refusals) for chunk in read), peak < MB) == (1, True)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_a_gzip_file_damaged_after_it_was_landed_is_one_sentence(tmp_path, cut):
    content = gzip.compress(bytes(range(32, 127)) * 1000 + b"\n", compresslevel=0)
    (split,) = _splits(tmp_path, content, name="z.ndjson.gz")
    landed = tmp_path / "landing" / split.batch / split.file
    landed.chmod(0o600)
    landed.write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(InputError, match="a landed gzip file is damaged; load the export again"):
        list(chunks(split, tmp_path / "landing", chunk_bytes=MB, max_line_bytes=MB))


def test_a_document_is_one_line(tmp_path):
    lines, refusals = _read(tmp_path, BOM + b'{\r\n "resourceType":\n"Patient"\n}\n', name="p.json")
    assert (lines, refusals) == ({1: '{\r  "resourceType": "Patient" }'}, [])


# Chunks.


def _blocks(folder, rows, *, chunk_bytes):
    """How many lines each chunk of a file of ten-byte lines has."""
    (split,) = _splits(folder, b"123456789\n" * rows)
    return [len(c.lines) for c in chunks(split, folder / "landing", chunk_bytes=chunk_bytes, max_line_bytes=MB)]


def test_a_file_is_cut_into_chunks_of_about_the_size_asked_for(tmp_path):
    assert _blocks(tmp_path, 1000, chunk_bytes=2500) == [250, 250, 250, 250]


def test_a_rest_smaller_than_a_quarter_of_a_chunk_stays_with_the_last_one(tmp_path):
    assert _blocks(tmp_path / "a", 1062, chunk_bytes=2500) == [250, 250, 250, 312]
    assert _blocks(tmp_path / "b", 1063, chunk_bytes=2500) == [250, 250, 250, 250, 63]


def test_small_splits_are_put_together_up_to_a_chunk(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.ndjson").write_bytes(b"123456789\n" * 10 + b"\xff\n")
    splits = receive([folder], tmp_path / "landing", split_bytes=MB).splits()
    read = list(packed(splits, tmp_path / "landing", chunk_bytes=900, max_line_bytes=MB))
    assert sum(len(chunk.lines) for chunk in read) == 50
    assert [refusal.file for chunk in read for refusal in chunk.refusals] == [f"00000{n}" for n in range(1, 6)]
    assert len(read) < 5


OTHER_KINDS = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b")
"""How zips and gzips begin: what a file is, its bytes say, not its name."""
LINES = st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=30)


@given(LINES, st.integers(1, 60), st.integers(1, 60), st.booleans(), st.booleans())
def test_all_chunks_together_are_the_lines_of_the_file(
    tmp_path_factory, lines, split_bytes, chunk_bytes, zipped, ended
):
    """Every line of text that is not blank is read once under its number; every other line that is no text, refused."""
    content = b"\n".join(lines) + b"\n" * ended
    assume(not content.startswith(OTHER_KINDS) and content[128:132] != b"DICM")
    name, stored = ("z.ndjson.gz", gzip.compress(content)) if zipped else ("x.ndjson", content)
    folder = tmp_path_factory.mktemp("lines")
    read, refusals = _read(folder, stored, name=name, split_bytes=split_bytes, chunk_bytes=chunk_bytes)
    texts, bad = {}, []
    for number, line in enumerate(content.removeprefix(BOM).split(b"\n"), start=1):
        try:
            if line.decode().strip(" \t\r"):
                texts[number] = line.decode().strip(" \t\r")
        except UnicodeDecodeError:
            bad.append(number)
    assert (read, sorted(refusal.line for refusal in refusals)) == (texts, bad)


@given(st.lists(st.integers(0, 40), max_size=20), st.integers(1, 40), st.integers(1, 100))
def test_only_lines_beyond_the_limit_are_refused(tmp_path_factory, lengths, limit, chunk_bytes):
    content = b"".join(b"x" * length + b"\n" for length in lengths)
    read, refusals = _read(tmp_path_factory.mktemp("long"), content, chunk_bytes=chunk_bytes, max_line_bytes=limit)
    long = [number for number, length in enumerate(lengths, 1) if length + 1 > limit]
    assert [refusal.line for refusal in refusals] == long
    assert list(read) == [number for number, length in enumerate(lengths, 1) if length and number not in long]


def test_a_chunk_counts_its_bytes_without_copying_its_texts(tmp_path):
    (split,) = _splits(tmp_path, b"123456789\n" * 100)
    assert isinstance(split, Split)
    (chunk,) = chunks(split, tmp_path / "landing", chunk_bytes=MB, max_line_bytes=MB)
    assert chunk.size >= 1000
    assert chunk.lines.schema.field("text").type == pa.large_string()
    numbers = chunk.lines["line"].to_pylist()
    assert all(after == before + 1 for before, after in pairwise(numbers))
