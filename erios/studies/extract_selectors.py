"""Every read of extracts: facts for the rules, who may see which, what was cleared, which hold given patients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from erios.accounts.models import User, holding
from erios.errors import UsageError
from erios.extracts.criteria import Criterion, digest, parse
from erios.extracts.opening import Clearance
from erios.extracts.specification import Specification, beyond, difference, read_specification
from erios.governance.disclosure import Parameters
from erios.governance.extract import BUILT_STATES, WORKFLOW, Action, Facts, State, next_actors, opening
from erios.governance.roles import Role
from erios.governance.study import State as StudyState
from erios.governance.words import Refusal
from erios.settings import Settings, load_settings
from erios.studies.ledger import shown_to
from erios.studies.models import Extract, ExtractPartKind, ExtractVersion, PartKind, Proposal, Study
from erios.studies.selectors import visible_studies
from erios.translation import language


def find_extract(number: str) -> Extract:
    """The extract of a number; UsageError when there is none."""
    found = Extract.objects.filter(number=number).select_related("study", "proposal").first()
    if found is None:
        raise UsageError(f"no extract '{number}'; `erios extract list` shows those that you may see")
    return found


def active_proposal(study: Study) -> Proposal | None:
    """The version of a study that is in force now."""
    return study.proposals.filter(state=StudyState.ACTIVE).first()


def team_of(study: Study) -> frozenset[str]:
    """Logins of proposer and team of the version in force, or of the last one; closed accounts are on no team."""
    proposal = active_proposal(study) or study.proposals.order_by("-version")[0]
    parts = proposal.parts.filter(kind__in=[PartKind.PROPOSER, PartKind.TEAM], person__is_active=True)
    return frozenset(parts.values_list("person__username", flat=True))


def lost_opening(extract: Extract, by: User) -> Refusal | None:
    """Why somebody who has the extract open may not go on today; None if they may."""
    if not by.is_active:
        return Refusal("not-on-team")
    return opening(extract_facts(extract), by.person, timezone.localdate())


def specification_of(extract: Extract) -> Specification:
    """The specification as it stands."""
    return read_specification(_last_version(extract).content, load_settings().views_dir)


def _last_version(extract: Extract) -> ExtractVersion:
    return extract.versions.order_by("-number")[0]


def changes_of(extract: Extract) -> list[tuple[ExtractVersion, list[str]]]:
    """Every version, newest first, with what it changed of the one before."""
    versions = list(extract.versions.select_related("by"))
    views = load_settings().views_dir
    read = [read_specification(version.content, views) for version in versions]
    lines = [difference(old, new, language()) for old, new in zip([None, *read], read, strict=False)]
    return list(zip(versions, lines, strict=True))[::-1]


def extract_facts(extract: Extract) -> Facts:
    """What the rules must know of an extract, as it stands in the database now."""
    parts = {part.kind: part for part in extract.parts.select_related("person")}
    logins = {kind: part.person.username for kind, part in parts.items()}
    active = active_proposal(extract.study)
    approved = (active or extract.proposal).content
    return Facts(
        state=State(extract.state),
        requester=logins.get(ExtractPartKind.REQUESTER, ""),
        team=team_of(extract.study),
        builder=logins.get(ExtractPartKind.BUILDER, ""),
        clearer=logins.get(ExtractPartKind.CLEARER, ""),
        study_active=active is not None,
        beyond=beyond(specification_of(extract), approved),
        k=extract.report["risk"]["k"] if extract.report else None,
        threshold=_threshold(),
        reidentified=_reidentified(extract),
        reidentified_limit=extract.report.get("limit") or 0.0 if extract.report else 0.0,
        isolating=sum(bool(overlap.get("isolates")) for overlap in extract.overlaps),
        exception_asked=bool(extract.exception_reason),
        expires=extract.expires,
    )


def _reidentified(extract: Extract) -> float | None:
    """The greatest share of patients that an attacker found, in the extract itself or by joining it to another; None
    where the report lacks it. Who knows single facts finds no more than who has the whole record."""
    record = extract.report.get("trajectory") if extract.report else None
    if not record:
        return None
    return float(max([record["share"], *(linkage["low"] for linkage in linkages_of(extract))]))


def linkages_of(extract: Extract) -> list[dict[str, Any]]:
    """Every linkage attack on the extract: against the warehouse and each living extract that shares patients."""
    return list(extract.linkage.get("attacks", [extract.linkage] if extract.linkage else []))


def _threshold() -> int:
    from erios.extracts.counts import load_parameters

    parameters: Parameters = load_parameters()
    return parameters.threshold


def extract_actions_for(extract: Extract, user: User) -> list[Action]:
    """What this person may do with the extract now."""
    possible = WORKFLOW.possible(extract_facts(extract), user.person)
    return [] if extract.busy else possible


def visible_extracts(user: User) -> QuerySet[Extract]:
    """Extracts of the studies that a person may read."""
    return Extract.objects.filter(study__in=visible_studies(user)).select_related("study", "proposal")


def extract_watchers(extract: Extract) -> list[User]:
    """Who is told of a change: whoever the extract waits for, the team, and who has had a part in it."""
    roles = [Role(name) for name in next_actors(State(extract.state)) if name in list(Role)]
    involved = Q(extract_parts__extract=extract) | Q(username__in=team_of(extract.study))
    return list(User.objects.filter(involved | holding(roles), is_active=True).distinct())


@dataclass(frozen=True)
class WaitingExtract:
    """One line of a queue; ``mine``: actions that the reader may do now."""

    extract: Extract
    waits_for: tuple[str, ...]
    age: timedelta
    mine: tuple[Action, ...]


def extract_queue(user: User) -> list[WaitingExtract]:
    """Extracts that wait for somebody, the reader's own business first, then the oldest."""
    states = [state for state in State if next_actors(state)]
    now = timezone.now()
    lines = [
        WaitingExtract(one, next_actors(State(one.state)), now - one.since, tuple(extract_actions_for(one, user)))
        for one in visible_extracts(user).filter(state__in=states)
    ]
    return sorted(lines, key=lambda line: (not line.mine, line.extract.since))


