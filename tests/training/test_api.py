"""The examples of an extract on the page of the Python interface, run on a released one."""

from __future__ import annotations

import pytest

from erios.settings import Settings
from tests.examples import run_examples


@pytest.mark.slow
def test_every_example_of_an_extract_runs(home: Settings) -> None:
    from erios.studies.models import Extract

    number = Extract.objects.get().number

    assert run_examples("docs/api.md", "An extract", {}, E2031_007_X01=number) > 5
