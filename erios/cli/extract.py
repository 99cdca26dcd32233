"""``erios extract``: the datasets of studies, by the person whose login the system knows; the portal's actions."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from erios.accounts.models import User
from erios.accounts.sealed_rows import check_study
from erios.cli.output import AsJson, Progress, answer, command_group, print_facts, print_rows, write_json
from erios.cli.runs import report_stopped
from erios.errors import InputError, UsageError
from erios.governance.extract import Action, State, next_actors, reads_figures
from erios.studies import extract_actions
from erios.studies.extract_actions import move_extract, request_extract
from erios.studies.extract_selectors import extract_actions_for, extract_facts, specification_of, visible_extracts
from erios.studies.models import Extract
from erios.studies.selectors import visible_studies
from erios.workflows.database import open_database, operator
from erios.workflows.extract_build import build_extract
from erios.workflows.extract_release import destroy_extract, release_extract, verify_extract

app = command_group("Datasets that leave the warehouse for a study. Everything is on record under your login.")

Number = Annotated[str, typer.Argument(metavar="EXTRACT", help="The extract's number, such as E2031-007-X01.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the record.")]
Root = Annotated[
    str, typer.Option("--root", help="The root that `erios extract show` prints: you act on what you read.")
]
Until = Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="Last day on which it may be read.")]


@app.command("list")
def list_extracts(as_json: AsJson = False) -> None:
    """Extracts that you may see, newest first.

    Example: erios extract list
    """
    rows = [{"extract": x.number, "study": x.study.number, "state": x.state} for x in visible_extracts(_by())]
    print_rows("Extracts", ("extract", "study", "state"), rows, as_json=as_json)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """One extract: its state, what it waits for, its risk, its root, and what you may do.

    Example: erios extract show E2031-007-X01
    """
    by = _by()
    details = _summary(_find(by, number), by)
    if as_json:
        write_json(details)
        return
    print_facts(details)


@app.command()
def request(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The study's number.")],
    specification: Annotated[
        Path | None, typer.Option("--specification", help="A specification (JSON); without one, what was approved.")
    ] = None,
) -> None:
    """Ask for an extract of an active study, as somebody on its team.

    Example: erios extract request E2031-007
    """
    by = _by()
    approved_study = visible_studies(by).filter(number=study).first()
    if approved_study is None:
        raise UsageError(f"no study '{study}' that you may see; `erios study list` shows them")
    extract = request_extract(study=approved_study, by=by, content=_read(specification) if specification else None)
    _print_state(extract)
    _print_specification(extract)


@app.command()
def specify(
    number: Number, specification: Annotated[Path, typer.Argument(help="The specification (JSON; docs/extracts.md).")]
) -> None:
    """Change what you asked for, until the DPO has approved it.

    Example: erios extract specify E2031-007-X01 specification.json
    """
    _act(number, extract_actions.specify, content=_read(specification))


@app.command("apply")
def apply_proposal(
    number: Number,
    proposal: Annotated[int, typer.Argument(help="Which proposal of `erios extract show`, from 1.")] = 1,
) -> None:
    """Apply a proposal of the risk report: it becomes the next version of your specification, for the DPO to approve.

    Example: erios extract apply E2031-007-X01 1
    """
    _print_specification(_act(number, extract_actions.apply_proposal, number=proposal))


@app.command()
def build(number: Number) -> None:
    """Build the extract of the latest release and assess its risk, as a data manager.

    Example: erios extract build E2031-007-X01
    """
    with Progress() as progress:
        _act(number, build_extract, progress=progress.update)


@app.command()
def approve(number: Number) -> None:
    """Approve the specification, as the DPO; then a data manager builds.

    Example: erios extract approve E2031-007-X01
    """
    _move(number, "approve the specification")


@app.command("ask-changes")
def ask_changes(number: Number, reason: Reason = "") -> None:
    """Send the extract back to whoever asked, as the DPO.

    Example: erios extract ask-changes E2031-007-X01 --reason "month instead of day"
    """
    _act(number, extract_actions.ask_changes, reason=reason)


@app.command()
def clear(number: Number, root: Root, until: Until) -> None:
    """Clear exactly these bytes until a day, as the DPO.

    Example: erios extract clear E2031-007-X01 --root 5f0c… --until 2032-06-30
    """
    _act(number, extract_actions.clear, root=root, expires=until.date())


@app.command("ask-exception")
def ask_exception(number: Number, root: Root, until: Until, reason: Reason = "") -> None:
    """Ask the controller's delegate to agree to a clearance in spite of the risk, as the DPO.

    Example: erios extract ask-exception E2031-007-X01 --root 5f0c… --until 2031-12-31 --reason "rare disease"
    """
    _act(number, extract_actions.ask_exception, root=root, expires=until.date(), reason=reason)


@app.command("grant-exception")
def grant_exception(number: Number, root: Root, reason: Reason = "") -> None:
    """Agree to the exception, as the controller's delegate.

    Example: erios extract grant-exception E2031-007-X01 --root 5f0c… --reason "no other way, kept short"
    """
    _act(number, extract_actions.grant_exception, root=root, reason=reason)


@app.command()
def release(number: Number, root: Root) -> None:
    """Copy the cleared files to the study, verify them there, and let its team open them; another data manager.

    Example: erios extract release E2031-007-X01 --root 5f0c…
    """
    _act(number, release_extract, root=root)


@app.command()
def verify(number: Number, as_json: AsJson = False) -> None:
    """Check signature, root and every byte of an extract's files.

    Example: erios extract verify E2031-007-X01
    """
    manifest = verify_extract(_find(_by(), number))
    if as_json:
        write_json({"extract": number, "root": manifest.root, "files": len(manifest.files)})
        return
    answer().print(f"{number}: {len(manifest.files)} files as signed; root {manifest.root}")


@app.command()
def revoke(number: Number, reason: Reason = "") -> None:
    """Take a clearance back, as the DPO or the controller's delegate.

    Example: erios extract revoke E2031-007-X01 --reason "the study was suspended"
    """
    _move(number, "revoke", reason)


@app.command()
def refuse(number: Number, reason: Reason = "") -> None:
    """Refuse the extract, as the DPO.

    Example: erios extract refuse E2031-007-X01 --reason "too few patients"
    """
    _move(number, "refuse", reason)


@app.command()
def abandon(number: Number) -> None:
    """Give up what you asked for.

    Example: erios extract abandon E2031-007-X01
    """
    _move(number, "abandon")


@app.command()
def quarantine(number: Number, reason: Reason = "") -> None:
    """Set an extract aside at once, as a data manager or the DPO: nobody opens it any more.

    Example: erios extract quarantine E2031-007-X01 --reason "a file was found elsewhere"
    """
    _move(number, "quarantine", reason)


@app.command()
def destroy(number: Number) -> None:
    """Delete every file of an extract that is over, as a data manager; what is gone stays on record.

    Example: erios extract destroy E2031-007-X01
    """
    _act(number, destroy_extract)


def _by() -> User:
    open_database()
    return operator()


def _find(by: User, number: str) -> Extract:
    extract = visible_extracts(by).filter(number=number).first()
    if extract is None:
        raise UsageError(f"no extract '{number}' that you may see; `erios extract list` shows them")
    check_study(extract.study)
    return extract


def _act(number: str, action: Callable[..., Extract], /, **details: Any) -> Extract:
    """Do an action on an extract as the person at the keyboard, and print what has become of it."""
    by = _by()
    extract = action(extract=_find(by, number), by=by, **details)
    _print_state(extract)
    return extract


def _move(number: str, action: str, reason: str = "") -> None:
    _act(number, move_extract, action=Action(action), reason=reason)
    report_stopped()


def _summary(extract: Extract, by: User) -> dict[str, Any]:
    exact = reads_figures(extract_facts(extract), by.person)
    return {
        "extract": extract.number,
        "study": extract.study.number,
        "state": extract.state,
        "waits_for": list(next_actors(State(extract.state))),
        "root": extract.root,
        "release": extract.release,
        "rows": dict(extract.rows) if exact else {},
        "smallest_class": extract.report["risk"]["k"] if extract.report and exact else None,
        "reidentified": _percent(extract_facts(extract).reidentified) if exact else None,
        "proposals": [
            f"{place}. {remedy['technique']}: {_measures(remedy, exact=exact)}"
            for place, remedy in enumerate(extract.report.get("remedies", []), 1)
        ],
        "expires": extract.expires.isoformat() if extract.expires else None,
        "problem": extract.problem,
        "you_may": [str(action) for action in extract_actions_for(extract, by)],
    }


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.1f} %"


def _measures(remedy: dict[str, Any], *, exact: bool) -> str:
    """Every measure of a proposal in a line; whether it suffices, for those who read no exact figures."""
    if not exact:
        return "suffices" if remedy["enough"] else "does not suffice"
    record = remedy["trajectory"] or {"share": None}
    joins = ", ".join(
        f"{_percent(join['share'])} ({_percent(join['low'])} to {_percent(join['high'])}) of {join['other']}"
        for join in remedy.get("joins") or ()
    )
    auc = (
        f", AUC {remedy['auc']:.3f} (finest {remedy['auc_finest']:.3f})"
        if remedy["auc"] and remedy["auc_finest"]
        else ""
    )
    return (
        f"{'suffices' if remedy['enough'] else 'does not suffice'}; k {remedy['risk']['k']}, found by whole records"
        f" {_percent(record['share'])}, by 1 to 10 facts: {_facts(remedy, 'random')}, by the rarest ones:"
        f" {_facts(remedy, 'worst')}, by joining: {joins or 'not measured'}; {_percent(remedy['rows_kept'])} of the"
        f" rows kept{auc}"
    )


def _facts(remedy: dict[str, Any], attacker: str) -> str:
    """What an attacker finds, from the fewest facts known on."""
    return " ".join(str(_percent(one["reidentified"])) for one in remedy["attacks"] if one["attacker"] == attacker)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{path} is not JSON; docs/extracts.md shows the form of a specification") from None


def _print_specification(extract: Extract) -> None:
    specification = specification_of(extract)
    columns = "; ".join(f"{table.name}: {', '.join(table.names())}" for table in specification.tables)
    answer().print(f"It asks for {columns}. Dates: {specification.dates.value}.")


def _print_state(extract: Extract) -> None:
    waits = ", ".join(next_actors(State(extract.state)))
    root = f" Root: {extract.root}." if extract.root else ""
    answer().print(f"{extract.number} is {extract.state}.{root}" + (f" It waits for: {waits}." if waits else ""))
