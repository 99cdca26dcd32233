"""Live evidence for the compliance page: each check looks at the running system and answers in a sentence.

One module per subject; importing this package registers them all. What they are evidence for is in
``conf/compliance.toml``.
"""

from erios.compliance import accounts, airlock, extracts, installation, public, studies, warehouse
from erios.compliance import audit_chain as record
from erios.compliance.registry import CHECKS, FrameworkStatus, RequirementStatus, current_status, run_check

SUBJECTS = (record, installation, accounts, studies, extracts, airlock, warehouse, public)
"""The modules of checks."""

__all__ = ["CHECKS", "SUBJECTS", "FrameworkStatus", "RequirementStatus", "current_status", "run_check"]
