"""`erios etl`: load exports, look at what was refused, load it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from erios.cli.exits import to_error
from erios.cli.output import AsJson, Progress, answer, command_group, print_table, write_json
from erios.errors import InputError
from erios.settings import load_settings
from erios.workflows.load import delete_resources, load_export, rebuild_release, refresh_release, replay_quarantine
from erios.workflows.maintenance import erase_patient
from erios.workflows.nightly import watch_folder
from erios.workflows.quarantine import refused_row, refused_rows
from erios.workflows.stale_extracts import describe_stale, follow_objections
from etl.erasure import Erasure
from etl.ingest.quarantine import explain, summary
from etl.merge.reconciliation import OUTCOMES
from etl.pipeline import LoadReport

app = command_group("Load FHIR and DICOM into the warehouse; look at what was refused.")
quarantine = command_group("What was refused, why, and loading it again.")
app.add_typer(quarantine, name="quarantine")

Clear = Annotated[bool, typer.Option("--clear-ids", help="Show the ids as received; this is put on record.")]
BatchOption = Annotated[str | None, typer.Option("--batch", help="Only this batch.")]
_COLUMNS = ("in", *OUTCOMES)


@app.command()
def load(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders, zips: NDJSON, Bundles, a Bulk export, DICOM.")],
    as_json: AsJson = False,
) -> None:
    """Load an export, validate it and publish a release; every resource is accounted for.

    Example: erios etl load /exports/2026-11-22
    """
    _run(as_json, load_export, paths, load_settings())


@app.command()
def refresh(as_json: AsJson = False) -> None:
    """Publish a release that follows the objection register of today, without a new export.

    Example: erios etl refresh
    """
    _run(as_json, refresh_release, load_settings())


@app.command()
def delete(
    resources: Annotated[list[str], typer.Argument(help="Resources as TYPE/ID.")],
    as_json: AsJson = False,
) -> None:
    """Delete resources: they leave the next release, and live again only with a newer version.

    Example: erios etl delete Observation/42 Encounter/7
    """
    _run(as_json, delete_resources, resources, load_settings())


@app.command()
def rebuild(
    table: Annotated[list[str] | None, typer.Option("--table", help="Only this table; may be given again.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compute the tables anew from the landing zone: after a changed view, privacy rule or key.

    Readers keep the old release until the new one is validated and published.

    Example: erios etl rebuild --table encounter
    """
    _run(as_json, rebuild_release, load_settings(), table or ())


