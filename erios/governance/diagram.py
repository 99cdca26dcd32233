"""The state diagram of a study, as Mermaid text, written from the table of transitions.

``python -m erios.governance.diagram FILE`` writes the page; a test holds it to the rules.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from erios.governance.study import TRANSITIONS, State
from erios.governance.workflow import Transition

_OPENING = """# The life of a study

This page is written by `make docs` from the rules (`erios/governance/study.py`). A proposal moves along the arrows; an
amendment is a proposal of its own beside the one in force, which it replaces when it is activated.
"""


def page() -> str:
    """The diagram, and a table of who does what where."""
    return "\n".join([_OPENING, "```mermaid", *_diagram(), "```", "", *_table(), ""])


def _diagram() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield f"    [*] --> {_name(State.DRAFT)}"
    for row in TRANSITIONS:
        for source in row.sources:
            if row.target:
                yield f"    {_name(source)} --> {_name(row.target)}: {row.action}"


def _table() -> Iterator[str]:
    yield "| action | while | then | by | takes a reason |"
    yield "|---|---|---|---|---|"
    for row in TRANSITIONS:
        target = row.target or "stays"
        yield f"| {row.action} | {', '.join(row.sources)} | {target} | {_who(row)} | {'yes' if row.reason else ''} |"


def _who(row: Transition[Any, Any, Any]) -> str:
    own = ["the proposer"] if row.owner else []
    return ", ".join([*own, *row.roles, *(["a date or another action"] if row.system else [])])


def _name(state: State) -> str:
    return state.replace(" ", "_")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
