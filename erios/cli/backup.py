"""``erios backup``: all that must survive the machine, sealed under a passphrase; and the way back."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from erios.cli.output import AsJson, answer, command_group, print_table, write_json
from erios.errors import InputError, UsageError
from erios.settings import load_settings
from erios.workflows.backup import ORDER, Manifest
from erios.workflows.backup import create as create_backup
from erios.workflows.backup import restore as restore_backup
from erios.workflows.backup import verify as verify_backup

app = command_group(
    "Back up the zones and the governance database, sealed under a passphrase, and restore them elsewhere."
)

Source = Annotated[Path, typer.Argument(metavar="SOURCE", help="The folder of a backup.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="A file with the passphrase, readable by you alone; else it is asked for."),
]


@app.command()
def create(
    destination: Annotated[Path, typer.Argument(metavar="DESTINATION", help="A new folder, on another disk.")],
    passphrase_file: PassphraseFile = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="ZONE", help="A zone to leave out; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Back everything up into a new folder. Loads wait meanwhile; portal and trainings go on.

    Keep the passphrase elsewhere: without it nobody opens the backup, you neither.

    Example: erios backup create /mnt/backup/2026-11-22 --passphrase-file /root/backup-passphrase
    """
    if unknown := sorted(set(without or ()) - set(ORDER)):
        raise UsageError(f"there is no zone {unknown[0]}: zones are {', '.join(ORDER)}")
    zones = [zone for zone in ORDER if zone not in (without or ())]
    manifest = create_backup(destination.absolute(), _passphrase(passphrase_file, again=True), load_settings(), zones)
    _tell(manifest, f"Backup in {destination}", as_json)


@app.command()
def verify(source: Source, passphrase_file: PassphraseFile = None, as_json: AsJson = False) -> None:
    """Open every byte of a backup and check it; nothing is written.

    Example: erios backup verify /mnt/backup/2026-11-22
    """
    _tell(verify_backup(source, _passphrase(passphrase_file)), f"{source} is whole, byte for byte", as_json)


@app.command()
def restore(source: Source, passphrase_file: PassphraseFile = None, as_json: AsJson = False) -> None:
    """Restore a backup into the empty zones of this installation, and prove that it holds.

    Example: ERIOS_HOME=/srv/erios erios backup restore /mnt/backup/2026-11-22
    """
    proved = restore_backup(source, _passphrase(passphrase_file), load_settings())
    if as_json:
        write_json({"restored": str(source), "proved": proved})
        return
    for line in proved:
        answer().print(f"✓ {line}")
    answer().print(f"Restored {source} into {load_settings().home}.")


def _passphrase(file: Path | None, *, again: bool = False) -> str:
    """From the file, or asked for; never from the command line, which others on the machine can read."""
    if file is None and not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the passphrase on: give --passphrase-file")
    if file is None:
        asked: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=again, err=True)
        return asked
    try:
        if file.stat().st_mode & 0o077:
            raise UsageError(f"{file} may be read by others: chmod 600 {file}")
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"cannot read the passphrase in {file}: {error.strerror}") from None


def _tell(manifest: Manifest, title: str, as_json: bool) -> None:
    if as_json:
        write_json(asdict(manifest))
        return
    rows = [(part.zone, f"{part.files:,}", f"{part.bytes / 1e6:,.1f}") for part in manifest.parts]
    print_table("", ("zone", "files", "MB"), rows, numbers=2)
    answer().print(f"{title}; made {manifest.created}.")
