"""``erios airlock request`` and what follows: what leaves a study, by the person whose login the system knows.

The modules of the database are imported by the commands: `erios airlock check` runs where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erios.airlock.column_kinds import DECLARABLE
from erios.airlock.findings import Report
from erios.cli.output import AsJson, answer, print_facts, print_rows, print_table, write_json
from erios.errors import InputError, UsageError
from erios.governance.airlock import Action, Destination, Ground, Kind, Verdict
from erios.workflows.database import open_database, operator

if TYPE_CHECKING:
    from erios.accounts.models import User
    from erios.studies.airlock_models import AirlockFile, AirlockRequest
    from erios.studies.airlock_selectors import ShownFile, ShownVote

Number = Annotated[str, typer.Argument(metavar="REQUEST", help="The request's number, such as E2031-007-S01.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="The files that are to leave.")]
Context = Annotated[str, typer.Option("--context", help="What these files are; their checkers read it.")]
Controls = Annotated[str, typer.Option("--controls", help="What protects the patients in them: threshold, rounding, …")]
KindOption = Annotated[Kind, typer.Option("--kind", help="What the files are to the request.")]
Behind = Annotated[str, typer.Option("--behind", help="The file of the request whose data these are, as a figure.")]
Column = Annotated[
    list[str] | None, typer.Option("--column", help="What a column of a table is, as patients=count; may be repeated.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the record.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The file's name in the request.")]


def request(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The study's number.")],
    files: Files,
    context: Context,
    controls: Controls,
    kind: KindOption = Kind.OUTPUT,
    public: Annotated[bool, typer.Option("--public", help="For the public register, not for the team alone.")] = False,
    column: Column = None,
) -> None:
    """Ask to let files out of your study; they are checked at once, and go to the checkers when you submit.

    Example: erios airlock request E2031-007 table1.csv --context "age by sex" --controls "counts from 11 on"
    """
    by = _by()
    from erios.studies.airlock_actions import start_request
    from erios.studies.selectors import visible_studies

    own = visible_studies(by).filter(number=study).first()
    if own is None:
        raise UsageError(f"no study '{study}' that you may see; `erios study list` shows them")
    columns, contents = declared(column), _contents(files)
    destination = Destination.PUBLIC if public else Destination.TEAM
    made = start_request(study=own, by=by, destination=destination)
    _add(made, by, contents, context=context, controls=controls, kind=kind, columns=columns)


def add(
    number: Number,
    files: Files,
    context: Context,
    controls: Controls,
    kind: KindOption = Kind.OUTPUT,
    behind: Behind = "",
    column: Column = None,
) -> None:
    """Put files into a request that is not under review; one of the same name takes the other's place.

    Example: erios airlock add E2031-007-S01 curve.csv --kind supporting --behind curve.png --context "its data" …
    """
    by = _by()
    said = {"context": context, "controls": controls, "kind": kind, "behind": behind, "columns": declared(column)}
    _add(_find(by, number), by, _contents(files), **said)


def declared(columns: list[str] | None) -> dict[str, str]:
    """Header → kind, as their author declares them; UsageError for what is no kind."""
    kinds = dict(each.rpartition("=")[::2] for each in columns or ())
    strange = sorted(kind for name, kind in kinds.items() if not name or kind not in DECLARABLE)
    if strange:
        raise UsageError(f"--column: '{strange[0]}' is no kind; write NAME=KIND with one of {', '.join(DECLARABLE)}")
    return kinds


def _contents(files: list[Path]) -> dict[str, bytes]:
    """The files by name, read before anything is asked; InputError, UsageError for two of one name."""
    from erios.studies.airlock_store import read_source

    if len({file.name for file in files}) < len(files):
        raise UsageError("two of these files have the same name, by which a request knows them: rename one")
    return {file.name: read_source(file) for file in files}


def _add(made: AirlockRequest, by: User, contents: Mapping[str, bytes], **said: Any) -> None:
    from erios.studies.airlock_actions import add_file

    for name, content in contents.items():
        _print_report(add_file(request=made, by=by, name=name, content=content, **said))
    answer().print(f"{made.number} is {made.state}; `erios airlock submit {made.number}` hands it to the checkers.")


def _print_report(file: AirlockFile) -> None:
    report = Report.from_json(file.report)
    if not report.findings:
        answer().print(f"{file.name}: {report.form}, nothing to hold it for.")
        return
    rows = ([each.verdict, each.where, each.message, each.remedy] for each in report.findings)
    print_table(f"{file.name}: {report.form}", ("verdict", "where", "what", "how to mend"), rows, numbers=0)


def remove(number: Number, name: Name) -> None:
    """Take a file out of a request that is not under review.

    Example: erios airlock remove E2031-007-S01 table1.csv
    """
    _act(number, "remove_file", name=name)


def submit(number: Number) -> None:
    """Hand your request to the checkers; every file is checked again first.

    Example: erios airlock submit E2031-007-S01
    """
    _act(number, "submit_request")


def list_requests(as_json: AsJson = False) -> None:
    """Requests that you may see, newest first.

    Example: erios airlock list
    """
    by = _by()
    from erios.studies.airlock_selectors import request_lines

    lines = [
        {
            "request": line.request.number,
            "state": line.request.state,
            "destination": line.request.destination,
            "by": line.request.author.username,
            "waits_for": list(line.waits_for),
            "you_may": [str(action) for action in line.mine],
        }
        for line in request_lines(by)
    ]
    columns = ("request", "state", "destination", "by", "waits for", "you may")
    print_rows("Requests of the airlock", columns, lines, as_json=as_json)


def show(number: Number, as_json: AsJson = False) -> None:
    """One request: its files, what the checks say, the votes that you may read, points, and what you may do.

    A vote is read by nobody but its checker and the DPO until all are in.

    Example: erios airlock show E2031-007-S01
    """
    by = _by()
    found = _find(by, number)
    details = _details(found, by)
    if as_json:
        write_json(details)
        return
    print_facts({name: value for name, value in details.items() if name != "files"})
    for file in details["files"]:
        answer().print(f"\n{file['name']}")
        print_facts({name: value for name, value in file.items() if name != "name"})


def _details(found: AirlockRequest, by: User) -> dict[str, Any]:
    from erios.studies.airlock_selectors import airlock_actions_for, shown_files, visible_comments, waits_for

    return {
        "request": found.number,
        "study": found.study.number,
        "state": found.state,
        "since": found.since.isoformat(timespec="seconds"),
        "round": found.round,
        "destination": found.destination,
        "by": found.author.username,
        "waits_for": list(waits_for(found)),
        "problem": found.problem,
        "manifest": found.manifest,
        "points": [f"{point.text}: {point.answer or 'to be answered'}" for point in found.points.all()],
        "comments": [f"{one.author.username}: {one.text}" for one in visible_comments(found, by)],
        "you_may": [str(action) for action in airlock_actions_for(found, by)],
        "files": [_file(shown) for shown in shown_files(found, by)],
    }


def _file(shown: ShownFile) -> dict[str, Any]:
    file = shown.file
    return {
        "name": file.name,
        "kind": file.kind,
        "form": file.form,
        "digest": file.digest,
        "context": file.context,
        "controls": file.controls,
        "checks": [f"{one.verdict}, {one.where}: {one.message} {one.remedy}" for one in shown.report.findings],
        "exception_asked": file.exception_asked,
        "exception": file.exception,
        "votes": [_vote(one) for one in shown.votes],
        "outcome": str(shown.outcome or ""),
        "you_may": [str(action) for action in shown.mine],
    }


def _vote(one: ShownVote) -> str:
    said = ": ".join(part for part in (one.ground, one.reason) if part)
    return f"{one.who or 'a checker'} {one.verdict}{f' ({said})' if said else ''}"


def vote(
    number: Number,
    name: Name,
    verdict: Annotated[Verdict, typer.Argument(help="What you think of the file.")],
    digest: Annotated[str, typer.Option("--digest", help="The digest that `erios airlock show` prints of it.")],
    ground: Annotated[Ground | None, typer.Option("--ground", help="Why not, in one of few words.")] = None,
    reason: Reason = "",
) -> None:
    """Vote on a file, as a checker, on the bytes that you read. A vote stands.

    Example: erios airlock vote E2031-007-S01 table1.csv approve --digest 5f0c…
    """
    said = {"file": name, "verdict": verdict, "digest": digest, "ground": str(ground or ""), "reason": reason}
    _act(number, "vote", **said)


def return_to_author(
    number: Number,
    point: Annotated[list[str], typer.Option("--point", help="What must be changed or answered; may be repeated.")],
) -> None:
    """Send a request back with points to answer, as a checker; votes cast so far are never opened.

    Example: erios airlock return E2031-007-S01 --point "which patients are in column 3?"
    """
    _act(number, "return_request", points=point)


def answer_point(
    number: Number,
    point: Annotated[int, typer.Argument(min=1, help="The point's place in `erios airlock show`, from 1.")],
    text: Annotated[str, typer.Argument(help="The answer.")],
) -> None:
    """Answer a checker's point on your request.

    Example: erios airlock answer E2031-007-S01 1 "column 3 is merged with column 4 now"
    """
    by = _by()
    from erios.studies.airlock_actions import answer_airlock_point

    points = list(_find(by, number).points.select_related("request"))
    if point > len(points):
        raise InputError(f"no point {point}; `erios airlock show` lists the {len(points)} there are")
    answer_airlock_point(point=points[point - 1], by=by, answer=text)
    answer().print(f"Point {point} of {number} is answered.")


def comment(number: Number, text: Annotated[str, typer.Argument(help="Your word.")]) -> None:
    """Say a word on a request; a checker's is read by the DPO alone until all votes are in.

    Example: erios airlock comment E2031-007-S01 "the second table replaces the first"
    """
    by = _by()
    from erios.studies.airlock_actions import comment_on_request

    comment_on_request(request=_find(by, number), by=by, text=text)
    answer().print(f"It stands on {number}.")


def ask_exception(number: Number, name: Name, reason: Reason) -> None:
    """Say why the checks are wrong about a file that they hold; the DPO decides whether checkers see it all the same.

    Example: erios airlock ask-exception E2031-007-S01 codes.csv --reason "ten digits are a LOINC list, no identifier"
    """
    _act(number, "ask_exception", file=name, reason=reason)


def grant_exception(
    number: Number,
    name: Name,
    digest: Annotated[str, typer.Option("--digest", help="The digest that `erios airlock show` prints of it.")],
    reason: Reason,
) -> None:
    """Let the checkers see a file that the checks hold, as the DPO; two of them decide still.

    Example: erios airlock grant-exception E2031-007-S01 codes.csv --digest 5f0c… --reason "a public list of codes"
    """
    _act(number, "grant_exception", file=name, digest=digest, reason=reason)


def release(number: Number) -> None:
    """Release the approved files: a checker for the team, the DPO for the public.

    Example: erios airlock release E2031-007-S01
    """
    by = _by()
    from erios.workflows.airlock_release import release_request

    _print_state(release_request(_find(by, number), by))


def withdraw(number: Number) -> None:
    """Withdraw your request.

    Example: erios airlock withdraw E2031-007-S01
    """
    _act(number, "close_request", action=Action.WITHDRAW)


def retract(number: Number, reason: Reason) -> None:
    """Take back what was released, as its author or the DPO: it is shown and handed out no more.

    Example: erios airlock retract E2031-007-S01 --reason "two figures give away a third"
    """
    _act(number, "close_request", action=Action.RETRACT, reason=reason)


def verify(number: Number, as_json: AsJson = False) -> None:
    """Check a release: its manifest on record, the signature, the root, every byte.

    Example: erios airlock verify E2031-007-S01
    """
    by = _by()
    from erios.workflows.airlock_release import verify_release

    manifest = verify_release(_find(by, number))
    if as_json:
        write_json(manifest)
        return
    answer().print(f"{number}: {len(manifest['files'])} files as signed; root {manifest['root']}")


def export(number: Number, folder: Annotated[Path, typer.Argument(help="A new folder.")]) -> None:
    """Copy what was released, with its signed manifest, as somebody on the study's team.

    Example: erios airlock export E2031-007-S01 /media/usb/results
    """
    by = _by()
    from erios.workflows.airlock_release import export_request

    names = export_request(_find(by, number), by, folder)
    answer().print(f"{folder}: {', '.join(names)}, with the signed manifest.")


def _by() -> User:
    open_database()
    return operator()


def _find(by: User, number: str) -> AirlockRequest:
    from erios.accounts.sealed_rows import check_study
    from erios.studies.airlock_selectors import visible_requests

    found = visible_requests(by).filter(number=number).first()
    if found is None:
        raise UsageError(f"no request '{number}' that you may see; `erios airlock list` shows them")
    check_study(found.study)
    return found


def _act(number: str, action: str, /, **details: Any) -> None:
    """Do an action on a request as the person at the keyboard, and print what has become of it."""
    by = _by()
    from erios.studies import airlock_actions

    act: Callable[..., AirlockRequest] = getattr(airlock_actions, action)
    _print_state(act(request=_find(by, number), by=by, **details))


def _print_state(found: AirlockRequest) -> None:
    from erios.studies.airlock_selectors import waits_for

    waits = ", ".join(waits_for(found))
    answer().print(f"{found.number} is {found.state}." + (f" It waits for: {waits}." if waits else ""))


COMMANDS: Mapping[str, Callable[..., None]] = {
    "request": request,
    "add": add,
    "remove": remove,
    "submit": submit,
    "list": list_requests,
    "show": show,
    "vote": vote,
    "return": return_to_author,
    "answer": answer_point,
    "comment": comment,
    "ask-exception": ask_exception,
    "grant-exception": grant_exception,
    "release": release,
    "withdraw": withdraw,
    "retract": retract,
    "verify": verify,
    "export": export,
}
"""Name → command of the group, in the order of a request's life."""
