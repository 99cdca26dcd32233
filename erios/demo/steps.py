"""The steps of the demonstration. Each step says in one line why it is there, and asks the record whether it is done.

Owns the order of the steps alone: what they do is the workflows' and the actions', by the accounts that the rules want.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from erios.checkout import PROJECT
from erios.clock import hospital_day
from erios.demo.accounts import account, open_accounts, scientist
from erios.demo.size import Scale
from erios.errors import TrainingFailed
from erios.governance.airlock import State as AirlockState
from erios.governance.airlock import Verdict
from erios.governance.extract import Action as ExtractAction
from erios.governance.extract import State as ExtractState
from erios.governance.study import Action as StudyAction
from erios.governance.study import Opinion
from erios.governance.study import State as StudyState
from erios.governance.words import RuleBroken
from erios.keys import init_keyring
from erios.settings import Settings, load_settings
from erios.studies import actions
from erios.studies import extract_actions as acts
from erios.studies.airlock_actions import vote
from erios.studies.extract_actions import move_extract, request_extract
from erios.studies.extract_selectors import extract_facts
from erios.studies.models import Extract, Proposal, Publication, Run, Study
from erios.studies.publication_actions import propose_results
from erios.workflows.airlock_release import publish_results
from erios.workflows.codes import load_code_lists
from erios.workflows.count import count_patients
from erios.workflows.database import open_database
from erios.workflows.extract_build import build_extract
from erios.workflows.extract_release import release_extract
from erios.workflows.load import load_export
from erios.workflows.run_follow import watch
from erios.workflows.run_summary import summary_of
from erios.workflows.train import RunRequest, resume, start
from etl.synthetic import generate, write_code_lists
from etl.warehouse.release import release_ids

VOTERS = ("comite-1", "comite-2", "comite-3")
CHECKERS = ("verification-1", "verification-2")
Report = Callable[[str], None]
"""Receives what happens within a step, one line at a time."""


@dataclass(frozen=True)
class Step:
    """``why``: one line for the viewer; ``act`` does it, or finds it done, and returns the result in a sentence."""

    name: str
    why: str
    act: Callable[[Report], str]


@dataclass(frozen=True)
class Demo:
    """The steps of a demonstration in its home."""

    settings: Settings
    scale: Scale

    def steps(self) -> tuple[Step, ...]:
        """All of them, in order."""
        return (
            Step("Hospital", "a generated university hospital exports its FHIR records and images", self.export),
            Step("Keys", "the secret behind every pseudonym, in the identity zone alone", self.make_keys),
            Step("Load", "identities are replaced, the result is validated, then published as one release", self.load),
            Step("Accounts", "one account a role; nobody has two parts in one decision", lambda _: self.accounts()),
            Step("Proposal", "a clinician says what for, with which data, and counts without seeing one", self.propose),
            Step("Decision", "the committee votes, the DPO gives a visa, the controller decides", self.decide),
            Step("Extract", "only the columns that the study justified, under pseudonyms of its own", self.build),
            Step("Remedy", "the team applies what the risk report proposes, and it is built again", self.improve),
            Step(
                "Clearance",
                "the DPO reads the new report and clears exactly these bytes, no exception needed",
                self.clear,
            ),
            Step("Refusal", "an extract with exact dates finds too many patients, and is refused", self.refuse),
            Step("Images", "an image tells its patient: it leaves by exception alone, with a reason", self.images),
            Step("Readmission", "a model of the risk of coming back, beside a logistic regression", self.readmission),
            Step("Lesions", "a segmentation of liver lesions in CT, beside a threshold", self.lesions),
            Step("Airlock", "what leaves is checked by two people, neither of whom reads the other", self.let_out),
        )

    @property
    def hospital(self) -> Path:
        """Where the generated export lies."""
        return self.settings.home / "export"

    def export(self, report: Report) -> str:
        draft = self.hospital.with_name("export.new")
        if not self.hospital.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
            generate(draft, self.scale.patients, 1, imaging=self.scale.imaged)
            draft.rename(self.hospital)
        return f"{self.scale.patients:,} patients, {self.scale.imaged} of them with images, in {self.hospital}"

    def make_keys(self, report: Report) -> str:
        self.settings.make_zones()
        if not self.settings.keyring.exists():
            init_keyring(self.settings.keyring)
        open_database(migrate=True)
        return "one key, readable by its owner alone"

    def load(self, report: Report) -> str:
        if not release_ids(self.settings.warehouse):
            lists = write_code_lists(self.hospital.with_name("code-lists.ndjson"))
            codes = sum(entry.codes for entry in load_code_lists(self.settings, [lists]))
            report(f"{codes:,} codes of the code lists that the hospital uses")
            totals = load_export([self.hospital], self.settings).to_dict()["totals"]
            report(f"{totals['in']:,} resources in, {totals['quarantined']:,} quarantined")
        return f"release {release_ids(self.settings.warehouse)[-1]}"

    def accounts(self) -> str:
        return f"{open_accounts()} accounts"

    def propose(self, report: Report) -> str:
        clinician, existing = account("clinicien"), Study.objects.order_by("number").first()
        proposal = _proposal() if existing else actions.start_study(by=clinician)
        if StudyState(proposal.state) is StudyState.DRAFT:
            proposal = actions.save_content(proposal=proposal, by=clinician, changes=_content())
            if not proposal.parts.filter(kind="team").exists():
                actions.add_member(proposal=proposal, by=clinician, member=scientist())
            shown = count_patients(study=proposal.study, by=clinician, criteria=_script()["cohort"])
            report(f"the clinician reads {shown.total} adults, a count with a little noise")
            actions.submit(proposal=proposal, by=clinician)
        return f"study {proposal.study.number}, submitted"

    def decide(self, report: Report) -> str:
        for line in _review(_proposal()):
            report(line)
        return f"study {_proposal().study.number} is {_proposal().state}"

    def build(self, report: Report) -> str:
        extract = _extract(TABLES) or _assessed(TABLES, "extract")
        if extract.versions.count() == 1 and extract.report:
            for line in _risk(extract):
                report(line)
        return f"extract {extract.number}: {extract.patients:,} patients"

    def improve(self, report: Report) -> str:
        extract = _assessed(TABLES, "extract")
        remedies = extract.report["remedies"]
        if extract.versions.count() == 1 and remedies and remedies[0]["enough"]:
            acts.apply_proposal(extract=extract, by=account("clinicien"), number=1)
            report(f"the team applied the first of {len(remedies)} proposals; the DPO approved the new specification")
            extract = _assessed(TABLES, "extract")
            for line in _risk(extract):
                report(line)
        return f"extract {extract.number}: version {extract.versions.count()} of its specification"

    def clear(self, report: Report) -> str:
        return self._released(_assessed(TABLES, "extract"), report)

    def refuse(self, report: Report) -> str:
        extract = _assessed(REFUSED, "refused")
        for line in _refusal(extract):
            report(line)
        return f"extract {extract.number} is {_assessed(REFUSED, 'refused').state}"

    def images(self, report: Report) -> str:
        return self._released(_assessed(IMAGES, "images"), report)

    def _released(self, extract: Extract, report: Report) -> str:
        for line in _clearance(extract):
            report(line)
        extract.refresh_from_db()
        return f"extract {extract.number} is {extract.state}, in {self.settings.studies / extract.study.number}"

    def readmission(self, report: Report) -> str:
        run = _trained("readmission", TABLES, {"epochs": self.scale.readmission_epochs}, report)
        return self._judged(run, ("roc_auc", "brier"))

    def lesions(self, report: Report) -> str:
        epochs = self.scale.segmentation_epochs
        run = _trained("lesion_segmentation", IMAGES, {"epochs": epochs, "validate_every": max(1, epochs // 3)}, report)
        return self._judged(run, ("dice",))

    def let_out(self, report: Report) -> str:
        publication = _results()
        for line in _checked(publication):
            report(line)
        publication.refresh_from_db()
        request = publication.request
        return f"the results text is {publication.state}; its request is {request.state if request else 'missing'}"

    def _judged(self, run: Run, names: tuple[str, ...]) -> str:
        evaluation = summary_of(run).evaluation
        if evaluation["patients"] is None:
            return f"run {run.number}: too few test patients for figures"
        model, plain = evaluation["metrics"], evaluation["baseline"]
        figures = [f"{name} {model[name]['value']:.2f} (plain model {plain[name]['value']:.2f})" for name in names]
        return f"run {run.number}: {', '.join(figures)}, on {evaluation['patients']} patients never seen"


@cache
def _script() -> dict[str, Any]:
    script: dict[str, Any] = tomllib.loads((PROJECT / "conf" / "demonstration.toml").read_text(encoding="utf-8"))
    return script


def _content() -> dict[str, Any]:
    """The proposal, with the data that the extract will want, and dates from today."""
    today = hospital_day()
    data = [
        {
            "table": table,
            "columns": [{"name": n, "why": c["why"] if isinstance(c, dict) else c} for n, c in columns.items()],
        }
        for part in ("extract", "images")
        for table, columns in _script()[part]["tables"].items()
    ]
    dates = {"starts": today.isoformat(), "ends": (today + timedelta(days=365)).isoformat()}
    texts = {name: _unwrapped(value) for name, value in _script()["proposal"].items()}
    return {**texts, **dates, "cohort": _script()["cohort"], "data": data}


def _unwrapped(value: Any) -> Any:
    """A text without the file's line breaks; anything else unchanged."""
    return " ".join(value.split()) if isinstance(value, str) else value


