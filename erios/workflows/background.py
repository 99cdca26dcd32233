"""What the portal leaves to its worker: builds of extracts, which take longer than a page may."""

from __future__ import annotations

from django_tasks import task

from erios.accounts.models import User
from erios.errors import EriosError
from erios.studies.extract_actions import note_progress
from erios.studies.extract_selectors import find_extract
from erios.workflows.extract_build import build_extract
from etl.errors import EtlError


@task()
def build_in_background(number: str, login: str) -> str:
    """Build and assess an extract for whoever asked; a failure is on record and on the extract's page."""
    extract = find_extract(number)

    def show(step: str, done: int, total: int) -> None:
        note_progress(extract=extract, progress=f"{step} {done}/{total}")

    try:
        return str(build_extract(extract, User.objects.get(username=login), show).state)
    except (EriosError, EtlError) as error:
        return str(error)
