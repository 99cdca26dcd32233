"""Manifests: a golden root, and each sentence for what is missing, changed, added or signed by somebody else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from erios.errors import InputError, StorageError
from erios.extracts.manifest import (
    NAME,
    SIGNATURE,
    FileEntry,
    Manifest,
    check_signed,
    list_files,
    problems,
    public_key,
    read_manifest,
    root_of,
    verify,
    write_manifest,
)
from erios.keys import derive_key, init_keyring

ENTRIES = tuple(FileEntry(f"data/{name}.parquet", name * 64, 10 * number) for number, name in enumerate("abcde", 1))
GOLDEN_ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "8ec838c2ace663340d7fe946ae9d5cf089bd9d2d11e191fee829ba193e0f8fa2",
    2: "6eedd831d5e450b0fa9b4e987c27335b7bd68a85aedb0505bff47f81b55491fc",
    3: "abf9bdd0833bb82a34d25e29e88d23b9828babaf948f3e39ace3617276298dad",
    5: "1280793b9fbe8b58d609e31d7bfe5ff26146a08f2a564dfca04f97677bec7019",
}


@pytest.mark.parametrize(("files", "root"), GOLDEN_ROOTS.items())
def test_the_root_of_files_never_changes(files: int, root: str) -> None:
    assert root_of(ENTRIES[:files]) == root


def test_leaves_and_nodes_are_hashed_apart() -> None:
    """RFC 6962 §2.1, written out: a leaf begins with 0, an inner node with 1, the left tree is the larger."""

    def leaf(entry: FileEntry) -> bytes:
        return hashlib.sha256(b"\x00" + json.dumps([entry.path, entry.sha256, entry.bytes]).encode()).digest()

    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\x01" + left + right).digest()

    a, b, c, d, e = map(leaf, ENTRIES)
    assert root_of(ENTRIES) == node(node(node(a, b), node(c, d)), e).hex()


def test_the_root_does_not_depend_on_the_order_of_the_files() -> None:
    assert root_of(ENTRIES[::-1]) == root_of(ENTRIES)


@pytest.mark.parametrize("change", [{"path": "data/z.parquet"}, {"sha256": "0" * 64}, {"bytes": 11}])
def test_the_root_depends_on_path_digest_and_size(change: dict[str, object]) -> None:
    changed = replace(ENTRIES[0], **change)  # type: ignore[arg-type]
    assert root_of((changed, *ENTRIES[1:])) != root_of(ENTRIES)


def key_of(keyring: Path) -> str:
    """The id of the keyring's active key."""
    return derive_key(keyring, b"tests").key_id


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    init_keyring(tmp_path / "keyring.json")
    return tmp_path / "keyring.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An extract of two files, not signed yet."""
    folder = tmp_path / "extract-7"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "patient.parquet").write_bytes(b"rows")
    (folder / "README.md").write_text("read me")
    return folder


@pytest.fixture
def signed(folder: Path, ring: Path) -> Callable[..., Manifest]:
    """Write and sign the manifest, with changes."""

    def sign(**changes: object) -> Manifest:
        files = list_files(folder, {"data/patient.parquet": 2})
        manifest = Manifest(
            extract="extract-7",
            study="s1",
            proposal=3,
            release="r1",
            specification={"tables": ["patient"]},
            policy={"views": "0" * 64},
            key_id=key_of(ring),
            code="1.0",
            created="2031-05-05",
            files=files,
            root=root_of(files),
        )
        write_manifest(folder, replace(manifest, **changes), ring)  # type: ignore[arg-type]
        return replace(manifest, **changes)  # type: ignore[arg-type]

    return sign


def test_every_file_is_listed_with_digest_size_and_rows(folder: Path, signed: Callable[..., Manifest]) -> None:
    signed()

    assert list_files(folder, {"data/patient.parquet": 2}) == (
        FileEntry("README.md", hashlib.sha256(b"read me").hexdigest(), 7, None),
        FileEntry("data/patient.parquet", hashlib.sha256(b"rows").hexdigest(), 4, 2),
    )


def test_a_signed_extract_verifies(folder: Path, signed: Callable[..., Manifest], ring: Path) -> None:
    manifest = signed()
    public = public_key(ring, manifest.key_id)

    assert verify(folder, public) == verify(folder, public, manifest.root) == manifest
    assert check_signed(folder, public, manifest.root) == read_manifest(folder) == manifest
    assert json.loads((folder / NAME).read_bytes())["version"] == 1