def _proposal() -> Proposal:
    return Proposal.objects.order_by("pk")[0]  # others may have come since, from whoever tries the portal


TABLES, REFUSED, IMAGES = 1, 2, 3
"""Places of the extracts among the study's."""


def _numbered(place: int) -> str:
    return f"{_proposal().study.number}-X{place:02d}"


def _extract(place: int) -> Extract | None:
    return Extract.objects.filter(number=_numbered(place)).first()


def _assessed(place: int, part: str) -> Extract:
    """The extract of a place, brought to its risk report if it is not there or beyond."""
    study = _proposal().study
    content = {"cohort": _script()["cohort"], **_script()[part]}
    extract = _extract(place) or request_extract(study=study, by=account("clinicien"), content=content)
    if ExtractState(extract.state) is ExtractState.REQUESTED:
        extract = move_extract(extract=extract, by=account("dpo"), action=ExtractAction.APPROVE_SPECIFICATION)
    if ExtractState(extract.state) in (ExtractState.SPECIFIED, ExtractState.BUILT):
        extract = build_extract(extract, account("donnees-1"))
    return extract


def _risk(extract: Extract) -> Iterator[str]:
    """What the risk report says, in a line."""
    facts = extract_facts(extract)
    share = 100 * (facts.reidentified or 0)
    yield f"the smallest class has {facts.k}; the best attacker finds {share:.1f} % of the patients"


