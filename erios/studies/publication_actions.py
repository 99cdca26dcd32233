"""Every write on a results text: one transaction each, which changes the data and appends the event.

A text goes through the airlock as a file of its own request, made here: two checkers approve its bytes, then the DPO
agrees to publish them (``erios.workflows.airlock_release.publish_results``).

Owns the order (see ``actions``): the study's row is locked first, so that two who act at once do so one after another.
A version's text is written once, and every event carries its digest: what was agreed to is what is shown.
"""

from __future__ import annotations

from hashlib import sha256

from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from erios.accounts.audit_events import record
from erios.accounts.models import User, holding
from erios.accounts.sealed_rows import check_account, check_study
from erios.audit import Draft
from erios.errors import InputError
from erios.governance.airlock import Action as AirlockAction
from erios.governance.airlock import Destination
from erios.governance.airlock import State as AirlockState
from erios.governance.publication import PROPOSE, WORKFLOW, Action, State, next_actors, proposing
from erios.governance.roles import Role
from erios.governance.words import Refusal, RuleBroken
from erios.governance.workflow import SYSTEM
from erios.studies.airlock_actions import add_file, close_request, start_request, submit_request
from erios.studies.airlock_models import AirlockRequest
from erios.studies.emails import notify
from erios.studies.models import Notification, Publication, Study
from erios.studies.publication_selectors import facts_of


def propose_results(*, study: Study, by: User, text: str) -> Publication:
    """A new version of what came of the study, in plain French; it waits for the airlock's checkers, then for the DPO,
    in place of one that waits. Where the automatic checks hold it, its request stays with the proposer."""
    if refusal := proposing(by.person, study.proposer.username):
        raise RuleBroken(refusal)
    if not text.strip():
        raise InputError("results without a text say nothing; withdraw those that are public instead")
    with transaction.atomic():
        locked = Study.objects.select_for_update(no_key=True).get(pk=study.pk)
        check_study(locked)
        check_account(by)
        _lock_requests(locked)
        last = locked.publications.aggregate(last=Max("version"))["last"] or 0
        _replace(locked, State.WAITING)
        request = _ask_out(locked, by, last + 1, text.strip())
        publication = Publication.objects.create(
            study=locked, version=last + 1, text=text.strip(), by=by, request=request
        )
        notes = _tell(publication, PROPOSE, by)
        record([_draft(PROPOSE, publication)], by=by, rows=[publication, *notes])
    return publication


def act_on_results(*, publication: Publication, by: User, action: Action, reason: str = "") -> Publication:
    """Agree to a version, refuse it, or withdraw it. Raises RuleBroken."""
    with transaction.atomic():
        study = Study.objects.select_for_update(no_key=True).get(pk=publication.study_id)
        check_study(study)
        check_account(by)
        locked = Publication.objects.select_for_update(no_key=True).get(pk=publication.pk)
        _lock_requests(study)
        row = WORKFLOW.check(facts_of(locked), action, by.person)
        if row.reason and not reason.strip():
            raise RuleBroken(Refusal("reason"))
        if action is Action.PUBLISH:
            _check_released(locked)
            _replace(study, State.PUBLISHED)
        _move(locked, State(row.target or locked.state), by, reason)
        notes = _tell(locked, action, by)
        record([_draft(action, locked, reason)], by=by, rows=[locked, *notes])
        _end_request(locked, action)
    return locked


CONTROLS = "Texte relu par son auteur : ni effectif inférieur au seuil, ni personne que l'on puisse reconnaître."
"""What the proposer declares by sending the text, as the page says beside the button."""


def _ask_out(study: Study, by: User, version: int, text: str) -> AirlockRequest:
    """The text as a file of a request for the public; submitted, unless the checks hold it."""
    request = start_request(study=study, by=by, destination=Destination.PUBLIC)
    file = add_file(
        request=request,
        by=by,
        name=f"resultats-v{version}.txt",
        content=text.encode(),
        context=f"Résultats pour le registre public, version {version}.",
        controls=CONTROLS,
    )
    return request if file.held else submit_request(request=request, by=by)


def _lock_requests(study: Study) -> None:
    """Lock the requests of the study's texts: before the chain, as every row that somebody votes on meanwhile."""
    list(AirlockRequest.objects.select_for_update(no_key=True, of=("self",)).filter(publication__study=study))


def _check_released(publication: Publication) -> None:
    """The request of the text is released, and its file is this text."""
    digest = sha256(publication.text.encode()).hexdigest()
    request = publication.request
    if request is None or request.state != AirlockState.RELEASED or not request.files.filter(digest=digest).exists():
        raise RuleBroken(Refusal("results-unchecked", {"request": request.number if request else "—"}))


_ENDS = (AirlockState.DRAFT, AirlockState.SUBMITTED, AirlockState.RETURNED, AirlockState.APPROVED)


def _end_request(publication: Publication, action: Action) -> None:
    """A text that is not published any more, or never will be, waits for no checker."""
    request = publication.request
    if request and action is not Action.PUBLISH and request.state in _ENDS:
        close_request(request=request, by=None, action=AirlockAction.WITHDRAW)


def _replace(study: Study, state: State) -> None:
    """A version in this state makes room for a later one."""
    for earlier in study.publications.filter(state=state):
        row = WORKFLOW.check(facts_of(earlier), Action.REPLACE, SYSTEM)
        _move(earlier, State(row.target or earlier.state), None, "")
        record([_draft(Action.REPLACE, earlier)], by=None, rows=[earlier])
        _end_request(earlier, Action.REPLACE)


def _move(publication: Publication, state: State, by: User | None, reason: str) -> None:
    publication.state, publication.since = state, timezone.now()
    if by:
        publication.decided_by, publication.reason = by, reason.strip()
    publication.save(update_fields=["state", "since", "decided_by", "reason"])


def _draft(action: str, publication: Publication, reason: str = "") -> Draft:
    digest = sha256(publication.text.encode()).hexdigest()
    details = {"results": publication.version, "digest": digest, "state": publication.state}
    return Draft(f"study.{action.replace(' ', '-')}", publication.study.number, reason, details)


def _tell(publication: Publication, action: str, by: User) -> list[Notification]:
    """The proposer, and whoever the version waits for now."""
    roles = [Role(name) for name in next_actors(State(publication.state)) if name in list(Role)]
    told = Q(pk=publication.study.proposer_id) | holding(roles)
    people = User.objects.filter(told, is_active=True).distinct()
    return notify(people, by, action, publication.state, publication.study.proposals.latest("version"))
