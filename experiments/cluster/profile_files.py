"""Cluster profiles on disk, conf/clusters/NAME.toml: read strictly; an error names file, key and allowed values."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from experiments.cluster.cluster_profile import Cluster
from experiments.cluster.scheduler_kinds import scheduler_kinds
from experiments.errors import ProfileError


def load_clusters(folder: Path) -> Mapping[str, Cluster]:
    """The profiles in ``folder`` by name; ProfileError for the first that is not as it must be."""
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise ProfileError(f"{folder} holds no cluster profile: a profile is a file NAME.toml")
    return {path.stem: _load(path) for path in files}


def _load(path: Path) -> Cluster:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        if "name" in values:
            raise ProfileError(f"{path}: unknown name; a profile is named by its file")
        cluster = TypeAdapter(Cluster).validate_python({**values, "name": path.stem})
    except ValidationError as error:
        raise ProfileError(f"{path}: {_sentence(error.errors()[0])}") from None
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path} cannot be read as TOML: {error}") from None
    if wrong := _wrong_for_kind(cluster):
        raise ProfileError(f"{path}: {wrong}")
    return cluster


def _wrong_for_kind(cluster: Cluster) -> str:
    kinds = scheduler_kinds()
    if cluster.kind not in kinds:
        return f"kind must be one of {', '.join(kinds)}"
    kind = kinds[cluster.kind]
    unused = [each.name for each in fields(Cluster) if each.name in kind.unused_fields]
    given = sorted(name for name in unused if getattr(cluster, name) != getattr(Cluster, name, ()))
    return f"{', '.join(given)} have no effect with kind {cluster.kind}: remove them" if given else kind.check(cluster)


_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list of texts",
    "dict_type": "a table of texts",
}


def _sentence(error: ErrorDetails) -> str:
    """A validation error in words: the key, and what it may hold."""
    key, *inner = (str(part) for part in error["loc"]) if error["loc"] else ("",)
    context: dict[str, Any] = error.get("ctx", {})
    if error["type"] == "unexpected_keyword_argument":
        names = sorted(each.name for each in fields(Cluster) if each.name != "name")
        return f"unknown {key}; known are {', '.join(names)}"
    if error["type"] == "missing":
        return f"{key} is missing: one of {', '.join(scheduler_kinds())}"
    if error["type"] in _TYPES:
        kind = "dict_type" if key == "environment" else "tuple_type" if inner else error["type"]
        return f"{key} must be {_TYPES[kind]}"
    if error["type"] == "greater_than_equal":
        return f"{key} must be {context['ge']} or more"
    if error["type"] == "literal_error":
        return f"{key} must be {context['expected']}"
    if error["type"] == "string_pattern_mismatch":
        return f"{key}: {_PATTERNS.get(key, 'names of partitions, accounts and modules hold no space, quote or #')}"
    return str(context.get("sentence", error["msg"]))


_PATTERNS = {
    "name": "a profile is named by letters, digits, dots, dashes and underscores",
    "time_limit": "must be [DAYS-]HH:MM:SS",
    "environment": "a key is not the name of a variable",
}
