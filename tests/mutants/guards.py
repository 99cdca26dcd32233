"""Which fast tests guard which module: what `make mutants` mutates, and what it runs on each mutant.

Nearest tests first: the run stops at the first one that fails. A test named here takes no Spark, cluster or browser.
"""

from __future__ import annotations

from collections.abc import Mapping

_UNIT = "tests/unit/erios/governance"
_RULES = (f"{_UNIT}/test_study.py", "tests/spec/test_study_spec.py")
GUARDS: Mapping[str, tuple[str, ...]] = {
    "erios/governance/compliance.py": (f"{_UNIT}/test_compliance.py",),
    "erios/governance/diagram.py": _RULES,
    "erios/governance/disclosure.py": (f"{_UNIT}/test_disclosure.py",),
    "erios/governance/extract.py": ("tests/spec/test_extract_spec.py",),
    "erios/governance/publication.py": ("tests/spec/test_publication_spec.py",),
    "erios/governance/proposal.py": (f"{_UNIT}/test_proposal.py",),
    "erios/governance/purposes.py": (f"{_UNIT}/test_purposes.py",),
    "erios/governance/roles.py": (f"{_UNIT}/test_roles.py",),
    "erios/governance/run.py": ("tests/spec/test_run.py",),
    "erios/governance/study.py": _RULES,
    "erios/governance/words.py": _RULES,
    "erios/governance/workflow.py": (f"{_UNIT}/test_workflow.py", *_RULES),
    "erios/audit/chain.py": ("tests/unit/erios/audit/test_chain.py",),
    "erios/extracts/manifest.py": ("tests/unit/erios/extracts/test_manifest.py",),
    "etl/privacy.py": ("tests/unit/etl/test_privacy.py",),
    "etl/merge/versions.py": ("tests/unit/etl/merge/test_versions.py",),
    "etl/merge/patient_identity.py": ("tests/unit/etl/merge/test_patient_identity.py",),
}
