"""Patients who object to research: their register, and what is asked of it.

For the load: ``current_objectors`` (whose rows to leave out) and ``version`` (has it changed since).
"""

from erios.objections.parsing import Objection, check_date, parse_reference, read_list
from erios.objections.register import (
    NOBODY,
    Change,
    Entry,
    add,
    current_entries,
    current_objectors,
    remove,
    repair,
    version,
)

__all__ = [
    "NOBODY",
    "Change",
    "Entry",
    "Objection",
    "add",
    "check_date",
    "current_entries",
    "current_objectors",
    "parse_reference",
    "read_list",
    "remove",
    "repair",
    "version",
]
