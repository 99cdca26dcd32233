"""What the public reads of the airlock: the files that became public, and how much was let out and refused, and why.

Few refusals point to few people: figures under the threshold are hidden, with companions, as every count.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from erios.accounts.sealed_rows import check_study
from erios.governance.airlock import LEAVING, Destination, Ground, State
from erios.governance.disclosure import Shown, protect_row
from erios.studies.airlock_models import AirlockFile, AirlockRequest, AirlockVote
from erios.studies.airlock_selectors import FATES, outcome_of, released_files
from erios.studies.models import Study

_DECIDED = (State.APPROVED, State.RELEASED, State.RETRACTED, State.REJECTED)


@dataclass(frozen=True)
class PublicFile:
    """A file that everybody may read."""

    request: str
    name: str
    form: str
    context: str
    digest: str


def public_files(study: str) -> list[PublicFile]:
    """The files of a study that were released for the public, oldest first; a results text is shown as one."""
    requests = AirlockRequest.objects.filter(
        study__number=study, destination=Destination.PUBLIC, state=State.RELEASED, publication__isnull=True
    ).order_by("pk")
    check_study(*Study.objects.filter(airlock_requests__in=requests).distinct())
    return [
        PublicFile(request.number, file.name, file.form, file.context, file.digest)
        for request in requests
        for file in released_files(request)
    ]


def airlock_figures() -> dict[str, list[tuple[str, Shown]]]:
    """Decided requests, files by kind and what became of them, and grounds of refusal: rows of (word, count)."""
    states = Counter(AirlockRequest.objects.filter(state__in=_DECIDED).values_list("state", flat=True))
    files = AirlockFile.objects.filter(kind__in=LEAVING, votes__verdict__gt="").distinct().prefetch_related("votes")
    fates = Counter((file.kind, outcome_of(file)) for file in files)
    grounds = Counter(AirlockVote.objects.exclude(ground="").values_list("ground", flat=True))
    let_out = states[State.APPROVED] + states[State.RELEASED] + states[State.RETRACTED]
    return {
        "requests": _row({"released": let_out, "rejected": states[State.REJECTED]}),
        **{kind: _row({fate: fates[kind, verdict] for verdict, fate in FATES.items()}) for kind in LEAVING},
        "grounds": _row({ground: grounds[ground] for ground in Ground}),
    }


def _row(counts: dict[Any, int]) -> list[tuple[str, Shown]]:
    """The row as everybody may read it; one figure for all of it while there is too little of anything."""
    shown = protect_row(list(counts.values()))
    if not any(shown):
        return [("", Shown(None))]
    return [(str(name), Shown(value)) for name, value in zip(counts, shown, strict=True)]