def clearance_of(extract: Extract, public_key: str) -> Clearance:
    """What was cleared, and where its files lie; ``public_key``: of the key that signs, as the audit chain has it."""
    return Clearance(extract_facts(extract), extract.root, public_key, folder_of(extract, load_settings()))


def folder_of(extract: Extract, settings: Settings) -> Path:
    """Where the files of an extract lie: with the study once it is released, in the warehouse zone before."""
    if extract.state == State.RELEASED:
        return settings.studies / extract.study.number / extract.number
    return workshop_of(extract.number, settings)


def workshop_of(number: str, settings: Settings) -> Path:
    """Where an extract is built and assessed."""
    return settings.warehouse / "extracts" / number


def extracts_with_data() -> QuerySet[Extract]:
    """Extracts whose files somebody reads, or may come to read."""
    return Extract.objects.filter(state__in=BUILT_STATES).select_related("study", "proposal")


def earlier_cohorts(extract: Extract) -> Iterator[tuple[str, str, Criterion]]:
    """Name, kind and cohort of what was told before: extracts of the study or of somebody on its team that were once
    released, and the counts that the study and its people were shown."""
    views = load_settings().views_dir
    people = User.objects.filter(username__in=team_of(extract.study))
    studies = Study.objects.filter(Q(pk=extract.study.pk) | Q(proposals__parts__person__in=people)).distinct()
    released = Extract.objects.filter(study__in=studies, parts__kind=ExtractPartKind.RELEASER).exclude(pk=extract.pk)
    for other in released.order_by("pk").distinct():
        yield other.number, "extract", read_specification(_last_version(other).content, views).cohort
    for text in shown_to(extract.study):
        yield f"count {digest(parse(text))[:8]}", "count", parse(text)


def pinned_by_extracts() -> dict[str, str]:
    """Releases from which living extracts were built, each with the first of them."""
    found = extracts_with_data().exclude(release="").order_by("-pk").values_list("release", "number")
    return {release: f"extract {number}" for release, number in found}