def test_signed_bytes_are_canonical_json(signed: Callable[..., Manifest]) -> None:
    raw = signed(study="é").to_bytes().decode()

    assert raw == json.dumps(json.loads(raw), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert '"study":"é"' in raw


def _remove(folder: Path) -> None:
    (folder / "README.md").unlink()


def _add(folder: Path) -> None:
    (folder / "data" / "more.parquet").write_bytes(b"")


def _change(folder: Path) -> None:
    (folder / "README.md").write_text("red met")  # as long as it was


def _lengthen(folder: Path) -> None:
    (folder / "README.md").write_text("read me too")


def _link(folder: Path) -> None:
    """The same bytes, lying where others may change them."""
    (folder.parent / "elsewhere").write_text("read me")
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (_remove, "extract-7: the file README.md is missing; restore the extract, or build it again"),
        (_add, "extract-7: the file data/more.parquet is not in the manifest; do not use it"),
        (_change, "extract-7: the file README.md was changed after it was signed; do not use it"),
        (_lengthen, "extract-7: the file README.md was changed after it was signed; do not use it"),
        (_link, "extract-7: the file README.md was changed after it was signed; do not use it"),
    ],
)
def test_a_harmed_extract_does_not_verify(
    folder: Path, signed: Callable[..., Manifest], ring: Path, harm: Callable[[Path], None], sentence: str
) -> None:
    manifest = signed()
    harm(folder)

    assert list(problems(folder, manifest)) == [sentence]
    with pytest.raises(InputError, match=sentence):
        verify(folder, public_key(ring, manifest.key_id))


def test_a_file_that_cannot_be_read_is_a_fault_of_the_disk(
    folder: Path, signed: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = signed()

    def refuse(*_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.is_symlink", refuse)
    with pytest.raises(StorageError, match=r"cannot read README\.md of the extract: Permission denied"):
        list(problems(folder, manifest))


def test_a_root_that_is_not_that_of_the_files_is_refused_although_it_is_signed(
    folder: Path, signed: Callable[..., Manifest], ring: Path
) -> None:
    manifest = signed(root="0" * 64)

    with pytest.raises(InputError, match="the root in the manifest of extract-7 is not that of its files"):
        check_signed(folder, public_key(ring, manifest.key_id))


def test_another_extract_than_the_cleared_one_is_refused(
    folder: Path, signed: Callable[..., Manifest], ring: Path
) -> None:
    manifest = signed()

    with pytest.raises(InputError, match="extract-7 is not the extract that was cleared"):
        verify(folder, public_key(ring, manifest.key_id), "0" * 64)


def test_a_signature_of_another_key_is_refused(folder: Path, signed: Callable[..., Manifest], tmp_path: Path) -> None:
    signed()
    init_keyring(tmp_path / "other.json")
    other = public_key(tmp_path / "other.json", key_of(tmp_path / "other.json"))

    with pytest.raises(InputError, match="the signature of extract-7 does not hold"):
        check_signed(folder, other)


@pytest.mark.parametrize("text", ["?", "AAAA\n"])
def test_a_damaged_signature_is_refused(folder: Path, signed: Callable[..., Manifest], ring: Path, text: str) -> None:
    manifest = signed()
    (folder / SIGNATURE).write_text(text)

    with pytest.raises(InputError, match="the signature of extract-7 does not hold"):
        check_signed(folder, public_key(ring, manifest.key_id))


def test_characters_beside_the_signature_are_refused(folder: Path, signed: Callable[..., Manifest], ring: Path) -> None:
    manifest = signed()
    (folder / SIGNATURE).write_text("!!!!" + (folder / SIGNATURE).read_text())

    with pytest.raises(InputError, match="the signature of extract-7 does not hold"):
        check_signed(folder, public_key(ring, manifest.key_id))


def test_an_unsigned_manifest_is_refused(folder: Path, signed: Callable[..., Manifest], ring: Path) -> None:
    manifest = signed()
    (folder / SIGNATURE).unlink()

    with pytest.raises(InputError, match="the manifest of extract-7 is not signed"):
        check_signed(folder, public_key(ring, manifest.key_id))


def test_a_folder_without_a_manifest_is_no_extract(folder: Path) -> None:
    with pytest.raises(InputError, match="extract-7 has no manifest"):
        read_manifest(folder)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"files": [{"path": "a"}]}', '{"files": []}', "\xff"])
def test_a_damaged_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / NAME).write_bytes(text.encode("latin-1"))

    with pytest.raises(InputError, match="the manifest of extract-7 is damaged"):
        read_manifest(folder)


def test_the_public_key_is_32_bytes_and_stays_the_same(ring: Path) -> None:
    import base64

    public = public_key(ring, key_of(ring))
    assert len(base64.b64decode(public)) == 32
    assert public == public_key(ring, key_of(ring))
