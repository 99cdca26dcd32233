"""The de-identification profile: the attributes that ``conf/dicom.toml`` keeps, checked against the standard.

The list may narrow table E.1-1 of DICOM PS3.15 and never widen it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword

from etl.errors import PrivacyError

EDITION = "dicomfields_2026c"
VOLUME, RADIOGRAPH, LABELS = "volume", "radiograph", "labels"
_REPLACED = "U_TAGS"
_RULES = 3
"""Grows with each change of what the code does to a series, so that a load asks for the table to be rebuilt."""


@dataclass(frozen=True)
class Profile:
    """Attributes by tag, with what is allowed of each; ``classes``: SOP class → ``volume``, ``radiograph``, ``labels``.

    ``faceless``: body parts without a face; ``face_words``: words of a description that mean one.
    """

    classes: Mapping[str, str]
    numbers: Mapping[int, tuple[float, float]]
    words: Mapping[int, frozenset[str]]
    uids: frozenset[int]
    standard_uids: frozenset[int]
    pointers: frozenset[int]
    codes: frozenset[int]
    sequences: frozenset[int]
    faceless: frozenset[str]
    face_words: tuple[str, ...]
    digest: str


def read_profile(path: Path) -> Profile:
    """The profile of a file; PrivacyError names the attribute that is unknown, or that the standard would remove."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        profile = _profile(data)
    except (OSError, ValueError) as error:
        raise PrivacyError(f"cannot read {path} ({type(error).__name__}); restore it from the repository") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise PrivacyError(f"{path} has no right entry {error}; restore it from the repository") from None
    return profile


def _profile(data: Mapping[str, Any]) -> Profile:
    keep = data["keep"]
    profile = Profile(
        classes={str(uid): _kind(kind) for uid, kind in data["classes"].items()},
        numbers={_tag(name): (float(low), float(high)) for name, (low, high) in keep["numbers"].items()},
        words={_tag(name): frozenset(words) for name, words in keep["words"].items()},
        uids=_tags(keep["uids"]),
        standard_uids=_tags(keep["classes"]),
        pointers=_tags(keep["pointers"]),
        codes=_tags(keep["codes"]),
        sequences=_tags(keep["sequences"]),
        faceless=frozenset(data["faces"]["without"]),
        face_words=tuple(str(word).casefold() for word in data["faces"]["words"]),
        digest=hashlib.sha256(json.dumps([EDITION, _RULES, data], sort_keys=True).encode()).hexdigest()[:16],
    )
    _check(profile)
    return profile


def _kind(kind: str) -> str:
    if kind not in (VOLUME, RADIOGRAPH, LABELS):
        raise PrivacyError(f"conf/dicom.toml: no kind '{kind}'; kinds: {VOLUME}, {RADIOGRAPH}, {LABELS}")
    return kind


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise PrivacyError(f"conf/dicom.toml: DICOM has no attribute '{keyword}'; write the standard's keyword")
    return int(tag)


def _tags(keywords: Iterable[str]) -> frozenset[int]:
    return frozenset(map(_tag, keywords))


def _check(profile: Profile) -> None:
    """Refuse what the standard's table removes or empties, and a UID that it does not replace."""
    table = _table()
    kept = {*profile.numbers, *profile.words, *profile.standard_uids, *profile.pointers, *profile.codes}
    for tag in sorted(kept | profile.sequences):
        if _actions(table, tag):
            raise _wider(tag)
    for tag in sorted(profile.uids):
        if _actions(table, tag) - {_REPLACED}:
            raise _wider(tag)


def _wider(tag: int) -> PrivacyError:
    from pydicom.datadict import keyword_for_tag

    return PrivacyError(
        f"conf/dicom.toml keeps {keyword_for_tag(tag)}, which the Basic Profile of DICOM PS3.15 removes or replaces:"
        " take it out of the list"
    )


def _table() -> dict[str, frozenset[tuple[int, ...]]]:
    fields: Any = import_module(f"dicomanonymizer.dicom_anonymization_databases.{EDITION}")
    names = [name for name in dir(fields) if name.endswith("_TAGS") and name != "ALL_TAGS"]
    return {name: frozenset(map(tuple, getattr(fields, name))) for name in names}


def _actions(table: Mapping[str, Collection[tuple[int, ...]]], tag: int) -> set[str]:
    """Actions that the table has for a tag; a repeating group is an entry of (group, element, and their masks)."""
    group, element = tag >> 16, tag & 0xFFFF
    return {name for name, entries in table.items() if any(_is(entry, group, element) for entry in entries)}


def _is(entry: tuple[int, ...], group: int, element: int) -> bool:
    if len(entry) == 2:
        return entry == (group, element)
    return group & entry[2] == entry[0] and element & entry[3] == entry[1]
