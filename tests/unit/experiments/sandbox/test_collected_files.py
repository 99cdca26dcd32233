"""What comes out of a sandbox is a plain file of that folder, whatever the program inside put there."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from experiments.errors import SandboxError
from experiments.sandbox.collected_files import empty, list_plain, measure, read_plain, take


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "keyring").write_text("secret")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "roc.png").write_text("secret")
    (tmp_path / "output").mkdir()
    return tmp_path / "output"


def test_a_plain_file_is_copied_whole(folder: Path, tmp_path: Path) -> None:
    (folder / "pictures").mkdir()
    (folder / "pictures" / "roc.png").write_bytes(b"x" * 3_000_000)

    take(folder, "pictures/roc.png", tmp_path / "kept" / "pictures" / "roc.png", 3_000_000)

    assert (tmp_path / "kept" / "pictures" / "roc.png").read_bytes() == b"x" * 3_000_000
    assert [path.name for path in (tmp_path / "kept" / "pictures").iterdir()] == ["roc.png"]


def test_a_link_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").symlink_to(tmp_path / "keyring")
    (folder / "pictures").symlink_to(tmp_path / "secrets")

    for name in ("config.json", "pictures/roc.png"):
        with pytest.raises(SandboxError, match="cannot be taken out"):
            take(folder, name, tmp_path / "kept", 100)

    assert not (tmp_path / "kept").exists()


def test_what_is_no_file_is_refused_and_not_waited_for(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        for name in ("pipe", "folder", "socket", "missing"):
            with pytest.raises(SandboxError):
                take(folder, name, tmp_path / "kept", 100)


def test_too_large_a_file_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    (folder / "model.pt2").write_bytes(b"x" * 101)

    with pytest.raises(SandboxError, match="larger than 100 bytes"):
        take(folder, "model.pt2", tmp_path / "kept" / "model.pt2", 100)

    assert list((tmp_path / "kept").glob("*")) == []


def test_an_endless_hole_is_no_file_to_copy(folder: Path, tmp_path: Path) -> None:
    with (folder / "model.pt2").open("wb") as file:
        file.truncate(10**12)

    with pytest.raises(SandboxError, match="no plain file"):
        take(folder, "model.pt2", tmp_path / "kept", 2**50)


def test_what_an_earlier_attempt_left_goes_and_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "c").write_text("x")
    (folder / "out").symlink_to(tmp_path / "secrets")

    empty(folder)

    assert list(folder.iterdir()) == []
    assert (tmp_path / "secrets" / "roc.png").read_text() == "secret"


def test_what_lies_there_is_measured_on_disk_and_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "much").write_bytes(b"x" * 100_000)
    (folder / "out").symlink_to(tmp_path)

    size, count = measure(folder)

    assert 100_000 <= size < 200_000
    assert count == 3


def test_what_comes_and_goes_hides_nothing_that_stays(folder: Path) -> None:
    (folder / "much").write_bytes(b"x" * 1_000_000)
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for number in range(20):
                (folder / f"{number}").touch()
            for number in range(20):
                (folder / f"{number}").unlink()

    busy = threading.Thread(target=come_and_go)
    busy.start()
    try:
        assert min(measure(folder)[0] for _look in range(200)) >= 1_000_000
    finally:
        stop.set()
        busy.join()


def test_plain_files_are_listed_in_order_and_read(tmp_path: Path) -> None:
    for name in ("b.csv", "a/z.csv", "a/.hidden", ".ipynb_checkpoints/b.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link.csv").symlink_to("/etc/passwd")
    (tmp_path / "linked").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")

    assert list_plain(tmp_path, 10) == ["b.csv", "a/z.csv"]
    assert list_plain(tmp_path, 1) == ["b.csv"]
    assert read_plain(tmp_path, "a/z.csv", 100) == b"a/z.csv"


def test_folders_without_end_are_listed_to_a_depth(tmp_path: Path) -> None:
    place = tmp_path
    for _ in range(60):
        place = place / "d"
        place.mkdir()
        (place / "f").touch()
    assert 15 < len(list_plain(tmp_path, 100)) < 30


@pytest.mark.parametrize(
    "name", ["../secret", "a/../../secret", "/etc/passwd", "link", "to/secret", ".", "", "a//b", "pipe", "none", "x\0"]
)
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "to").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    with pytest.raises(SandboxError):
        read_plain(folder, name, 100)
