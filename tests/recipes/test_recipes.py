"""Recipes as such: each has a test, and the reader of recipes takes no step that a page does not say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from erios.checkout import PROJECT
from tests.recipes.recipe import changed, section, steps

WANTED = (
    "table",
    "expectation",
    "privacy rule",
    "error",
    "model",
    "criterion",
    "scheduler",
    "role",
    "generalisation",
    "risk metric",
    "page",
    "language",
)


def test_each_recipe_is_listed_and_followed_by_a_test() -> None:
    listed = section("CONTRIBUTING.md", "Recipes")
    files = {path.name for path in Path(__file__).parent.glob("test_*.py")}

    assert [thing for thing in WANTED if not re.search(rf"^\| an? {thing} \|", listed, re.MULTILINE)] == []
    assert [thing for thing in WANTED if f"test_{thing.replace(' ', '_')}.py" not in files] == []


def test_each_file_that_a_recipe_changes_is_there() -> None:
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Recipes")[2]
    changes = [(step.file or "", step.text) for step in steps(text) if step.language == "diff"]
    shipped = [(file, diff) for file, diff in changes if "/long_stay/" not in file]

    assert len(shipped) > 3
    assert [file for file, diff in shipped if not _fits(file, diff)] == []


def test_each_test_that_a_recipe_runs_is_there() -> None:
    pages = [PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("how-to-add-*.md"))]
    named = [name for page in pages for name in re.findall(r"\btests/[\w/]+\.py\b", page.read_text(encoding="utf-8"))]

    assert len(named) > 10
    assert [name for name in named if not (PROJECT / name).exists()] == []


def _fits(file: str, diff: str) -> bool:
    text = (PROJECT / file).read_text(encoding="utf-8")
    return changed(text, diff) != text


def test_a_diff_changes_the_one_place_that_it_shows() -> None:
    assert changed("a\nb\nc\n", " b\n+new\n@@\n-c\n+d\n") == "a\nb\nnew\nd\n"


@pytest.mark.parametrize("text", ["a\nb\nb\n", "a\n", "ab\n"])
def test_a_diff_whose_place_is_not_there_once_is_refused(text: str) -> None:
    with pytest.raises(AssertionError, match="not once"):
        changed(text, " b\n+new\n")


def test_a_block_without_the_name_of_its_file_is_refused() -> None:
    with pytest.raises(AssertionError, match="no line before this block names its file"):
        list(steps("Write this:\n\n```python\nx = 1\n```\n"))


def test_the_steps_of_a_recipe_are_its_blocks_in_order() -> None:
    text = "1. Write `a/b.py`:\n\n   ```python\n   x = 1\n   ```\n\n2. Run:\n\n   ```console\n   $ make docs\n   ```\n"

    assert [(step.file, step.text) for step in steps(text)] == [("a/b.py", "x = 1\n"), (None, "$ make docs\n")]
