"""The airlock: what a team asks to let out, file by file, and what checkers, DPO and team do about it.

A file's content is shown to checkers and the DPO; to its team only once it is released. Who sits at the portal is
outside of the walls: an author who could read the file here would need no checker.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from erios.accounts.models import User
from erios.accounts.sealed_rows import check_study
from erios.airlock.findings import Form
from erios.errors import InputError
from erios.governance.airlock import Action, Destination, Ground, Kind, State, Verdict
from erios.portal.access import StaffRequest, public, staff
from erios.portal.airlock_pages import attachment, content_of
from erios.portal.posted import Acts, Posted, act_on
from erios.settings import load_settings
from erios.studies import airlock_actions as actions
from erios.studies import airlock_selectors as selectors
from erios.studies.airlock_figures import public_files
from erios.studies.airlock_models import AirlockFile, AirlockPoint, AirlockRequest
from erios.studies.airlock_store import path_of, read_intact
from erios.studies.extract_selectors import team_of
from erios.studies.selectors import everybody_on, visible_studies
from erios.workflows.airlock_release import release_request
from erios.workflows.shared_files import read_shared, shared_files


def _request(request: StaffRequest, number: str) -> AirlockRequest:
    found = get_object_or_404(selectors.visible_requests(request.user), number=number)
    check_study(found.study)
    return found


@staff
@require_safe
def airlock(request: StaffRequest) -> HttpResponse:
    """Requests that the reader may see, those that wait for them first."""
    waiting = selectors.request_lines(request.user, waiting=True)
    known = {"waiting": waiting, "lines": selectors.request_lines(request.user)}
    return render(request, "portal/airlock.html", known)


@staff
@require_POST
def start(request: StaffRequest, number: str) -> HttpResponse:
    """A new request of a study, to be filled."""
    study = get_object_or_404(visible_studies(request.user), number=number)
    destination = Destination.PUBLIC if request.POST.get("public") else Destination.TEAM
    made = actions.start_request(study=study, by=request.user, destination=destination)
    return redirect("airlock_request", made.number)


@staff
@require_safe
def airlock_request(request: StaffRequest, number: str) -> HttpResponse:
    """A request on one page: its files, what the checks say of each, and what the reader may do."""
    found = _request(request, number)
    files = selectors.shown_files(found, request.user)
    known = {
        "request_": found,
        "proposal": found.study.proposals.latest("version"),
        "files": files,
        "outputs": [shown.file.name for shown in files if shown.file.kind == Kind.OUTPUT],
        "to_vote": next((shown.file.name for shown in files if shown.votable), ""),
        "kinds": list(Kind),
        "shared": shared_files(found.study.number) if request.user.username in team_of(found.study) else [],
        "actions": selectors.airlock_actions_for(found, request.user),
        "waits_for": selectors.waits_for(found),
        "reads": not _is_own(found, request.user),
        "points": found.points.select_related("file"),
        "comments": selectors.visible_comments(found, request.user),
        "earlier": _earlier(found, request),
        "publication": getattr(found, "publication", None),
        "most": load_settings().airlock.days,
    }
    return render(request, "portal/airlock_request.html", known)


def _is_own(found: AirlockRequest, user: User) -> bool:
    """Is or was the reader on the study's team?"""
    return user.username in everybody_on(found.study)


def _reads(found: AirlockRequest, file: AirlockFile, user: User) -> bool:
    """May the reader see what a file holds? Its team may, once it has left."""
    return not _is_own(found, user) or (found.state == State.RELEASED and file in selectors.released_files(found))


def _earlier(found: AirlockRequest, request: StaffRequest) -> list[tuple[int, list[selectors.ShownFile]]]:
    """The votes of earlier rounds, newest first."""
    rounds = range(found.round - 1, 0, -1)
    return [(number, selectors.shown_files(found, request.user, number)) for number in rounds]


@staff
@require_POST
def add(request: StaffRequest, number: str) -> HttpResponse:
    """Put a file in; it is checked at once."""
    found = _request(request, number)
    name, content = _handed_in(found, request)
    if request.POST.get("kind") not in list(Kind):
        raise Http404
    file = actions.add_file(
        request=found,
        by=request.user,
        name=name,
        content=content,
        kind=Kind(request.POST["kind"]),
        context=request.POST.get("context", ""),
        controls=request.POST.get("controls", ""),
        behind=request.POST.get("behind", ""),
    )
    if file.held:
        messages.error(request, _("Les contrôles automatiques retiennent ce fichier : voyez comment le corriger."))
    else:
        messages.success(request, _("Le fichier est déposé ; les contrôles automatiques ne le retiennent pas."))
    return redirect("airlock_request", number)


def _handed_in(found: AirlockRequest, request: StaffRequest) -> tuple[str, bytes]:
    """Name and bytes of a file: of the study's shared folder, for its team, or of the person's machine."""
    if (shared := request.POST.get("shared", "")) and request.user.username in team_of(found.study):
        return PurePosixPath(shared).name, read_shared(found.study.number, shared)
    upload = request.FILES.get("file")
    if upload is None:
        raise InputError(_("choisissez un fichier"))
    if (upload.size or 0) > load_settings().airlock.model_mb << 20:
        raise InputError(_("ce fichier est trop grand pour le sas"))
    return str(upload.name), upload.read()


