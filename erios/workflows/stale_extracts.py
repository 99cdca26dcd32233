"""Extracts that objections and erasures turn stale; opens the governance database only where there are extracts."""

from __future__ import annotations

from collections.abc import Sequence

from erios.settings import Settings
from erios.workflows.database import open_database


def follow_objections(settings: Settings) -> list[str]:
    """After objections or an erasure: turn stale every extract that holds such a patient; answers which did now.

    Without any extract's files the governance database is not opened.
    """
    folders = [settings.warehouse / "extracts", settings.studies]
    if not any(folder.is_dir() and any(folder.iterdir()) for folder in folders):
        return []
    open_database()
    from erios.workflows.extract_objections import turn_touched_stale  # Django's models, once it is set up

    return turn_touched_stale(settings)


def describe_stale(numbers: Sequence[str]) -> str:
    """The extracts that turned stale, in a sentence."""
    if not numbers:
        return "Extracts touched: none."
    sentence = f"Extracts touched, which nobody can open any more: {', '.join(numbers)}. Have them destroyed."
    return f"{sentence}{_describe_runs(numbers)}"


def _describe_runs(numbers: Sequence[str]) -> str:
    """The trainings that have read these extracts, and whose models others use."""
    from erios.studies.run_selectors import runs_on  # Django's models: the database is open where a number is given

    runs = list(runs_on(numbers))
    if not runs:
        return " No model was trained on them."
    sentence = f" Trained on them: {', '.join(run.number for run in runs)}."
    used = [run.number for run in runs if run.promoted]
    in_use = f" In use by others: {', '.join(used)}; the DPO decides what becomes of them." if used else ""
    return sentence + in_use
