"""`erios imaging`: how well images are de-identified."""

from __future__ import annotations

from typing import Annotated

import typer

from erios.cli.output import AsJson, answer, command_group, print_table, write_json
from erios.settings import load_settings

app = command_group("How well images are de-identified.")


@app.command()
def score(
    series: Annotated[int, typer.Option("--series", min=1, max=10_000, help="How many series are generated.")] = 12,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same set.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Count MIDI-B's actions on generated series whose identities are known: what is removed, hidden and kept.

    Example: erios imaging score --series 12
    """
    from erios.workflows.imaging_score import rows_of, score_images

    result = score_images(load_settings().images.profile, series, seed)
    rows = rows_of(result)
    if as_json:
        write_json({"series": result.series, "held_back": result.held, "actions": rows})
        return
    texts = [
        (str(r["action"]), str(r["counts"]), f"{r['right']:,}", f"{r['asked']:,}", f"{r['share']:.1%}") for r in rows
    ]
    print_table("De-identification of images", ("action", "counts", "right", "asked", "share"), texts, numbers=3)
    answer().print(f"{result.held} of {result.series} series were held back.")
