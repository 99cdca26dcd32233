"""Mutants made by hand, of rules that a review once found unguarded: each must be killed by a fast test.

``old`` stands in the file once; when the code moves on, the mutant moves with it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.mutants.run import ROOT, Trial


@dataclass(frozen=True)
class Named:
    """What the fault is, where, and the nearest fast tests."""

    title: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


_UNIT = "tests/unit/erios"
NAMED = (
    Named(
        "the audit's link to the event before is not checked",
        "erios/audit/chain.py",
        "event.previous != last[1]",
        "False",
        (f"{_UNIT}/audit/test_chain.py",),
    ),
    Named(
        "leaf and node are hashed alike",
        "erios/extracts/manifest.py",
        r'b"\1" + _tree',
        r'b"\0" + _tree',
        (f"{_UNIT}/extracts/test_manifest.py",),
    ),
    Named(
        "the root of the files is not checked",
        "erios/extracts/manifest.py",
        "root_of(manifest.files) != manifest.root",
        "False",
        (f"{_UNIT}/extracts/test_manifest.py",),
    ),
    Named(
        "a symbolic link passes for a file of the manifest",
        "erios/extracts/manifest.py",
        "not path.is_symlink() and ",
        "",
        (f"{_UNIT}/extracts/test_manifest.py",),
    ),
    Named(
        "a fork of identities goes to the greater key",
        "etl/merge/patient_identity.py",
        "sorted(edges, reverse=True)",
        "sorted(edges)",
        ("tests/unit/etl/merge/test_patient_identity.py",),
    ),
    Named(
        "date:month keeps the day",
        "etl/privacy.py",
        '"cut to the month", _date(7)',
        '"cut to the month", _date(10)',
        ("tests/unit/etl/test_privacy.py",),
    ),
    Named(
        "a blank explanation of a purpose counts",
        "erios/governance/purposes.py",
        "not declaration.explanation.strip()",
        "not declaration.explanation",
        (f"{_UNIT}/governance/test_purposes.py",),
    ),
    Named(
        "two masked cells of few patients have no companion",
        "erios/governance/disclosure.py",
        "len(hidden) > 1 and sum(counts[h] for h in hidden) >= threshold",
        "len(hidden) > 1",
        (f"{_UNIT}/governance/test_disclosure.py",),
    ),
    Named(
        "a count is shown although the exact group is under the threshold",
        "erios/governance/disclosure.py",
        "hidden = count < parameters.threshold or perturbed < parameters.threshold",
        "hidden = perturbed < parameters.threshold",
        (f"{_UNIT}/governance/test_disclosure.py",),
    ),
    Named(
        "an image of an unknown body part shows no face",
        "etl/dicom/deidentification.py",
        "kind != RADIOGRAPH and _body_part(dataset) not in profile.faceless",
        "kind != RADIOGRAPH and _body_part(dataset) and _body_part(dataset) not in profile.faceless",
        ("tests/unit/etl/dicom/test_deidentification.py",),
    ),
    Named(
        "a value shared by fewer than the threshold is kept by the form `rare`",
        "erios/extracts/build.py",
        "HAVING count(DISTINCT t.patient_key) >= {plan.threshold}",
        "HAVING count(DISTINCT t.patient_key) >= {plan.threshold} - 1",
        (f"{_UNIT}/extracts/test_build.py",),
    ),
    Named(
        "a value shared by just the threshold is not kept by the form `rare`",
        "erios/extracts/build.py",
        "HAVING count(DISTINCT t.patient_key) >= {plan.threshold}",
        "HAVING count(DISTINCT t.patient_key) > {plan.threshold}",
        (f"{_UNIT}/extracts/test_build.py",),
    ),
    Named(
        "dates of some patients are moved by 0 days",
        "erios/extracts/build.py",
        "{days} + CAST({days} >= 0 AS INTEGER) AS shift",
        "{days} AS shift",
        (f"{_UNIT}/extracts/test_build.py",),
    ),
    Named(
        "an age over 90 is shown",
        "erios/extracts/generalisation/columns.py",
        "least({value}, {OLD_AGE})",
        "{value}",
        (f"{_UNIT}/extracts/generalisation/test_columns.py",),
    ),
    Named(
        "the years of birth of those over 90 are shown",
        "erios/extracts/generalisation/columns.py",
        "greatest({of}, {oldest})",
        "{of}",
        (f"{_UNIT}/extracts/generalisation/test_columns.py",),
    ),
    Named(
        "the month of birth of somebody of 90 is shown",
        "erios/extracts/generalisation/columns.py",
        "WHEN {of} <= {oldest} THEN",
        "WHEN {of} < {oldest} THEN",
        (f"{_UNIT}/extracts/generalisation/test_columns.py",),
    ),
    Named(
        "a text date of the month keeps the day",
        "erios/extracts/generalisation/dates.py",
        "{7 if policy is DatePolicy.MONTH else 4}",
        "{10 if policy is DatePolicy.MONTH else 4}",
        (f"{_UNIT}/extracts/generalisation/test_columns.py",),
    ),
)


def named_trials() -> Iterator[Trial]:
    """A trial of each; ValueError when the source no longer has what the mutant changes."""
    for mutant in NAMED:
        yield Trial(mutant.file, mutant.title, _changed(mutant), mutant.tests)


def _changed(mutant: Named) -> Callable[[], ast.Module]:
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.title}: {mutant.file} has {source.count(mutant.old)} of {mutant.old!r}, not one")
    return lambda: ast.parse(source.replace(mutant.old, mutant.new))
