"""MONAI bundles as folders: what makes one, and the settings that a run changes in it.

Owns the checks before a bundle is run. A bundle's configuration may run any code, so that it is read here as JSON and
parsed by MONAI inside the sandbox alone.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any

from experiments.errors import BundleError

TRAIN, SEVERAL, METADATA = "train.json", "multi_gpu_train.json", "metadata.json"


@dataclass(frozen=True)
class Bundle:
    """A folder with ``configs/metadata.json`` and ``configs/train.json``, as the MONAI bundle specification has it."""

    name: str
    folder: Path
    metadata: dict[str, Any]
    digest: str

    def config_files(self, processes: int) -> list[str]:
        """The configuration files for so many processes; BundleError if the bundle is not made for several."""
        files = [self.folder / "configs" / TRAIN]
        if processes > 1:
            files.append(self.folder / "configs" / SEVERAL)
            if not files[-1].is_file():
                raise BundleError(
                    f"bundle {self.name} has no configs/{SEVERAL}, so it trains in one process: add one, or ask for"
                    " one node and one process"
                )
        return [str(file) for file in files]


def open_bundle(folder: Path) -> Bundle:
    """The bundle in ``folder``; BundleError says what it lacks."""
    configs = folder / "configs"
    for name in (METADATA, TRAIN):
        if not (configs / name).is_file():
            raise BundleError(f"{folder} is no MONAI bundle: it has no configs/{name}")
    _check_links(folder)
    metadata = _read_json(configs / METADATA)
    train = _read_json(configs / TRAIN)
    if "trainer" not in train.get("train", {}):
        raise BundleError(f"{configs / TRAIN} has no train#trainer, which the bundle specification asks for")
    return Bundle(folder.name, folder, metadata, digest_of(folder))


def _check_links(folder: Path) -> None:
    """A link would put what lies elsewhere into the run's own copy, which others read."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise BundleError(f"{path} is a link: a bundle is copied whole, so put the file itself there")


def find_bundle(name: str, shelf: Path) -> Bundle:
    """A bundle by the path of its folder, or by its name among those on the shelf."""
    path = Path(name)
    if path.is_dir():
        return open_bundle(path.resolve())
    if (shelf / name).is_dir() and path.name == name:
        return open_bundle(shelf / name)
    names = ", ".join(sorted(path.name for path in shelf.iterdir() if path.is_dir())) if shelf.is_dir() else "none"
    raise BundleError(f"no bundle '{name}': name a folder, or one of {names}")


def copy_bundle(bundle: Bundle, target: Path) -> Bundle:
    """A run's own copy, so that later changes do not touch it; caches and earlier models stay behind."""
    shutil.copytree(bundle.folder, target, ignore=shutil.ignore_patterns("__pycache__", "models", "eval", ".git"))
    return Bundle(bundle.name, target, bundle.metadata, digest_of(target))


def digest_of(folder: Path) -> str:
    """SHA-256 over the names and contents of a bundle's files, less caches and models."""
    digest = sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        if not {"__pycache__", "models", "eval", ".git"} & set(name.parts):
            digest.update(f"{name.as_posix()}\0{sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def read_overrides(settings: Sequence[str]) -> dict[str, Any]:
    """``["epochs=3"]`` → ``{"epochs": 3}``: values are JSON, or text where they are not."""
    return dict(_read_override(setting) for setting in settings)


def _read_override(setting: str) -> tuple[str, Any]:
    name, equals, text = setting.partition("=")
    if not equals or not name.strip():
        raise BundleError(f"'{setting}' sets nothing: write name=value, such as epochs=3 or train#trainer#amp=false")
    try:
        return name.strip(), json.loads(text)
    except ValueError:
        return name.strip(), text


def check_overrides(bundle: Bundle, overrides: dict[str, Any], processes: int = 1) -> None:
    """BundleError for a setting that the bundle does not have (it would change nothing, unseen), or has as a number."""
    configs = [_read_json(Path(file)) for file in bundle.config_files(processes)]
    plain = {name: value for config in configs for name, value in config.items() if _is_plain(value)}
    for name, value in overrides.items():
        if not any(name in config or _has(config, re.split("#|::", name)) for config in configs):
            near = "".join(f" (did you mean '{match}'?)" for match in get_close_matches(name, plain, 1))
            names = ", ".join(sorted(plain))
            raise BundleError(f"bundle {bundle.name} has no setting '{name}'{near}; its settings: {names}")
        if isinstance(plain.get(name), int | float) and isinstance(value, str) and not value.startswith(("$", "@")):
            there = json.dumps(plain[name])
            raise BundleError(f"setting '{name}' of bundle {bundle.name} is {there}: '{value}' has another type")


def _is_plain(value: Any) -> bool:
    """Is it a value that somebody would set: a number, yes or no, a list of such?"""
    if isinstance(value, list):
        return all(isinstance(item, int | float) for item in value)
    return isinstance(value, int | float)


def _has(config: Any, path: Sequence[str]) -> bool:
    """Does the path exist? A step is the name of an object or an index in a list."""
    if not path:
        return True
    step, rest = path[0], path[1:]
    if isinstance(config, list):
        return step.isdecimal() and int(step) < len(config) and _has(config[int(step)], rest)
    return isinstance(config, dict) and step in config and _has(config[step], rest)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise BundleError(f"{path} is not a JSON object")
    return content
