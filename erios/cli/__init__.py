"""The command line: a face. It parses, asks the floors below, prints, and maps errors to exit codes.

Owns the table of command groups and ``main``. Group modules are imported when one of their commands runs or
its own help is asked for, and heavy libraries inside the command functions: ``erios --help`` must answer in
under half a second.
"""

from __future__ import annotations

import importlib
import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from erios.database import set_up_django

GROUPS = {
    "backup": "Back everything up under a passphrase; verify it; restore.",
    "doctor": "Say what is wrong on this machine, and what mends it.",
    "demo": "Play the demonstration on a generated hospital, and serve it.",
    "synth": "Generate a demonstration hospital in FHIR R4.",
    "keys": "Make and list the keys of the pseudonyms.",
    "etl": "Load FHIR and DICOM; look at what was refused.",
    "imaging": "Score the de-identification of images.",
    "codes": "Load code lists; see and adopt the hospital's own codes.",
    "validate": "Run the validation suites again on a release.",
    "warehouse": "Look at the tables and releases of the warehouse.",
    "objections": "Keep patients who object to research out of the warehouse.",
    "reidentify": "Find the patient behind a pseudonym: two people, on record.",
    "study": "List, submit, review and decide studies, as in the portal.",
    "extract": "Ask for, build, clear, release and verify a study's data.",
    "airlock": "Check what is to leave a study: tables, figures, models, texts.",
    "train": "Train a MONAI bundle on a released extract, on any cluster.",
    "runs": "List, show, compare, stop and resume trainings.",
    "workspace": "Work on a released extract in JupyterLab, behind a wall.",
    "packages": "Fill the mirror from which workspaces install.",
    "tracking": "Serve the records of runs to their teams.",
    "broker": "Run commands for people whose accounts read no zone.",
    "portal": "Serve the portal of studies; make its first administrator.",
    "worker": "Do the portal's background work.",
    "audit": "Verify and export the audit chain.",
    "views": "Check and run the SQL-on-FHIR views that make the tables.",
}
"""Command or group → its line in ``erios --help``; ``erios.cli.<name>`` exposes it as ``app``."""

WITH_DATABASE = frozenset(
    {"demo", "extract", "packages", "portal", "reidentify", "runs", "study", "tracking", "train", "worker", "workspace"}
)
"""Groups that work on the governance database: their modules import Django's models, so Django is set up before."""

COMPLETION = "_ERIOS_COMPLETE"
"""Set by a shell that asks how a line may go on."""


class LazyGroup(TyperGroup):
    """A group that lists its commands from ``GROUPS`` and imports one only when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, line in GROUPS.items():
            self.commands[name] = TyperGroup(name=name, help=line)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The entry in the list; the real command where a shell wants to complete what comes after it."""
        if COMPLETION in os.environ and cmd_name in GROUPS:
            return load_group(cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the real command in the place of its entry in the list, then resolve as usual."""
        if args and args[0] in GROUPS:
            self.commands[args[0]] = load_group(args[0])
        return super().resolve_command(ctx, args)


def load_group(name: str) -> Any:
    """The command or group ``erios NAME``, with its module imported, after Django where it needs the database."""
    if name in WITH_DATABASE:
        set_up_django()
    module = importlib.import_module(f"erios.cli.{name}")
    command = get_command(module.app)
    command.name = name
    command.help = command.help or GROUPS[name]
    return command


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"erios {version('erios')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """From a hospital's FHIR records to a validated, pseudonymised research warehouse.

    Start with `erios keys init`, then `erios etl load PATH`. Settings are in conf/erios.toml and in
    ERIOS_* variables; the data are under ERIOS_HOME (default: var).
    """


def main() -> None:
    """Run the command line and exit: 0, or the code of the error's family (``erios.errors``)."""
    from erios.cli.exits import run
    from erios.cli.forwarding import is_for_broker, pass_to_broker

    raise SystemExit(run(pass_to_broker if is_for_broker() else get_command(app)))
