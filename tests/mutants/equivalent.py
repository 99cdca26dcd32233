"""Mutants that no test can tell from the original, each with the reason."""

from __future__ import annotations

from collections.abc import Mapping

_DISCLOSURE = "erios/governance/disclosure.py"
EQUIVALENT: Mapping[tuple[str, str], str] = {
    (
        _DISCLOSURE,
        "_noise_table: (0.0, 50.0) ⇒ (0.0, 51.0)",
    ): "the search ends at the same slope from any start above it",
    (_DISCLOSURE, "_noise_table: range(200) ⇒ range(201)"): "the interval is one number after some 60 halvings",
    (
        _DISCLOSURE,
        "_noise_table: _variance(_weights(middle, bound)) > variance ⇒ _variance(_weights(middle, bound)) >= variance",
    ): "an equal variance is met at the end of the search alone",
    (_DISCLOSURE, "cell_noise: place < upto ⇒ place <= upto"): "a draw of 64 bits is never a border of the table",
}
"""(file, the mutant's name) → why it changes nothing that anybody could see."""
