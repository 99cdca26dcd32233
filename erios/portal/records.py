"""Records for the file and for supervisors: a study's dossier as JSON and PDF, and the GDPR article 30 register.

The PDF says what the JSON says, in French, with the audit chain's last seal at the time, by which either can be tied
to the record.
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
    return [describe(step, "fr") for step in steps(parse(content["cohort"]))] if content.get("cohort") else []


def _record() -> dict[str, Any]:
    last = last_event(load_settings(), "")
    return {"printed": timezone.now().isoformat(timespec="seconds"), "audit_seal": last.seal if last else ""}


def dossier_pdf(proposal: Proposal) -> bytes:
    """The dossier and its decision as a PDF."""
    said, out = dossier(proposal), io.BytesIO()
    title = f"{said['study']} v{said['version']}"
    document = SimpleDocTemplate(out, pagesize=A4, title=title, author=load_settings().portal.hospital, margin=2 * cm)
    document.build(list(_story(said)))
    return out.getvalue()


def _story(said: Mapping[str, Any]) -> Iterator[Flowable]:
    content = said["content"]
    yield _text(f"{load_settings().portal.hospital} — entrepôt de données de santé")
    yield Paragraph(escape(str(content.get("title", said["study"]))), _TITLE)
    yield _text(
        f"{said['study']}, version {said['version']} : {word(said['state'], 'fr')}, depuis le {said['since'][:10]}"
    )
    for heading, name in _SECTIONS:
        yield from _section(heading, [str(content.get(name) or "—")])
    yield from _section("Cohorte", said["cohort"])
    yield from _section("Données demandées", list(_data(content)))
    yield from _section("Équipe", [f"{p['name']}, {p['title']}" for p in said["people"] if p["part"] in _TEAM])
    yield from _section("Avis et décision", [_review(one) for one in said["reviews"]])
    yield from _section(
        "Conditions", [f"{c['text']} ({'remplie' if c['met'] else 'à remplir'})" for c in said["conditions"]]
    )
    yield Spacer(1, 0.6 * cm)
    yield _text(f"Imprimé le {said['record']['printed']} ; sceau du journal : {said['record']['audit_seal']}")


_SECTIONS = (
    ("Résumé", "summary"),
    ("Intérêt public", "interest"),
    ("Question", "question"),
    ("Méthode", "method"),
    ("Voie juridique", "route"),
    ("Information des patients", "information"),
    ("Conservation (années)", "retention_years"),
)
_TEAM = (PartKind.PROPOSER, PartKind.TEAM)


def _section(heading: str, lines: list[str]) -> Iterator[Flowable]:
    yield Paragraph(escape(heading), _HEAD)
    for line in lines or ["—"]:
        yield _text(line)


def _text(text: str) -> Paragraph:
    return Paragraph(escape(text).replace("\n", "<br/>"), _BODY)


def _data(content: Mapping[str, Any]) -> Iterator[str]:
    for table in content.get("data") or ():
        for column in table["columns"]:
            yield f"{table['table']}.{column['name']} : {column['why']}"


def _review(one: Mapping[str, Any]) -> str:
    return f"{word(one['part'], 'fr')} : {word(one['opinion'], 'fr')}, {one['by']}, {one['at'][:10]}. {one['reason']}"


def article_30() -> dict[str, Any]:
    """The register of processing activities (GDPR, article 30): one entry a study that may use data."""
    settings = load_settings().portal
    shown = Proposal.objects.filter(state__in=PUBLIC).select_related("study").order_by("study__number", "version")
    return {
        "controller": settings.hospital,
        "data_protection_officer": settings.contact,
        "printed": timezone.now().isoformat(timespec="seconds"),
        "activities": [_activity(proposal) for proposal in shown],
    }


def _activity(proposal: Proposal) -> dict[str, Any]:
    said = proposal.content
    route = next((route for route in legal_routes() if route.code == said.get("route")), None)
    return {
        "reference": f"{proposal.study.number} v{proposal.version}",
        "purpose": said.get("title", ""),
        "legal_basis": f"RGPD, articles 6(1)(e) et 9(2)(j) ; {route.title if route else said.get('route', '')}",
        "data_subjects": "patients de l'hôpital, hors opposition",
        "categories_of_data": [table["table"] for table in said.get("data") or ()],
        "recipients": "équipe de l'étude, dans les murs de l'hôpital",
        "transfers": "aucun",
        "erasure": f"{said.get('retention_years', '')} an(s) après la fin, prévue le {said.get('ends', '')}",
        "security": "pseudonymisation propre à l'étude, accès nominatif, journal scellé",
        "state": proposal.state,
    }
