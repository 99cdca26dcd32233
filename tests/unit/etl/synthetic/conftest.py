"""One clean and one dirty export for all tests of the demonstration hospital."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from etl.synthetic import export_day, generate, simulate

PATIENTS, SEED = 150, 11


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "clean"
    generate(out, PATIENTS, SEED, workers=1)
    return out


@pytest.fixture(scope="session")
def resources(clean: Path) -> dict[str, list[dict[str, Any]]]:
    by_type: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(clean.glob("*.ndjson")):
        for line in path.read_bytes().splitlines():
            resource = orjson.loads(line)
            by_type[resource["resourceType"]].append(resource)
    return by_type


@pytest.fixture(scope="session")
def courses():
    return [simulate(3, index, export_day(3)) for index in range(2500)]