@staff
@require_safe
def airlock_file(request: StaffRequest, number: str, name: str) -> HttpResponse:
    """One file as it is, with what the checks mark in it, and the ways to the next and the one before."""
    found = _request(request, number)
    files = selectors.shown_files(found, request.user)
    place = next((place for place, shown in enumerate(files) if shown.file.name == name), None)
    if place is None:
        raise Http404
    shown, reads = files[place], _reads(found, files[place].file, request.user)
    content = content_of(shown.file, _bytes(found, shown.file), shown.report) if reads else None
    known = {
        "request_": found,
        "shown": shown,
        "reads": reads,
        "own": _is_own(found, request.user),
        "content": content,
        "findings": shown.numbered,
        "place": place + 1,
        "count": len(files),
        "previous": files[place - 1].file.name if place else "",
        "next": files[place + 1].file.name if place + 1 < len(files) else "",
        "behind": [one.file.name for one in files if one.file.behind == name],
        "before": selectors.refused_before(shown.file),
        "verdicts": list(Verdict),
        "grounds": list(Ground),
    }
    return render(request, "portal/airlock_file.html", known)


def _bytes(found: AirlockRequest, file: AirlockFile) -> bytes:
    """The bytes as they were handed in; RuleBroken, and the request void, where they changed."""
    actions.check_bytes(found, file.name)
    return path_of(found.study.number, file.digest, file.name).read_bytes()


@staff
@require_safe
def airlock_bytes(request: StaffRequest, number: str, name: str) -> HttpResponse:
    """A figure for those who check it; a released file for its team, on record."""
    found = _request(request, number)
    file = actions.find_file(found, name)
    if not _reads(found, file, request.user):
        raise Http404
    if _is_own(found, request.user):
        actions.note_download(request=found, by=request.user, file=name)
    elif file.form != Form.FIGURE:
        raise Http404
    return attachment(name, file.form, _bytes(found, file))


@public
@require_safe
def public_file(_request: HttpRequest, number: str, request_number: str, name: str) -> HttpResponse:
    """A file that was released for everybody; nothing where its bytes are not those any more."""
    wanted = [file for file in public_files(number) if (file.request, file.name) == (request_number, name)]
    content = read_intact(number, wanted[0].digest, name) if wanted else None
    if content is None:
        raise Http404
    return attachment(name, wanted[0].form, content)


@staff
@require_POST
def comment(request: StaffRequest, number: str) -> HttpResponse:
    """A word on the request."""
    found = _request(request, number)
    actions.comment_on_request(request=found, by=request.user, text=request.POST.get("text", ""))
    return redirect("airlock_request", number)


@staff
@require_POST
def act(request: StaffRequest, number: str, action: str) -> HttpResponse:
    """Do one action of the rules on the request, or on one of its files, that the reader saw."""
    found = _request(request, number)
    act_on(found, action, _ACTS, request)
    name, following = request.POST.get("file", ""), request.POST.get("next", "")
    if action == Action.VOTE and following in {file.name for file in selectors.files_of(found)}:
        return redirect("airlock_file", number, following)
    return redirect("airlock_file", number, name) if action == Action.VOTE else redirect("airlock_request", number)


def _vote(found: AirlockRequest, posted: Posted) -> None:
    if posted["verdict"] not in list(Verdict):
        raise Http404
    actions.vote(
        request=found,
        by=posted.by,
        file=posted["file"],
        digest=posted["digest"],
        verdict=Verdict(posted["verdict"]),
        ground=posted["ground"],
        reason=posted["reason"],
    )


def _answer(found: AirlockRequest, posted: Posted) -> None:
    number = int(posted["point"]) if posted["point"].isdecimal() else 0
    point = get_object_or_404(AirlockPoint.objects.select_related("request"), request=found, pk=number)
    actions.answer_airlock_point(point=point, by=posted.by, answer=posted["reason"])


def _close(found: AirlockRequest, posted: Posted) -> None:
    actions.close_request(request=found, action=Action(posted.action), reason=posted["reason"], **posted.seen)


_ACTS: Acts = {
    Action.EDIT: lambda found, posted: actions.remove_file(request=found, by=posted.by, name=posted["file"]),
    Action.SUBMIT: lambda found, posted: actions.submit_request(request=found, **posted.seen),
    Action.VOTE: _vote,
    Action.RETURN: lambda found, posted: actions.return_request(
        request=found, points=posted["reason"].splitlines(), **posted.seen
    ),
    Action.ANSWER: _answer,
    Action.RELEASE: lambda found, posted: release_request(found, posted.by),
    Action.ASK_EXCEPTION: lambda found, posted: actions.ask_exception(
        request=found, by=posted.by, file=posted["file"], reason=posted["reason"]
    ),
    Action.GRANT_EXCEPTION: lambda found, posted: actions.grant_exception(
        request=found, by=posted.by, file=posted["file"], digest=posted["digest"], reason=posted["reason"]
    ),
    Action.WITHDRAW: _close,
    Action.RETRACT: _close,
}
