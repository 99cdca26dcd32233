"""Checks of studies in force: end, decision, purposes, columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from erios.compliance.registry import check
from erios.governance.compliance import Finding, met, not_applicable, not_met
from erios.governance.proposal import declarations
from erios.governance.purposes import FORBIDDEN, forbidden
from erios.governance.study import Opinion, State
from erios.settings import Settings
from erios.studies.models import Proposal
from erios.studies.selectors import facts_of, legal_routes
from erios.translation import mark


def studies_in_force() -> Iterable[Any]:
    states = [State.ACTIVE, State.SUSPENDED]
    return Proposal.objects.filter(state__in=states).select_related("study").order_by("study__number")


@check
def studies_have_an_end(_settings: Settings) -> Finding:
    """Each study in force has an end and a retention within its legal route."""
    limits = {route.code: route.max_retention_years for route in legal_routes()}
    return _of_each(
        lambda proposal: _is_bounded(proposal, limits),
        mark("{studies} étude(s) en cours, chacune avec sa fin et sa durée de conservation."),
        mark("Sans fin ou conservées trop longtemps : {names}."),
    )


def _of_each(holds: Callable[[Any], bool], if_met: str, if_not: str, **values: int) -> Finding:
    """Whether it holds of each study in force; the ``names`` of those of which it does not."""
    studies = list(studies_in_force())
    if not studies:
        return not_applicable(mark("Aucune étude n'est en cours."))
    if wrong := [proposal.study.number for proposal in studies if not holds(proposal)]:
        return not_met(if_not, names=wrong)
    return met(if_met, studies=len(studies), **values)


def _is_bounded(proposal: Any, limits: Mapping[str, int]) -> bool:
    years, limit = proposal.content.get("retention_years"), limits.get(proposal.content.get("route", ""), 0)
    return proposal.ends is not None and bool(years) and (not limit or int(years) <= limit)


@check
def studies_were_decided_by_three(_settings: Settings) -> Finding:
    """Behind each study in force stand a vote, a visa and a decision, by people who are not on its team."""
    return _of_each(
        _was_decided,
        mark("{studies} étude(s) en cours : vote du comité, visa et décision, par des personnes distinctes."),
        mark("Décision incomplète : {names}."),
    )


def _was_decided(proposal: Any) -> bool:
    """In favour, all three, and nobody twice; the quorum of the day of the vote is not today's, so one vote will do."""
    facts = replace(facts_of(proposal), quorum=1)
    parts = list(proposal.parts.values_list("kind", "person_id", "opinion"))
    decisions = {opinion for kind, _person, opinion in parts if kind == "decision"}
    in_favour = facts.outcome is Opinion.FAVOURABLE and facts.visa and facts.visa[1] is Opinion.FAVOURABLE
    is_approved = bool(decisions) and decisions <= {State.APPROVED, State.CONDITIONAL}
    return bool(in_favour) and is_approved and len({person for _kind, person, _opinion in parts}) == len(parts)


@check
def purposes_are_permitted(_settings: Settings) -> Finding:
    """What each study in force says of itself is put to the rules on forbidden purposes once more."""
    return _of_each(
        lambda proposal: not any(map(forbidden, declarations(proposal.content))),
        mark("{studies} étude(s) en cours relues : aucune des {forbidden} finalités interdites."),
        mark("Finalité interdite, déclarée ou évoquée : {names}."),
        forbidden=len(FORBIDDEN),
    )


@check
def columns_are_justified(_settings: Settings) -> Finding:
    """Each column that a study in force asked for says why."""
    studies = list(studies_in_force())
    if not studies:
        return not_applicable(mark("Aucune étude n'est en cours."))
    asked = [(proposal.study.number, column) for proposal in studies for column in _columns(proposal.content)]
    if not asked:
        return not_applicable(mark("Aucune colonne n'est demandée."))
    if bare := sorted({number for number, column in asked if not column.get("why", "").strip()}):
        return not_met(mark("Colonnes sans justification : {names}."), names=bare)
    return met(mark("{asked} colonne(s) demandée(s) par les études en cours, toutes justifiées."), asked=len(asked))


def _columns(content: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    for table in content.get("data") or ():
        yield from table["columns"]