def _refusal(extract: Extract) -> Iterator[str]:
    """The DPO may not clear the extract, and refuses it."""
    if ExtractState(extract.state) is not ExtractState.ASSESSED:
        return
    yield from _risk(extract)
    try:
        until = hospital_day() + timedelta(days=90)
        acts.clear(extract=extract, by=account("dpo"), root=extract.root, expires=until)
    except RuleBroken as refusal:
        yield f"the DPO may not clear it: {refusal}"
        reason = "Dates et durées exactes : une proposition du rapport suffit à l'étude."
        move_extract(extract=extract, by=account("dpo"), action=ExtractAction.REFUSE, reason=reason)
        yield "the DPO refused it, with the reason"


def _review(proposal: Proposal) -> Iterator[str]:
    """From the state in which the proposal is to an active study."""
    reason = "Question claire, données proportionnées."
    favourable: dict[str, Any] = {"opinion": Opinion.FAVOURABLE, "reason": reason}
    if StudyState(proposal.state) is StudyState.SUBMITTED:
        proposal = actions.move(proposal=proposal, by=account("donnees-1"), action=StudyAction.TRIAGE)
        yield "a data manager found it complete"
    if StudyState(proposal.state) is StudyState.TRIAGED:
        proposal = actions.move(proposal=proposal, by=account(VOTERS[0]), action=StudyAction.OPEN_REVIEW)
    if StudyState(proposal.state) is StudyState.UNDER_REVIEW:
        for login in VOTERS:
            if not proposal.parts.filter(person=account(login), kind="vote").exists():
                proposal = actions.vote(proposal=proposal, by=account(login), **favourable)
        yield f"{len(VOTERS)} members of the committee voted"
        if not proposal.parts.filter(kind="visa").exists():
            proposal = actions.give_visa(proposal=proposal, by=account("dpo"), **favourable)
        yield "the DPO gave the visa"
        proposal = actions.decide(proposal=proposal, by=account("direction"), action=StudyAction.APPROVE, reason=reason)
        yield "the controller's delegate approved"
    if StudyState(proposal.state) is StudyState.APPROVED:
        actions.move(proposal=proposal, by=account("dpo"), action=StudyAction.ACTIVATE)
        yield "the DPO checked the formalities: the study is active, and citizens can read it"


