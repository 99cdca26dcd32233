"""``erios study``: the portal's actions for scripts, by the person whose login the system knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from erios.accounts.models import User
from erios.accounts.sealed_rows import check_study
from erios.cli import output
from erios.cli.output import AsJson, command_group, print_facts, print_rows, write_json
from erios.cli.runs import report_stopped
from erios.errors import InputError, UsageError
from erios.governance.airlock import State as AirlockState
from erios.governance.publication import Action as PublicationAction
from erios.governance.study import Action, Opinion
from erios.studies import actions
from erios.studies.actions import MOVES, agree_to_resume, answer_point, give_visa, return_with_points
from erios.studies.models import Proposal, Publication
from erios.studies.publication_actions import act_on_results, propose_results
from erios.studies.publication_selectors import Shown, results_of
from erios.studies.selectors import dossier_of, visible_studies
from erios.workflows.airlock_release import publish_results
from erios.workflows.database import open_database, operator

app = command_group(
    "List and show studies; submit, vote, give the visa, decide. Everything is on record under your login."
)

T = TypeVar("T")
Number = Annotated[str, typer.Argument(metavar="STUDY", help="The study's number, such as E2031-007.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the dossier and the audit chain.")]
For = Annotated[bool, typer.Option("--for/--against", help="Favourable, or not.")]


@app.command("list")
def list_studies(as_json: AsJson = False) -> None:
    """Studies that you may read, newest first.

    Example: erios study list
    """
    by = _by()
    proposals = [study.proposals.order_by("-version")[0] for study in visible_studies(by)]
    lines = [
        {"study": p.study.number, "version": p.version, "state": p.state, "title": p.content.get("title", "")}
        for p in proposals
    ]
    print_rows("Studies", ("study", "version", "state", "title"), lines, as_json=as_json)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """One study: its state, what it waits for, votes, visa, decision, and what you may do.

    Example: erios study show E2031-007
    """
    by = _by()
    details = dossier_of(_proposal(by, number), by)
    if as_json:
        write_json(details)
        return
    print_facts({name: value for name, value in details.items() if name != "content"})


@app.command()
def submit(number: Number) -> None:
    """Submit your proposal.

    Example: erios study submit E2031-007
    """
    _act(number, actions.submit)


@app.command()
def vote(number: Number, reason: Reason = "", favourable: For = True) -> None:
    """Vote, as a member of the committee.

    Example: erios study vote E2031-007 --for --reason "a clear question"
    """
    _act(number, actions.vote, opinion=_opinion(favourable), reason=reason)


@app.command()
def visa(number: Number, reason: Reason = "", favourable: For = True) -> None:
    """Give or refuse the visa, as the DPO.

    Example: erios study visa E2031-007 --against --reason "exact dates are not needed"
    """
    _act(number, give_visa, opinion=_opinion(favourable), reason=reason)


@app.command()
def decide(
    number: Number,
    reason: Reason = "",
    condition: Annotated[list[str], typer.Option("--condition", help="A condition; give it again for more.")] = [],  # noqa: B006
    reject: Annotated[bool, typer.Option("--reject", help="Refuse the study.")] = False,
) -> None:
    """Approve, with conditions or without, or reject, as the controller's delegate.

    Example: erios study decide E2031-007 --condition "month instead of day" --reason "useful, proportionate"
    """
    action = Action.REJECT if reject else Action.APPROVE_CONDITIONALLY if condition else Action.APPROVE
    _act(number, actions.decide, action=action, reason=reason, conditions=condition)


@app.command("return")
def return_study(
    number: Number,
    point: Annotated[list[str], typer.Option("--point", help="What must be answered; give it again for more.")],
) -> None:
    """Send a proposal back with points to answer.

    Example: erios study return E2031-007 --point "why exact dates?" --point "who is informed?"
    """
    _act(number, return_with_points, points=point)


@app.command()
def answer(
    number: Number,
    point: Annotated[int, typer.Argument(min=1, help="The point's place in `erios study show`, from 1.")],
    text: Annotated[str, typer.Argument(help="The answer.")],
) -> None:
    """Answer a reviewer's point on your proposal.

    Example: erios study answer E2031-007 1 "months will do; the proposal is changed"
    """
    by = _by()
    proposal = _proposal(by, number)
    answer_point(point=_nth(list(proposal.points.all()), point, "point"), by=by, answer=text)
    _print_state(proposal)


@app.command("meet-condition")
def meet_condition(
    number: Number,
    condition: Annotated[int, typer.Argument(min=1, help="The condition's place in `erios study show`, from 1.")],
) -> None:
    """Confirm that a condition of the decision is met, as the DPO.

    Example: erios study meet-condition E2031-007 1
    """
    by = _by()
    proposal = _proposal(by, number)
    actions.meet_condition(condition=_nth(list(proposal.conditions.all()), condition, "condition"), by=by)
    _print_state(proposal)


@app.command()
def resume(number: Number, reason: Reason = "") -> None:
    """Agree to resume a suspended study, as the DPO or the controller's delegate; it takes both.

    Example: erios study resume E2031-007 --reason "the notice to patients is mended"
    """
    _act(number, agree_to_resume, reason=reason)


@app.command()
def amend(number: Number) -> None:
    """Begin a new version of your active study, which stays active meanwhile.

    Example: erios study amend E2031-007
    """
    by = _by()
    _print_state(actions.amend(study=_proposal(by, number).study, by=by))


@app.command()
def move(
    number: Number,
    action: Annotated[str, typer.Argument(help="Such as triage, open-review, activate.")],
    reason: Reason = "",
) -> None:
    """Do any other action of the rules: triage, open-review, withdraw, activate, suspend, close, archive.

    Example: erios study move E2031-007 triage
    """
    try:
        chosen = Action(action.replace("-", " "))
    except ValueError:
        chosen = Action.EDIT
    if chosen not in MOVES:
        raise UsageError(f"no such action; choose {', '.join(sorted(name.replace(' ', '-') for name in MOVES))}")
    _act(number, actions.move, action=chosen, reason=reason)
    report_stopped()


@app.command("results")
def results(number: Number, as_json: AsJson = False) -> None:
    """The versions of a study's results text, newest first, with what you may do to each.

    Example: erios study results E2031-007
    """
    by = _by()
    lines = [_version(shown) for shown in results_of(_proposal(by, number).study, by)]
    columns = ("version", "state", "by", "decided by", "reason", "you may")
    print_rows(f"Results of {number}", columns, lines, as_json=as_json)
    for line in [] if as_json else lines[:1]:
        output.answer().print(f"\nVersion {line['version']}: {line['text']}")


@app.command("propose-results")
def propose(number: Number, file: Annotated[Path, typer.Argument(help="The text, in plain French, UTF-8.")]) -> None:
    """Propose what came of your study; it is public once two checkers and the DPO have agreed to this very text.

    It goes through the airlock, where `erios airlock list` shows its request.

    Example: erios study propose-results E2031-007 resultats.txt
    """
    by = _by()
    study = _proposal(by, number).study
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{file} is no text in UTF-8 that can be read") from None
    publication = propose_results(study=study, by=by, text=text)
    _print_results(publication)
    if publication.request and publication.request.state == AirlockState.DRAFT:
        number = publication.request.number
        output.answer().print(f"The checks hold it: `erios airlock show {number}` says why, and how to mend it.")


@app.command("move-results")
def move_results(
    number: Number,
    version: Annotated[int, typer.Argument(min=1, help="The version's number in `erios study results`.")],
    action: Annotated[str, typer.Argument(help="publish, refuse or withdraw.")],
    reason: Reason = "",
) -> None:
    """Agree to a version of the results text, or refuse it, as the DPO; or withdraw it.

    Example: erios study move-results E2031-007 1 publish
    """
    by = _by()
    versions = {f"{word} results": word for word in ("publish", "refuse", "withdraw")}
    if f"{action} results" not in versions:
        raise UsageError(f"no such action; choose {', '.join(versions.values())}")
    publication = _proposal(by, number).study.publications.filter(version=version).first()
    if publication is None:
        raise InputError(f"no version {version}; `erios study results` lists those there are")
    chosen = PublicationAction(f"{action} results")
    if chosen is PublicationAction.PUBLISH:
        _print_results(publish_results(publication, by))
    else:
        _print_results(act_on_results(publication=publication, by=by, action=chosen, reason=reason))


def _version(shown: Shown) -> dict[str, Any]:
    version = shown.publication
    return {
        "version": version.version,
        "state": version.state,
        "by": version.by.username,
        "decided_by": version.decided_by.username if version.decided_by else None,
        "reason": version.reason,
        "you_may": [action.removesuffix(" results") for action in shown.mine],
        "text": version.text,
        "request": version.request.number if version.request else None,
    }


def _print_results(publication: Publication) -> None:
    output.answer().print(f"Version {publication.version} of {publication.study.number}: {publication.state}.")


def _by() -> User:
    open_database()
    return operator()


def _proposal(by: User, number: str) -> Proposal:
    study = visible_studies(by).filter(number=number).first()
    proposal = study.proposals.order_by("-version").first() if study else None
    if proposal is None:
        raise InputError(f"no study {number} that you may read; `erios study list` shows them")
    check_study(proposal.study)
    return proposal


def _nth(items: Sequence[T], number: int, kind: str) -> T:
    if number > len(items):
        raise InputError(f"no {kind} {number}; `erios study show` lists the {len(items)} there are")
    return items[number - 1]


def _opinion(favourable: bool) -> Opinion:
    return Opinion.FAVOURABLE if favourable else Opinion.UNFAVOURABLE


def _act(number: str, action: Callable[..., Proposal], /, **details: Any) -> None:
    """Do an action on a study's newest proposal as the person at the keyboard, and print what has become of it."""
    by = _by()
    _print_state(action(proposal=_proposal(by, number), by=by, **details))


def _print_state(proposal: Proposal) -> None:
    output.answer().print(f"{proposal.study.number} v{proposal.version} is now {proposal.state}.")
