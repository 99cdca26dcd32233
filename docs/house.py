"""The house in one picture, drawn from the import contracts in pyproject.toml: who may import whom.

Owns the picture in CONTRIBUTING.md, between two comments. ``python -m docs.house CONTRIBUTING.md`` draws it anew.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- drawn by docs/house.py -->\n", "<!-- end -->\n"


def picture() -> str:
    """A Mermaid flowchart: a box per package with its layers from the top, an arrow where imports may go."""
    contracts = _contracts()
    wings = [name.strip() for name in contracts["wings"]["layers"][1].split("|")]
    boxes = {contract["containers"][0]: contract["layers"] for contract in contracts.values() if _has_box(contract)}
    lines = [line for name, layers in boxes.items() for line in _box(name, layers)]
    arrows = [f"    erios --> {wing}" for wing in wings]
    return "\n".join(["```mermaid", "flowchart TB", *lines, *arrows, "```", ""])


def _contracts() -> Mapping[str, Mapping[str, Any]]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"]: contract for contract in project["tool"]["importlinter"]["contracts"]}


def _has_box(contract: Mapping[str, Any]) -> bool:
    return contract["type"] == "layers" and len(contract.get("containers", ())) == 1


def _box(name: str, layers: list[str]) -> Iterator[str]:
    """The layers of one package, one below the other."""
    box = name.replace(".", "_")
    yield f"    subgraph {box}[{name}]"
    for index, layer in enumerate(layers):
        words = " · ".join(re.findall(r"\w+", layer))
        yield f'        {box}{index}["{words}"]' + (f" --> {box}{index + 1}" if index + 1 < len(layers) else "")
    yield "    end"


def drawn(text: str) -> str:
    """A page with the picture as it is today between the two comments."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}{picture()}{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(drawn(page.read_text(encoding="utf-8")), encoding="utf-8")
