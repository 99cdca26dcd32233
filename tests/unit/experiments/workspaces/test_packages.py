"""Wheels for the mirror: a good one is taken, and nothing that runs by itself, or is not what it says."""

from __future__ import annotations

import base64
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from experiments.errors import DataError
from experiments.workspaces.packages import read_wheel

METADATA = "Metadata-Version: 2.1\nName: good\nVersion: 1.0\nLicense-Expression: MIT\n"


def wheel(
    folder: Path, extra: dict[str, bytes] | None = None, *, metadata: str = METADATA, changed: str = "", lost: str = ""
) -> Path:
    """A wheel with its list; ``changed``: a file with other bytes than the list says, ``lost``: one not in the list."""
    path = folder / "good-1.0-py3-none-any.whl"
    files = {"good/__init__.py": b"a = 1\n", "good-1.0.dist-info/METADATA": metadata.encode(), **(extra or {})}
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(sha256(content).digest()).rstrip(b'=').decode()},{len(content)}"
        for name, content in files.items()
        if name != lost
    ]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content + (b"#" if name == changed else b""))
        archive.writestr("good-1.0.dist-info/RECORD", "\n".join([*lines, "good-1.0.dist-info/RECORD,,"]))
    return path


def test_a_good_wheel_says_what_it_is(tmp_path: Path) -> None:
    path = wheel(tmp_path)
    read = read_wheel(path)
    assert (read.name, read.version, read.licence, read.native) == ("good", "1.0", "MIT", ())
    assert read.digest == sha256(path.read_bytes()).hexdigest()


def test_machine_code_is_found_whatever_its_name(tmp_path: Path) -> None:
    extra = {"good/a.so": b"x", "good/data.txt": b"\x7fELF...", "good/lib.so.1.2": b"\x7fELF"}
    assert read_wheel(wheel(tmp_path, extra)).native == tuple(extra)


@pytest.mark.parametrize(
    "name",
    [
        *("evil.pth", "good/evil.pth", "sitecustomize.py", "usercustomize.py", "good/weights.pkl", "good/a.joblib"),
        *("../evil.py", "/etc/evil.py", "good/../../evil.py", "good\\evil.py", "good/model.pt"),
    ],
)
def test_what_runs_by_itself_or_lies_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError):
        read_wheel(wheel(tmp_path, {name: b"x"}))


def test_a_wheel_that_is_not_what_its_list_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not what"):
        read_wheel(wheel(tmp_path, changed="good/__init__.py"))
    with pytest.raises(DataError, match="does not list"):
        read_wheel(wheel(tmp_path, lost="good/__init__.py"))


def test_links_bombs_and_other_files_are_refused(tmp_path: Path) -> None:
    path = wheel(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("good/link.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="link"):
        read_wheel(path)
    for name, content in (("good-1.0.tar.gz", b""), ("good.whl", b""), ("good-1.0-py3-none-any.whl", b"no zip")):
        other = tmp_path / name
        other.write_bytes(content)
        with pytest.raises(DataError):
            read_wheel(other)
    with pytest.raises(DataError):
        read_wheel(tmp_path / "nothing-1.0-py3-none-any.whl")
