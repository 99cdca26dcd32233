"""Letters: each notification by e-mail, in the background, once what it tells of has lasted."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.mail import send_mail
from django_tasks import task

from erios.governance.words import word
from erios.settings import load_settings
from erios.studies.models import Notification

_SUBJECT = "[Erios] {about} : {state}"
_TEXT = """Bonjour,

{what} {about} est maintenant à l'état « {state} » (dernière action : {action}, par {actor}).

Le dossier vous attend dans le portail : mes notifications.

{hospital}
"""


@task()
def send_letters(ids: Sequence[int]) -> int:
    """Send the letters of these notifications; answers how many had an address."""
    hospital = load_settings().portal.hospital
    sent = 0
    for note in Notification.objects.filter(pk__in=ids).select_related("person", "proposal__study", "extract"):
        if note.person.email:
            words = {name: word(value, "fr") for name, value in (("state", note.state), ("action", note.action))}
            what, about = ("L'extrait", note.extract) if note.extract else ("L'étude", note.proposal.study)
            filled = {"what": what, "about": str(about), "actor": note.actor, "hospital": hospital, **words}
            send_mail(_SUBJECT.format(**filled), _TEXT.format(**filled), None, [note.person.email])
            sent += 1
    return sent