@app.command()
def erase(
    patient: Annotated[list[str], typer.Option("--patient", help="ID, Patient/ID or SYSTEM|VALUE; or - to ask.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays in the audit chain.")],
    landing: Annotated[bool, typer.Option("--landing", help="Blank the records in the landing zone too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase one patient from every file of every kept release, and prove it by a scan whose report is kept.

    The patient is entered in the objection register, so that no later export brings the rows back. With
    `--patient -` the id is asked for, and shows in no list of processes.

    Example: erios etl erase --patient - --reason "article 17 request of 3 March" --landing
    """
    names = [typer.prompt("Patient", err=True) if name == "-" else name for name in patient]
    if not yes:
        typer.confirm("Erase this patient for good, from every kept release?", abort=True, err=True)
    erasure, report = erase_patient(load_settings(), names, reason, landing=landing)
    _show_erasure(erasure, report, as_json)


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="The folder where exports arrive, one folder or file each.")],
    once: Annotated[bool, typer.Option("--once", help="Load what is complete, then end: for cron or systemd.")] = False,
    every: Annotated[int, typer.Option("--every", min=1, help="Seconds between two looks.")] = 60,
    quiet: Annotated[int, typer.Option("--quiet", min=0, help="Seconds without a change that make it complete.")] = 300,
) -> None:
    """Load every complete export that arrives in a folder; write metrics for Prometheus after each.

    An export is complete when it holds a file `_SUCCESS`, or when nothing in it has changed for --quiet seconds. One
    that failed is tried again when it changed, or when the fault was the machine's.

    Example: erios etl watch /srv/exports --once
    """
    failed = 0
    for line, ok in watch_folder(folder, load_settings(), to_error, once=once, every=every, quiet=quiet):
        answer().print(line)
        failed += not ok
    if failed:
        raise typer.Exit(InputError.exit_code)


def _show_erasure(erasure: Erasure, report: Path, as_json: bool) -> None:
    assert erasure.before is not None
    assert erasure.after is not None
    stale = follow_objections(load_settings())
    if as_json:
        counts = {"rows": erasure.rows, "files": erasure.files, "landed": erasure.redacted.landed}
        hits = {"found_before": erasure.before.hits, "found_after": erasure.after.hits}
        write_json({**counts, **hits, "releases": erasure.releases, "report": str(report), "extracts": stale})
        return
    for line in (
        f"Erased {erasure.rows:,} rows; {erasure.files:,} files of {len(erasure.releases)} releases are written anew.",
        f"Landing: {erasure.redacted.landed:,} texts redacted. Quarantine: {erasure.redacted.quarantined:,} rows gone.",
        f"Scan: {erasure.before.hits:,} finds before, {erasure.after.hits:,} in {erasure.after.files:,} files after.",
        f"Report: {report}",
        describe_stale(stale),
    ):
        answer().print(line)


@quarantine.command("list")
def list_refused(
    batch: BatchOption = None,
    rows: Annotated[
        bool,
        typer.Option(
            "--rows",
            help="One line a refusal, tabs between: its id here, type, pseudonym of the record, reason.",
        ),
    ] = False,
    clear: Clear = False,
    as_json: AsJson = False,
) -> None:
    """What waits in quarantine, by batch, type and reason.

    Example: erios etl quarantine list --rows
    """
    settings = load_settings()
    if as_json:
        write_json([row.to_dict() for row in refused_rows(settings, batch, clear=clear)])
    elif rows:
        for row in refused_rows(settings, batch, clear=clear):
            typer.echo("\t".join((row.id, row.type or "-", row.resource_id or "-", row.reason)))
    else:
        counts = summary(settings.identity / "quarantine", batch)
        lines = [(*key, f"{count:,}") for key, count in sorted(counts.items())]
        if not lines:
            answer().print("Nothing waits in quarantine.")
            return
        print_table("Quarantine", ("batch", "type", "reason", "resources"), lines, numbers=1)


@quarantine.command()
def show(
    quarantine_id: Annotated[str, typer.Argument(help="An id that `list --rows` prints.")],
    clear: Clear = False,
    as_json: AsJson = False,
) -> None:
    """Why one resource was refused, in words; no value of the record is printed.

    Example: erios etl quarantine show b000001-0123abcd/000001:17
    """
    settings = load_settings()
    row = refused_row(settings, quarantine_id, clear=clear)
    reasons = explain(row, settings.landing)
    if as_json:
        write_json({**row.to_dict(), "reasons": reasons})
        return
    typer.echo(f"{row.id}: {row.type or 'type unreadable'} {row.resource_id or ''}".rstrip())
    for reason in reasons:
        typer.echo(f"  - {reason}")


@quarantine.command()
def replay(batch: BatchOption = None, as_json: AsJson = False) -> None:
    """Load again what waits in quarantine, after a fix of views, rules or settings.

    Example: erios etl quarantine replay --batch b000001-0123abcd
    """
    _run(as_json, replay_quarantine, load_settings(), batch)


def _run(as_json: bool, load: Callable[..., LoadReport | None], *arguments: Any) -> None:
    """Load and show its progress, then its report; None stands for a quarantine in which nothing waits."""
    with Progress() as progress:
        report = load(*arguments, progress.update)
    if report is None:
        answer().print("Nothing waits in quarantine.")
    elif as_json:
        write_json(report.to_dict())
    else:
        _show(report)


def _show(report: LoadReport) -> None:
    values = report.to_dict()
    accounts = [*sorted(values["types"].items()), ("all", values["totals"])]
    rows = [(name, *(f"{account[column]:,}" for column in _COLUMNS)) for name, account in accounts]
    print_table(f"Batch {report.batch}", ("resource type", *_COLUMNS), rows, numbers=7)
    for line in _closing_lines(report):
        answer().print(line)


def _closing_lines(report: LoadReport) -> list[str]:
    totals = report.to_dict()["totals"]
    contained = totals["contained"]
    lines = [f"{contained:,} of these resources were contained in others."] if contained else []
    if report.recovered:
        lines.append(f"A killed run was rolled back first: {', '.join(report.recovered)}.")
    if report.passed_over:
        count = len(report.passed_over)
        files = "One file was" if count == 1 else f"{count:,} files were"
        lines.append(f"{files} passed over (neither FHIR nor DICOM, or not listed).")
    if report.verdict:
        lines += [f"Warning: {warning}" for warning in report.verdict.warnings]
        lines.append(f"Data Docs: {report.verdict.docs}")
    if totals["quarantined"] and totals["quarantined"] == totals["in"]:
        lines.append("Warning: everything was refused: is this an export of FHIR resources?")
    if totals["quarantined"]:
        lines.append("Look at what was refused: erios etl quarantine list")
    if report.release is None:
        return [*lines, "Nothing could be written, so there is no release."]
    if not report.new_release:
        return [*lines, f"Nothing new, after {report.seconds:.1f} s: the release is still {report.release}."]
    return [*lines, f"Published release {report.release} in {report.seconds:.1f} s. Look at it: erios warehouse tables"]
