"""Importing the roof: telemetry off first, nothing heavy after."""

import json
import os
import subprocess
import sys

import pytest

from erios.cli import WITH_DATABASE

HEAVY = (
    "pyspark",
    "duckdb",
    "great_expectations",
    "pyarrow",
    "pandas",
    "polars",
    "deltalake",
    "fhir",
    "pydantic_settings",
)


def run_python(code: str, **variables: str) -> str:
    """What ``code`` prints in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_importing_erios_switches_telemetry_off_whatever_was_set():
    code = "import erios, os, json; print(json.dumps({n: os.environ[n] for n in erios.SILENCED}))"

    values = json.loads(run_python(code, GX_ANALYTICS_ENABLED="true", MLFLOW_DISABLE_TELEMETRY="false"))

    assert values == {
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
    }


def test_the_command_line_imports_nothing_heavy():
    code = f"import erios.cli, sys; print([name for name in {HEAVY} if name in sys.modules])"

    assert run_python(code).strip() == "[]"


def test_the_help_imports_no_command_group():
    code = (
        "import sys, contextlib, io; sys.argv = ['erios', '--help']; import erios.cli;"
        "\nwith contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): erios.cli.main()"
        "\nprint([name for name in sys.modules if name.startswith('erios.cli.')])"
    )

    assert run_python(code).strip() == "['erios.cli.exits', 'erios.cli.forwarding']"


@pytest.mark.slow
def test_groups_that_need_no_database_import_no_django():
    code = (
        "import sys; from erios.cli import GROUPS, WITH_DATABASE, load_group"
        "\nfor name in GROUPS:"
        "\n    if name not in WITH_DATABASE: load_group(name)"
        "\nprint('django' in sys.modules)"
    )

    assert run_python(code).strip() == "False"


@pytest.mark.slow
def test_groups_that_need_the_database_show_their_help_without_a_keyring(erios_home):
    code = "from erios.cli import WITH_DATABASE, load_group; print([load_group(n).name for n in sorted(WITH_DATABASE)])"

    assert run_python(code, DJANGO_SETTINGS_MODULE="").count("'") == 2 * len(WITH_DATABASE)
    assert not erios_home.exists()