def _clearance(extract: Extract) -> Iterator[str]:
    """From an assessed extract to one that is released to its study."""
    bound: dict[str, Any] = {"root": extract.root, "expires": hospital_day() + timedelta(days=90)}
    if ExtractState(extract.state) is ExtractState.ASSESSED and not extract.parts.filter(kind="clearer").exists():
        try:
            extract = acts.clear(extract=extract, by=account("dpo"), **bound)
            yield "the DPO cleared it"
        except RuleBroken as refusal:
            yield f"the DPO may not clear it alone: {refusal}"
            reason = "Hôpital généré : aucune personne réelle."
            extract = acts.ask_exception(extract=extract, by=account("dpo"), reason=reason, **bound)
    if ExtractState(extract.state) is ExtractState.ASSESSED:
        extract = acts.grant_exception(
            extract=extract, by=account("direction"), root=extract.root, reason="Démonstration."
        )
        yield "the controller's delegate agreed to the exception, with its reason and its end"
    if ExtractState(extract.state) in (ExtractState.CLEARED, ExtractState.EXCEPTION):
        release_extract(extract, account("donnees-2"), extract.root)
        yield "a second data manager verified every byte and released it"


def _results() -> Publication:
    """The results text for the public, proposed unless there is one."""
    study = _proposal().study
    text = _unwrapped(_script()["results"]["text"])
    existing = study.publications.order_by("version").first()
    return existing or propose_results(study=study, by=account("clinicien"), text=text)


def _checked(publication: Publication) -> Iterator[str]:
    """From a text that was proposed to one that is public."""
    request = publication.request
    if request and AirlockState(request.state) is AirlockState.SUBMITTED:
        for login in CHECKERS:
            for file in request.files.exclude(votes__checker=account(login)):
                vote(request=request, by=account(login), file=file.name, digest=file.digest, verdict=Verdict.APPROVE)
        yield "two checkers, neither of the team, approved it; their votes were sealed until both were in"
        request.refresh_from_db()
    if request and AirlockState(request.state) is AirlockState.APPROVED:
        publish_results(publication, account("dpo"))
        yield "the DPO agreed, the release was signed, and citizens can read it"


def _trained(bundle: str, place: int, overrides: dict[str, Any], report: Report) -> Run:
    """The run of a bundle that is done: one there already, one that goes on, or a new one; reported epoch by epoch."""
    run = Run.objects.filter(bundle=bundle).order_by("pk").first()
    if run is None:
        run = start(RunRequest(bundle, _numbered(place), overrides=overrides))
    elif run.state not in ("done", "queued", "running"):
        run = resume(run.number)
    if run.state != "done":
        for line in _sparse(watch(run, load_settings()), max(1, overrides["epochs"] // _LINES)):
            report(line)
        run.refresh_from_db()
    if run.state != "done":
        raise TrainingFailed(f"run {run.number} {run.state}: {run.reason}")
    return run


_LINES = 5
"""A training tells about as many lines as this."""


def _sparse(events: Iterable[dict[str, Any]], apart: int) -> Iterator[str]:
    """Lines of validated epochs that lie ``apart`` epochs or more from the last reported one."""
    last = 0
    for event in events:
        if event.get("step", 0) >= last + apart and (line := _epoch(event)):
            last = event["step"]
            yield line


def _epoch(event: dict[str, Any]) -> str:
    """One line of an event that ends an epoch with a validation, nothing of another."""
    metrics = event.get("metrics", {})
    figures = [
        f"{name.removeprefix('validation/')} {value:.3f}" for name, value in metrics.items() if "validation" in name
    ]
    return f"epoch {event['step']}: {', '.join(figures)}" if figures and "train/seconds_per_epoch" in metrics else ""
