"""A command that the broker runs for somebody.

Called as ``python -m erios.cli.brokered CONNECTION FOLDER ATTACHED NAME ARGUMENT…`` by the broker alone. Owns how it
begins: for whom it works, and what came with it. ``CONNECTION`` and ``ATTACHED`` are numbers of open files.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from erios.broker.bundle_archive import unpack_bundle
from erios.broker.commands import WITH_BUNDLE, WITH_CREDENTIALS, check_arguments
from erios.cli.exits import run
from erios.operator_login import work_for


def main(given: Sequence[str]) -> int:
    """Run the command; its exit code."""
    connection, folder, attached, name, *arguments = given
    with socket.socket(fileno=os.dup(int(connection))) as peer:
        work_for(peer)
    return run(partial(_begin, arguments, Path(folder), attached, name))


def _begin(arguments: list[str], folder: Path, attached: str, name: str, **_names: str) -> None:
    command = check_arguments(arguments)
    if command == WITH_CREDENTIALS:
        _write_password(int(attached))
        return
    if command == WITH_BUNDLE and name:
        arguments[arguments.index(name, 1)] = str(_unpack(folder / name, int(attached)))
    _command_line()(args=arguments, prog_name="erios")


def _unpack(folder: Path, attached: int) -> Path:
    """The bundle's files in a folder of its name."""
    folder.mkdir()
    with os.fdopen(attached, "rb") as source:
        unpack_bundle(source, folder)
    return folder


def _write_password(attached: int) -> None:
    from erios.database import set_up_django

    set_up_django()
    from erios.workflows.tracking_access import new_credentials

    with os.fdopen(attached, "wb") as target:
        target.write(new_credentials())


def _command_line() -> Any:
    from typer.main import get_command

    from erios.cli import app

    return get_command(app)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
