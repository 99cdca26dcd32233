"""A feasibility count by the engine that the settings name: DuckDB in this process, or Spark, with the same answer.

Owns the choice of the engine alone: what may be shown is ``erios.extracts.counts``', what is on record and paid for is
``erios.studies.actions``'.
"""

from __future__ import annotations

from typing import Any

from erios.accounts.models import User
from erios.extracts.counts import Feasibility
from erios.settings import load_settings
from erios.studies.actions import ask_count
from erios.studies.models import Study
from erios.workflows.spark_session import resident_session


def count_patients(*, study: Study, by: User, criteria: Any) -> Feasibility:
    """See ``erios.studies.actions.ask_count``; MachineError when Spark is to count and cannot start."""
    settings = load_settings()
    spark = resident_session(settings) if settings.counts.engine == "spark" else None
    return ask_count(study=study, by=by, criteria=criteria, spark=spark)
