"""``python -m erios.cli.job RUN``: one process of a run's job; the cluster starts it."""

from __future__ import annotations

import sys

from erios.cli.exits import run
from erios.database import JOBSITE, set_up_django


def _work(prog_name: str) -> None:
    """Set Django up without a key, then train; SystemExit with the process's exit code."""
    set_up_django(JOBSITE)
    from erios.workflows.job_process import run_job_process  # Django's models, once it is set up

    raise SystemExit(run_job_process(sys.argv[1]))


if __name__ == "__main__":
    raise SystemExit(run(_work))
