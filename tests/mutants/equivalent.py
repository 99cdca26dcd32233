"""Mutants that no test can tell from the original, each with the reason."""

from __future__ import annotations

from collections.abc import Mapping

EQUIVALENT: Mapping[tuple[str, str], str] = {}
"""(file, the mutant's name) → why it changes nothing that anybody could see."""
