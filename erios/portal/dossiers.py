"""Records for the file and for supervisors: a study's dossier as JSON and PDF, and the GDPR article 30 register.

The PDF holds what the JSON holds, in the portal's language, with the audit chain's last seal at the time, by which
either can be tied to the record.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from django.utils import timezone
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import cm
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer

from erios.audit import last_event
from erios.extracts.criteria import describe, parse, steps
from erios.governance.words import word
from erios.settings import load_settings
from erios.studies.models import PartKind, Proposal
from erios.studies.selectors import PUBLIC, legal_routes
from erios.translation import gettext, mark, mark_in, using

_STYLES = getSampleStyleSheet()
_BODY = ParagraphStyle("body", parent=_STYLES["BodyText"], fontName="Helvetica", fontSize=10, leading=14)
_HEAD = ParagraphStyle("head", parent=_STYLES["Heading2"], fontName="Helvetica-Bold", fontSize=13, spaceBefore=10)
_TITLE = ParagraphStyle("title", parent=_STYLES["Title"], fontName="Helvetica-Bold", fontSize=18, alignment=0)


def dossier(proposal: Proposal) -> dict[str, Any]:
    """A proposal with all that was said and decided of it, as plain values."""
    parts = proposal.parts.select_related("person")
    return {
        "study": proposal.study.number,
        "version": proposal.version,
        "state": proposal.state,
        "since": proposal.since.isoformat(timespec="seconds"),
        "content": proposal.content,
        "cohort": _cohort(proposal.content),
        "people": [
            {"login": p.person.username, "name": p.person.name, "title": p.person.title, "part": p.kind} for p in parts
        ],
        "reviews": [
            {"part": p.kind, "opinion": p.opinion, "by": p.person.name, "reason": p.reason, "at": p.at.isoformat()}
            for p in parts
            if p.opinion
        ],
        "earlier_reviews": proposal.earlier_reviews,
        "points": [{"text": p.text, "answer": p.answer} for p in proposal.points.all()],
        "conditions": [{"text": c.text, "met": bool(c.met)} for c in proposal.conditions.all()],
        "record": _record(),
    }


def _cohort(content: Mapping[str, Any]) -> list[str]:
    code = load_settings().portal.language
    return [describe(step, code) for step in steps(parse(content["cohort"]))] if content.get("cohort") else []


def _record() -> dict[str, Any]:
    last = last_event(load_settings(), "")
    return {"printed": timezone.now().isoformat(timespec="seconds"), "audit_seal": last.seal if last else ""}


def dossier_pdf(proposal: Proposal) -> bytes:
    """The dossier and its decision as a PDF."""
    content, out, portal = dossier(proposal), io.BytesIO(), load_settings().portal
    title = f"{content['study']} v{content['version']}"
    document = SimpleDocTemplate(out, pagesize=A4, title=title, author=portal.hospital, margin=2 * cm)
    with using(portal.language):
        document.build(list(_flowables(content)))
    return out.getvalue()


def _flowables(dossier: Mapping[str, Any]) -> Iterator[Flowable]:
    content, since = dossier["content"], dossier["since"][:10]
    yield _text(gettext(_OPENING, hospital=load_settings().portal.hospital))
    yield Paragraph(escape(str(content.get("title", dossier["study"]))), _TITLE)
    values = {"study": dossier["study"], "version": dossier["version"], "state": word(dossier["state"])}
    yield _text(gettext(_STATE, since=since, **values))
    for heading, name in _SECTIONS:
        yield from _section(heading, [str(content.get(name) or "—")])
    yield from _section(mark("Cohorte"), dossier["cohort"])
    yield from _section(mark("Données demandées"), list(_data(content)))
    people = [f"{p['name']}, {p['title']}" for p in dossier["people"] if p["part"] in _TEAM]
    yield from _section(mark("Équipe"), people)
    yield from _section(mark("Avis et décision"), [_review(review) for review in dossier["reviews"]])
    yield from _section(mark("Conditions"), [_condition(condition) for condition in dossier["conditions"]])
    yield Spacer(1, 0.6 * cm)
    yield _text(gettext(_PRINTED, at=dossier["record"]["printed"], seal=dossier["record"]["audit_seal"]))


_OPENING = mark("{hospital} — entrepôt de données de santé")
_STATE = mark("{study}, version {version} : {state}, depuis le {since}")
_PRINTED = mark("Imprimé le {at} ; sceau du journal : {seal}")
_SECTIONS = (
    (mark("Résumé"), "summary"),
    (mark("Intérêt public"), "interest"),
    (mark("Question"), "question"),
    (mark("Méthode"), "method"),
    (mark("Voie juridique"), "route"),
    (mark("Information des patients"), "information"),
    (mark("Conservation (années)"), "retention_years"),
)
_TEAM = (PartKind.PROPOSER, PartKind.TEAM)


def _section(heading: str, lines: list[str]) -> Iterator[Flowable]:
    yield Paragraph(escape(gettext(heading)), _HEAD)
    for line in lines or ["—"]:
        yield _text(line)


def _text(text: str) -> Paragraph:
    return Paragraph(escape(text).replace("\n", "<br/>"), _BODY)


def _data(content: Mapping[str, Any]) -> Iterator[str]:
    for table in content.get("data") or ():
        for column in table["columns"]:
            yield f"{table['table']}.{column['name']} : {column['why']}"


def _review(review: Mapping[str, Any]) -> str:
    opinion = f"{word(review['part'])} : {word(review['opinion'])}"
    return f"{opinion}, {review['by']}, {review['at'][:10]}. {review['reason']}"


def _condition(condition: Mapping[str, Any]) -> str:
    return f"{condition['text']} ({gettext(_MET if condition['met'] else _OPEN)})"


_MET, _OPEN = mark("remplie"), mark_in("condition", "à remplir")


def article_30() -> dict[str, Any]:
    """The register of processing activities (GDPR, article 30): one entry a study that may use data."""
    settings = load_settings().portal
    shown = Proposal.objects.filter(state__in=PUBLIC).select_related("study").order_by("study__number", "version")
    with using(settings.language):
        activities = [_activity(proposal) for proposal in shown]
    return {
        "controller": settings.hospital,
        "data_protection_officer": settings.contact,
        "printed": timezone.now().isoformat(timespec="seconds"),
        "activities": activities,
    }


def _activity(proposal: Proposal) -> dict[str, Any]:
    content = proposal.content
    route = next((route.title for route in legal_routes() if route.code == content.get("route")), None)
    return {
        "reference": f"{proposal.study.number} v{proposal.version}",
        "purpose": content.get("title", ""),
        "legal_basis": gettext(_LEGAL_BASIS, route=route or content.get("route", "")),
        "data_subjects": gettext(_DATA_SUBJECTS),
        "categories_of_data": [table["table"] for table in content.get("data") or ()],
        "recipients": gettext(_RECIPIENTS),
        "transfers": gettext(_TRANSFERS),
        "erasure": gettext(_ERASURE, years=content.get("retention_years", ""), ends=content.get("ends", "")),
        "security": gettext(_SECURITY),
        "state": proposal.state,
    }


_LEGAL_BASIS = mark("RGPD, articles 6(1)(e) et 9(2)(j) ; {route}")
_DATA_SUBJECTS = mark("patients de l'hôpital, hors opposition")
_RECIPIENTS = mark("équipe de l'étude, dans les murs de l'hôpital")
_TRANSFERS = mark("aucun")
_ERASURE = mark("{years} an(s) après la fin, prévue le {ends}")
_SECURITY = mark("pseudonymisation propre à l'étude, accès nominatif, journal scellé")
