"""The state diagrams of studies, extracts, results texts and requests of the airlock, as Mermaid text.

They are written from the tables of transitions: ``python -m erios.governance.diagram NAME FILE`` writes a page (NAME:
study, extract, publication or airlock); tests hold the pages to the rules.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from erios.governance import airlock, extract, publication, study
from erios.governance.workflow import Transition, Workflow

PAGES: dict[str, tuple[Workflow[Any, Any, Any], StrEnum, str]] = {
    "study": (
        study.WORKFLOW,
        study.State.DRAFT,
        """# The life of a study

This page is written by `make docs` from the rules (`erios/governance/study.py`). A proposal moves along the arrows; an
amendment is a proposal of its own beside the one in force, which it replaces when it is activated.
""",
    ),
    "extract": (
        extract.WORKFLOW,
        extract.State.REQUESTED,
        """# The life of an extract

This page is written by `make docs` from the rules (`erios/governance/extract.py`). Whoever asks, builds, clears and
releases an extract are four people, and none of the last three is on the study's team. Experiments read an extract in
the state `released` only.
""",
    ),
    "publication": (
        publication.WORKFLOW,
        publication.State.WAITING,
        """# The life of a results text

This page is written by `make docs` from the rules (`erios/governance/publication.py`). What a study's proposer writes
for the public is a version that waits; the public page shows the one version that two checkers have approved in the
[airlock](../airlock.md) and the DPO has agreed to, word for word. A revision is a version of its own, and takes the
place of the one that is public only when it is agreed to itself.
""",
    ),
    "airlock": (
        airlock.WORKFLOW,
        airlock.State.DRAFT,
        """# The life of a request to let files out

This page is written by `make docs` from the rules (`erios/governance/airlock.py`). Two checkers who are neither author
nor team vote on each file that would leave; the last vote opens all and moves the request: the strictest vote on a file
decides. The DPO alone releases what is for the public, a checker what is for the team.
""",
    ),
}


def page(name: str) -> str:
    """The diagram of a workflow, and a table of who does what where."""
    workflow, first, opening = PAGES[name]
    return "\n".join([opening, "```mermaid", *_diagram(workflow, first), "```", "", *_table(workflow), ""])


def _diagram(workflow: Workflow[Any, Any, Any], first: StrEnum) -> Iterator[str]:
    yield "stateDiagram-v2"
    yield f"    [*] --> {_name(first)}"
    for row in workflow.transitions:
        for source in row.sources:
            if row.target:
                yield f"    {_name(source)} --> {_name(row.target)}: {row.action}"


def _table(workflow: Workflow[Any, Any, Any]) -> Iterator[str]:
    yield "| action | while | then | by | takes a reason |"
    yield "|---|---|---|---|---|"
    for row in workflow.transitions:
        target = row.target or "stays"
        who = _who(workflow, row)
        yield f"| {row.action} | {', '.join(row.sources)} | {target} | {who} | {'yes' if row.reason else ''} |"


def _who(workflow: Workflow[Any, Any, Any], row: Transition[Any, Any, Any]) -> str:
    own = [f"the {workflow.owner}"] if row.owner else []
    return ", ".join([*own, *row.roles, *(["a date or another action"] if row.system else [])])


def _name(state: str) -> str:
    return state.replace(" ", "_")


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(page(sys.argv[1]), encoding="utf-8")
