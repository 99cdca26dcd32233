"""Takes out of the sandbox what its program wrote: plain files alone, of limited size, and never through a link.

Owns the walk: the program inside may change a folder while it is read, so each step holds the folder it looked at.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from experiments.errors import SandboxError
from experiments.files import write_whole_with

_PIECE = 2**20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def take(folder: Path, name: str, target: Path, most_bytes: int) -> None:
    """Copy the file ``name`` (with ``/``) of ``folder`` to ``target``; SandboxError if it is none, or too large."""
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with _opened(folder, name) as source:
        write_whole_with(target, lambda file: [file.write(piece) for piece in _pieces(source, name, most_bytes)])


def read_plain(folder: Path, name: str, most_bytes: int) -> bytes:
    """The bytes of the file ``name`` (with ``/``) of ``folder``; SandboxError if it is none, or too large."""
    if not _is_below(name):
        raise SandboxError("a name of a file leads below its folder")
    with _opened(folder, name) as source:
        return b"".join(_pieces(source, name, most_bytes))


def _is_below(name: str) -> bool:
    return not {"", ".", ".."} & set(name.split("/")) and "\0" not in name


def list_plain(folder: Path, most: int) -> list[str]:
    """Names, from ``folder`` on, of the plain files in it and below: ``most`` of them, no link and none hidden."""
    names: list[str] = []
    for place, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        inner = os.path.relpath(place, folder)
        folders[:] = sorted(each for each in folders if not each.startswith(".")) if inner.count("/") < _DEEPEST else []
        shown = (name for name in sorted(files) if not name.startswith(".") and _is_plain(name, descriptor))
        names += [name if inner == "." else f"{inner}/{name}" for name in shown]
        if len(names) >= most:
            break
    return names[:most]


_DEEPEST = 20
"""Folders in folders that are looked into."""


def _is_plain(name: str, folder: int) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[int]:
    *parents, last = name.split("/")
    held = [os.open(folder, _FOLDER)]
    try:
        for parent in parents:
            held.append(os.open(parent, _FOLDER, dir_fd=held[-1]))
        held.append(os.open(last, _FILE, dir_fd=held[-1]))
        status = os.fstat(held[-1])
        if not stat.S_ISREG(status.st_mode) or status.st_size > 2 * (status.st_blocks * 512 + _PIECE):
            raise SandboxError(f"{name} of the training is no plain file")
        yield held[-1]
    except OSError as error:
        raise SandboxError(f"{name} of the training cannot be taken out ({error.strerror})") from None
    finally:
        for descriptor in reversed(held):
            os.close(descriptor)


def _pieces(source: int, name: str, most_bytes: int) -> Iterator[bytes]:
    read = 0
    while piece := os.read(source, _PIECE):
        read += len(piece)
        if read > most_bytes:
            raise SandboxError(f"{name} of the training is larger than {most_bytes} bytes")
        yield piece


def empty(folder: Path) -> None:
    """Take away what an earlier attempt left; SandboxError where it cannot be taken away."""
    try:
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except (OSError, RecursionError):
        raise SandboxError(f"what an earlier attempt left in {folder} cannot be taken away: delete it") from None


def measure(folder: Path, most_files: int = 10**9) -> tuple[int, int]:
    """Bytes on disk and entries under a folder, links not followed; what vanishes meanwhile counts for nothing.

    It ends early beyond ``most_files`` entries. SandboxError for a folder that cannot be looked into, or lies too deep:
    something could be hidden in it.
    """
    size = count = 0
    try:
        for _path, folders, names, descriptor in os.fwalk(folder, onerror=_hidden, follow_symlinks=False):
            count += len(folders) + len(names)
            size += sum(_bytes_of(name, descriptor) for name in names)
            if count > most_files:
                break
    except RecursionError:
        raise SandboxError("the training hid a folder from its measurement (too deep)") from None
    return size, count


def _hidden(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise SandboxError(f"the training hid a folder from its measurement ({error.strerror})") from None


def _bytes_of(name: str, folder: int) -> int:
    """On disk; 0 for what has vanished since it was listed."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0


def measure_deleted(pids: Iterable[int]) -> int:
    """Bytes on disk of files that these processes hold open and that no folder names any more."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids:
        with suppress(OSError):
            for path in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    status = path.stat()
                    if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                        sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())
