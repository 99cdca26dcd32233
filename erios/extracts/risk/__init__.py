"""The risk of an extract: how well its patients can be told apart, what would help, and two attacks as evidence.

Owns the report that the DPO reads before clearance and its pictures. It is pure: files in, figures out; it knows no
study, no key and no audit, and must never hand out a row or a value that fewer than the threshold's patients share.
"""

from erios.extracts.risk.assessment import assess, measure
from erios.extracts.risk.attacker_knowledge import Knowledge, Quasi, Sensitive, load_knowledge
from erios.extracts.risk.linkage import link, link_rows
from erios.extracts.risk.report import Linkage, RiskReport

__all__ = [
    "Knowledge",
    "Linkage",
    "Quasi",
    "RiskReport",
    "Sensitive",
    "assess",
    "link",
    "link_rows",
    "load_knowledge",
    "measure",
]
