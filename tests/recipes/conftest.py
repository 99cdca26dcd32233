"""A copy of the repository for each recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipes.recipe import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A copy of the repository, with a home of its own."""
    return House(tmp_path / "house")
