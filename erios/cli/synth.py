"""`erios synth`: writes the demonstration hospital. A thin face of `etl.synthetic`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from erios.cli.output import answer, print_table, screen, write_json
from etl.synthetic import Counts, generate

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    patients: Annotated[int, typer.Option("--patients", min=1, help="How many patients.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 1,
    bundles: Annotated[
        bool, typer.Option("--bundles", help="One transaction Bundle a patient instead of NDJSON.")
    ] = False,
    dirty: Annotated[
        float, typer.Option("--dirty", min=0, max=1, help="Share of lines to spoil, 0 to 1; listed in planted.csv.")
    ] = 0.0,
    imaging: Annotated[
        int, typer.Option("--imaging", min=0, help="How many of the patients have images, as DICOM.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Answer on standard output as JSON.")] = False,
) -> None:
    """Write a French university hospital in FHIR R4, invented from a seed, laid out as a Bulk Data export.

    Example: erios synth var/hospital --patients 1000 --seed 1
    """
    counts = _generate(out, patients, seed, bundles, dirty, imaging)
    if as_json:
        _write_json(out, counts)
    else:
        _print_counts(out, counts)


def _generate(out: Path, patients: int, seed: int, bundles: bool, dirty: float, imaging: int) -> Counts:
    from rich.progress import Progress

    console = screen()
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("Patients", total=patients)
        return generate(
            out,
            patients,
            seed,
            bundles=bundles,
            dirty=dirty,
            imaging=imaging,
            progress=lambda done, _: bar.update(task, completed=done),
        )


def _write_json(out: Path, counts: Counts) -> None:

    write_json(
        {
            "folder": str(out),
            "resources": counts.resources,
            "types": counts.types,
            "files": counts.files,
            "bytes": counts.bytes,
            "planted": counts.planted,
            "images": counts.images,
        }
    )


def _print_counts(out: Path, counts: Counts) -> None:

    rows = [(kind, f"{lines:,}") for kind, lines in counts.types.items()]
    print_table(f"Demonstration hospital in {out}", ("type", "resources"), rows, numbers=1)
    answer().print(f"{counts.resources:,} resources, {counts.bytes / 1e6:,.1f} MB in {counts.files:,} files.")
    if counts.images:
        answer().print(f"{counts.images:,} of the files are DICOM images; lesions are listed in {out / 'lesions.csv'}.")
    if counts.planted:
        faults = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.planted.items())
        answer().print(f"Faults planted and listed in {out / 'planted.csv'}: {faults}.", soft_wrap=True)
