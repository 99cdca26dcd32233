"""A bundle on its way: what is packed arrives, and an archive that would write elsewhere is refused."""

from __future__ import annotations

import io
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from erios.broker import bundle_archive
from erios.broker.bundle_archive import pack_bundle, unpack_bundle
from erios.errors import InputError, UsageError


def bundle(folder: Path) -> Path:
    for name, text in (("configs/train.json", "{}"), ("scripts/a.py", "pass"), ("models/old.pt", "x")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def archive(**attributes: object) -> io.BytesIO:
    """One member with these attributes."""
    content = b"12345"
    member = tarfile.TarInfo("configs/train.json")
    member.size = len(content)
    for name, value in attributes.items():
        setattr(member, name, value)
    return io.BytesIO(member.tobuf() + content.ljust(512, b"\0") + bytes(1024))


def test_a_bundle_arrives_without_its_models(tmp_path):
    packed = io.BytesIO()
    pack_bundle(bundle(tmp_path / "bundle"), packed)
    packed.seek(0)
    (tmp_path / "there").mkdir()

    unpack_bundle(packed, tmp_path / "there")

    files = {str(path.relative_to(tmp_path / "there")) for path in (tmp_path / "there").rglob("*") if path.is_file()}
    assert files == {"configs/train.json", "scripts/a.py"}


def test_a_bundle_with_a_link_is_not_packed(tmp_path):
    folder = bundle(tmp_path / "bundle")
    (folder / "configs" / "more.json").symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match=r"configs/more\.json"):
        pack_bundle(folder, io.BytesIO())


@pytest.mark.parametrize(
    "attributes",
    [
        {"name": "/configs/train.json"},
        {"name": "configs/../../out.json"},
        {"name": ""},
        {"type": tarfile.SYMTYPE, "linkname": "/etc"},
        {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.FIFOTYPE},
        {"type": tarfile.CHRTYPE},
        {"size": 2**40},
    ],
    ids=lambda attributes: next(iter(attributes)) + str(next(iter(attributes.values())))[:9],
)
def test_an_archive_that_holds_anything_else_is_refused(attributes, tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    with pytest.raises(InputError):
        unpack_bundle(archive(**attributes), folder)
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink() or path.is_file()]


def test_a_name_that_comes_twice_is_refused(tmp_path):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as written:
        for _ in range(2):
            written.addfile(tarfile.TarInfo("a"), io.BytesIO())
    target.seek(0)
    with pytest.raises(InputError):
        unpack_bundle(target, tmp_path)


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_archive, "MOST_FILES", 1)
    packed = io.BytesIO()
    pack_bundle(bundle(tmp_path / "bundle"), packed)
    packed.seek(0)
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="at most"):
        unpack_bundle(packed, tmp_path / "there")


@pytest.mark.parametrize("noise", [b"", b"x" * 2000, bytes(1024), b"\xff" * 512])
def test_noise_is_refused_or_empty(noise, tmp_path):
    with suppress(InputError):
        unpack_bundle(io.BytesIO(noise), tmp_path)
    assert list(tmp_path.iterdir()) == []
