"""The UIDs of the DICOM standard: those that its registry lists (PS3.6, annex A), not whatever stands below its root.

Below the standard's root anybody can write an identifier as the last arc; such a UID is replaced like all others.
"""

from __future__ import annotations

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID


def is_standard(uid: str) -> bool:
    """Does the standard's registry list this UID?"""
    return uid in UID_dictionary


def is_sop_class(uid: str) -> bool:
    """Does the standard's registry list this UID as a class of objects?"""
    return is_standard(uid) and UID(uid).type in ("SOP Class", "Meta SOP Class")
