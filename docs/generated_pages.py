"""The generated pages, written anew in one process: `make docs`, in the root of the repository."""

from __future__ import annotations

import runpy
import sys
import warnings

WRITERS = (
    "erios.cli.reference docs/reference/commands.md",
    "etl.warehouse_reference conf/views docs/warehouse.md",
    "erios.extracts.documentation_tables docs",
    "erios.governance.diagram study docs/reference/study-states.md",
    "erios.governance.diagram extract docs/reference/extract-states.md",
    "erios.governance.diagram publication docs/reference/publication-states.md",
    "erios.governance.diagram airlock docs/reference/airlock-states.md",
    "docs.settings_page docs/reference/settings.md",
    "docs.house CONTRIBUTING.md",
)
"""What writes each page: a module with its arguments, as `python -m` takes them."""

if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")  # one writer imports another's module
    for writer in WRITERS:
        sys.argv = writer.split()
        runpy.run_module(sys.argv[0], run_name="__main__")
