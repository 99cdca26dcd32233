"""`erios synth`: writes the demonstration hospital. A thin face of `etl.synthetic`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from erios.cli.output import AsJson, Progress, answer, print_table, write_json
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
    as_json: AsJson = False,
) -> None:
    """Write a French university hospital in FHIR R4, invented from a seed, laid out as a Bulk Data export.

    Example: erios synth var/hospital --patients 1000 --seed 1
    """
    with Progress() as progress:
        show = partial(progress.update, "patients")
        counts = generate(out, patients, seed, bundles=bundles, dirty=dirty, imaging=imaging, progress=show)
    if as_json:
        names = ("resources", "types", "files", "bytes", "planted", "images")
        write_json({"folder": str(out), **{name: getattr(counts, name) for name in names}})
    else:
        _print_counts(out, counts)


def _print_counts(out: Path, counts: Counts) -> None:
    rows = [(kind, f"{lines:,}") for kind, lines in counts.types.items()]
    print_table(f"Demonstration hospital in {out}", ("type", "resources"), rows, numbers=1)
    answer().print(f"{counts.resources:,} resources, {counts.bytes / 1e6:,.1f} MB in {counts.files:,} files.")
    if counts.images:
        answer().print(f"{counts.images:,} of the files are DICOM images; lesions are listed in {out / 'lesions.csv'}.")
    if counts.planted:
        faults = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.planted.items())
        answer().print(f"Faults planted and listed in {out / 'planted.csv'}: {faults}.")
