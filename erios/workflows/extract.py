"""The door through which runs and notebooks read an extract.

Owns who may open it, when, and that each opening and each refusal is on record. Needs no Django before it is called.
"""

from __future__ import annotations

from datetime import UTC, datetime

from erios.audit import last_event
from erios.errors import EriosError, InputError, UsageError
from erios.extracts.opening import OpenedExtract, check_opening, open_verified
from erios.operator_login import current_operator
from erios.workflows.database import open_database
from erios.workflows.signing_keys import signing_key


def open_extract(number: str, login: str | None = None) -> OpenedExtract:
    """The only door to an extract's data: released, on this study's team, today, every byte as cleared; on record.

    ``login``: who opens it (default: the person at the keyboard). Raises RuleBroken, RefusedError or InputError, each
    with its own sentence; a refusal is on record too, and a damaged extract is put in quarantine.
    """
    settings = open_database()
    from erios.accounts.models import User  # these hold Django's models, which a notebook has not set up before
    from erios.accounts.sealed_rows import check_account, check_study
    from erios.studies.extract_actions import quarantine_damaged, record_opening
    from erios.studies.extract_selectors import clearance_of, find_extract

    extract, who = find_extract(number), login or current_operator()
    user = User.objects.filter(username=who, is_active=True).first()
    last = last_event(settings, "")
    try:
        if user is None:
            raise UsageError(f"no open account '{who}' in the portal: an administrator makes one with your login")
        check_study(extract.study)
        check_account(user)
        clearance = clearance_of(extract, signing_key(settings, extract.key_id))
        last_seen = datetime.fromisoformat(last.time) if last else None
        check_opening(number, clearance, user.person, _now(), last_seen)
        opened = open_verified(number, clearance)
    except EriosError as error:
        record_opening(extract=extract, login=who, refused=str(error))
        if isinstance(error, InputError):
            quarantine_damaged(extract=extract, problem=str(error))
        raise
    record_opening(extract=extract, login=who)
    return opened


def _now() -> datetime:
    return datetime.now(UTC)
