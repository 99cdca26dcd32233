"""The examples of a documentation page, run as doctests."""

from __future__ import annotations

import doctest
from collections.abc import Mapping
from typing import Any

from tests.recipes.recipe import FENCE, section


def run_examples(page: str, title: str, names: Mapping[str, Any], **replaced: str) -> int:
    """Run the ``pycon`` blocks under a heading in order; returns how many examples ran; AssertionError shows failures.

    ``names`` are there from the start; ``replaced``: what stands for words of the page.
    """
    blocks = [block for block in FENCE.finditer(section(page, title)) if block["language"] == "pycon"]
    text = "\n".join(block["text"] for block in blocks)
    for word, real in replaced.items():
        text = text.replace(word.replace("_", "-"), real)
    test = doctest.DocTestParser().get_doctest(text, dict(names), f"{page}: {title}", page, 0)
    report: list[str] = []
    results = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert results.failed == 0, "".join(report)
    return results.attempted
