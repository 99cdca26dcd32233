"""Letters: each notification by e-mail, in the portal's language, in the background, once its change is committed.

A letter names the number of study, extract or request, its state, and logins; never a title, a reason, a count or a
value: it leaves the portal's protection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from smtplib import SMTPException

from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone
from django_tasks import task

from erios.accounts.models import User
from erios.errors import StorageError
from erios.governance.airlock import Destination
from erios.governance.airlock import State as AirlockState
from erios.governance.airlock import next_actors as airlock_actors
from erios.governance.extract import State as ExtractState
from erios.governance.extract import next_actors as extract_actors
from erios.governance.publication import State as PublicationState
from erios.governance.publication import next_actors as publication_actors
from erios.governance.study import State
from erios.governance.study import next_actors as study_actors
from erios.governance.words import word
from erios.settings import load_settings
from erios.studies.airlock_models import AirlockRequest
from erios.studies.models import Extract, Notification, Proposal, Study
from erios.translation import gettext, mark, using

_SUBJECT = mark("[Erios] {about} : {state}")
_TEXT = mark("""Bonjour,

{what} {about} est maintenant à l'état « {state} » (dernière action : {action}, par {actor}).

Il attend : {waits_for}.
Le dossier est dans le portail, sous vos notifications.

{hospital}
""")
_EXTRACT, _STUDY, _NOBODY = mark("L'extrait"), mark("L'étude"), mark("personne")
_REQUEST = mark("Le dossier de sortie")

TRIES, PAUSE = 6, timedelta(minutes=10)
"""How often a letter is tried, and how long after a mail server that refused it."""


def notify(
    people: Iterable[User],
    by: User | None,
    action: str,
    state: str,
    proposal: Proposal,
    extract: Extract | None = None,
    request: AirlockRequest | None = None,
) -> list[Notification]:
    """Tell everybody but whoever acted (None: the system) what was done; letters go out after the commit."""
    told = {"proposal": proposal, "extract": extract, "request": request, "action": action, "state": state}
    actor = by.username if by else "system"
    notes = Notification.objects.bulk_create(
        Notification(person=person, actor=actor, **told) for person in people if person != by
    )
    ids = [note.pk for note in notes]
    transaction.on_commit(lambda: send_letters.enqueue(ids))
    return notes


@task()
def send_letters(ids: Sequence[int], tries: int = TRIES) -> int:
    """Send the letters of these notifications; answers how many went. Those that did not are tried again later."""
    notes = Notification.objects.filter(pk__in=ids).select_related("person", "proposal__study", "extract", "request")
    addressed = [note for note in notes if note.person.email]
    failed = [note.pk for note in addressed if not _send(note)]
    if failed and tries > 1:
        send_letters.using(run_after=timezone.now() + PAUSE).enqueue(failed, tries - 1)
    elif failed:
        raise StorageError(f"{len(failed)} letters could not be sent in {TRIES} tries; they are in the portal")
    return len(addressed) - len(failed)


def _send(note: Notification) -> bool:
    """Whether the mail server took it; what it answered may quote the letter, and is not kept."""
    with using(load_settings().portal.language):
        values = _values(note)
        subject, text = gettext(_SUBJECT, **values), gettext(_TEXT, **values)
    try:
        send_mail(subject, text, None, [note.person.email])
    except (SMTPException, OSError):
        return False
    return True


def _values(note: Notification) -> dict[str, str]:
    what, about = _about(note)
    return {
        "what": gettext(what),
        "about": str(about),
        "actor": note.actor,
        "state": word(note.state),
        "action": word(note.action),
        "waits_for": ", ".join(map(word, _actors(note))) or gettext(_NOBODY),
        "hospital": load_settings().portal.hospital,
    }


def _about(note: Notification) -> tuple[str, Extract | AirlockRequest | Study]:
    if note.extract:
        return _EXTRACT, note.extract
    return (_REQUEST, note.request) if note.request else (_STUDY, note.proposal.study)


def _actors(note: Notification) -> tuple[str, ...]:
    """Whom the extract, the request, the results text or the study waits for."""
    if note.request:
        return airlock_actors(AirlockState(note.state), Destination(note.request.destination))
    if note.extract:
        return extract_actors(ExtractState(note.state))
    if note.state in list(PublicationState):
        return publication_actors(PublicationState(note.state))
    return study_actors(State(note.state))
