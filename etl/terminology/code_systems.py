"""The code systems that may be named in the warehouse, as ``conf/code_systems.toml`` lists them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from etl.errors import PrivacyError
from etl.terminology.code_forms import PATTERNS


@dataclass(frozen=True)
class CodeSystems:
    """The allow-list: ``forms`` by URL, and what other URLs mean (``aliases``)."""

    urls: frozenset[str] = frozenset()
    forms: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)


def read_code_systems(path: Path) -> CodeSystems:
    """The code systems of a file; PrivacyError names the entry that is wrong."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("systems", {})
    except OSError as error:
        raise PrivacyError(f"cannot read the code systems {path}: {error.strerror}") from None
    except ValueError as error:
        raise PrivacyError(f"{path} is not TOML: {error}") from None
    for url, entry in entries.items():
        _check(path, url, entry)
    return CodeSystems(
        urls=frozenset(entries),
        forms={url: entry["form"] for url, entry in entries.items() if "form" in entry},
        aliases={alias: url for url, entry in entries.items() for alias in entry.get("aliases", ())},
    )


def _check(path: Path, url: str, entry: Mapping[str, object]) -> None:
    if unknown := sorted(set(entry) - {"form", "aliases"}):
        raise PrivacyError(f"{path}: '{url}' has '{unknown[0]}'; a system has form and aliases")
    if entry.get("form", "cim-10") not in PATTERNS:
        raise PrivacyError(f"{path}: '{url}' has an unknown form; forms: {', '.join(PATTERNS)}")
