"""``erios demo``: the demonstration on a generated hospital, with a line of explanation per step."""

from __future__ import annotations

import signal
import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erios.cli.output import AsJson, print_table, screen, write_json
from erios.demo.accounts import account, draw_passwords, scientist
from erios.demo.services import Addresses, served
from erios.demo.size import FAST, FULL, claim
from erios.demo.steps import Demo, Step
from erios.settings import load_settings
from erios.workflows.tracking_access import give_password

if TYPE_CHECKING:
    from rich.console import Console


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def demo(
    fast: Annotated[bool, typer.Option("--fast", help="A small hospital and short trainings.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew; what was made is deleted.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Then serve portal and records until Ctrl-C.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Play the demonstration on a generated hospital: load, study, decision, extract, models; then look at it.

    ERIOS_HOME must name a folder of its own. Interrupted, the same command goes on where it stopped.

    Example: ERIOS_HOME=var/demo erios demo --fast
    """
    settings, scale = load_settings(), FAST if fast else FULL
    is_resumed = claim(settings.home, scale, restart=restart)
    console = screen()
    begins = "Going on with" if is_resumed else "Beginning"
    console.print(f"{begins} the {scale.name} demonstration in {settings.home}", style="bold")
    console.print("Everything in it is invented. Ctrl-C stops; the same command goes on.", style="dim")
    steps = Demo(settings, scale).steps()
    results = [_play(console, step, f"{number:>2}/{len(steps)}") for number, step in enumerate(steps, 1)]
    if as_json:
        write_json(results)
    if serve:
        _serve(console)
    else:
        console.print()
        console.print("Without --no-serve (make: without NO_SERVE=1) the same command opens the portal and MLflow.")
        console.print("On the command line, docs/tutorials go on with what was made; first:")
        console.print(f"  export ERIOS_HOME={settings.home}")


def _play(console: Console, step: Step, number: str) -> dict[str, Any]:
    """One step: its line, what goes on in it, what came of it and how long it took."""
    console.print()
    console.print(f"{number}  {step.name}", style="bold cyan", end="")
    console.print(f"  {step.why}")
    begun = time.monotonic()
    with console.status("working", spinner="line") if console.is_terminal else nullcontext():
        result = step.act(lambda line: console.print(f"       {line}", style="dim"))
    seconds = time.monotonic() - begun
    console.print("     ✓ ", style="green", end="")
    console.print(f"{result}  ({seconds:.1f} s)")
    return {"step": step.name, "result": result, "seconds": round(seconds, 1)}


def _serve(console: Console) -> None:
    """Accounts with new passwords, addresses, and both servers until Ctrl-C."""
    records = give_password(scientist())
    with served() as addresses:
        _show(console, addresses, draw_passwords(), scientist().username, records)
        with suppress(KeyboardInterrupt):
            signal.pause()
    console.print("Both servers have ended; what was made stays. The same command serves it again.")


def _show(console: Console, addresses: Addresses, passwords: dict[str, str], person: str, records: str) -> None:
    rows = [(login, account(login).title or "Administration", password) for login, password in passwords.items()]
    console.print()
    print_table("Accounts of the portal, for this time only", ("login", "place", "password"), rows, numbers=0)
    lines = (
        ("the register that citizens read, no login", f"{addresses.portal}/"),
        ("the portal", f"{addresses.portal}/accueil/"),
        ("Data Docs of each release (as donnees-1)", f"{addresses.portal}/versions/"),
        (f"MLflow, as {person} with {records}", addresses.tracking),
    )
    width = max(len(text) for text, _ in lines)
    for text, address in lines:
        console.print(f"{text:<{width}}  {address}")
    console.print("\nCtrl-C ends both servers.", style="dim")
