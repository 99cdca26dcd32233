"""Patients who object to research: their register, and what is asked of it.

For the load: ``standing`` (whose rows to leave out) and ``version`` (has it changed since).
"""

from erios.objections.lists import Wish, check_date, parse_reference, read_list
from erios.objections.register import (
    NOBODY,
    Change,
    Entry,
    add,
    remove,
    repair,
    standing,
    standing_entries,
    version,
)

__all__ = [
    "NOBODY",
    "Change",
    "Entry",
    "Wish",
    "add",
    "check_date",
    "parse_reference",
    "read_list",
    "remove",
    "repair",
    "standing",
    "standing_entries",
    "version",
]
