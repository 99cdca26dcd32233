"""The risk report as the DPO reads it: figures in sentences, and bars drawn as SVG.

Owns words and measures only; every figure comes from ``erios.extracts.risk``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import get_language

from erios.extracts.risk import RiskReport
from erios.extracts.risk.report import Change, Proposal, Risk

_EDGES = ((1, 1), (2, 4), (5, 10), (11, 19), (20, 49), (50, 99), (100, None))
_BAR = 320.0


def figures(report: RiskReport, language: str) -> dict[str, Any]:
    """What the page shows of a report."""
    return {
        "enough": report.enough,
        "risk": _percentages(report.risk),
        "classes": _class_bars(report),
        "contributions": _contribution_bars(report, language),
        "proposals": [_proposal(one, report, language) for one in report.proposals[:6]],
        "attacks": [_attack(one) for one in report.attacks],
        "sensitive": [
            {"name": getattr(one, language), "l": one.distinct_l, "t": _percent(one.t), "c": _percent(one.confidence)}
            for one in report.sensitive
        ],
    }


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{100 * share:.1f}%" if get_language() == "en" else f"{100 * share:.1f} %".replace(".", ",")


def _percentages(risk: Risk) -> dict[str, str]:
    names = ("share_under", "prosecutor_max", "prosecutor_mean", "journalist_mean", "marketer", "population_marketer")
    return {name: _percent(getattr(risk, name)) for name in names}


def _class_bars(report: RiskReport) -> list[dict[str, Any]]:
    """Patients by the size of their class."""
    counts = [
        sum(
            one.size * one.classes for one in report.histogram if one.size >= low and (high is None or one.size <= high)
        )
        for low, high in _EDGES
    ]
    most = max([*counts, 1])
    return [
        {
            "label": str(low) if low == high else f"{low}–{high}" if high else f"{low}+",
            "patients": count,
            "width": round(_BAR * count / most, 1),
            "low": low < report.threshold,
            "y": 26 * place,
        }
        for place, ((low, high), count) in enumerate(zip(_EDGES, counts, strict=True))
    ]


def _patients(report: RiskReport, low: int, high: int | None) -> int:
    """Patients in classes of these sizes."""
    within = [one for one in report.histogram if one.size >= low and (high is None or one.size <= high)]
    return sum(one.size * one.classes for one in within)


def _contribution_bars(report: RiskReport, language: str) -> list[dict[str, Any]]:
    """Share of patients in too small classes once a quasi-identifier is left out, the most telling first."""
    names = {one.name: getattr(one, language) for one in report.quasi}
    now = report.risk.share_under
    ordered = sorted(report.contributions, key=lambda one: one.without.share_under)
    return [
        {
            "name": names.get(one.name, one.name),
            "without": _percent(one.without.share_under),
            "alone": _percent(one.alone.share_under),
            "width": round(_BAR * one.without.share_under, 1),
            "gain": _percent(max(0.0, now - one.without.share_under)),
            "y": 26 * place,
        }
        for place, one in enumerate(ordered)
    ]


def _proposal(proposal: Proposal, report: RiskReport, language: str) -> Mapping[str, Any]:
    names = {one.name: getattr(one, language) for one in report.quasi}
    return {
        "changes": [_change(one, names, language) for one in proposal.changes],
        "suppressed": proposal.suppressed,
        "loss": _percent(proposal.loss),
        "before": _percent(proposal.before.share_under),
        "after": _percent(proposal.after.share_under),
        "k": proposal.after.k,
    }


def _change(change: Change, names: Mapping[str, str], language: str) -> str:
    before, after = _rung(change.before, language), _rung(change.after, language)
    return f"{names.get(change.name, change.name)} : {before} → {after}"


def _rung(name: str, language: str) -> str:
    kind, _colon, argument = name.partition(":")
    said = _RUNGS[language].get(name) or _RUNGS[language].get(kind)
    return said.format(argument) if said else name


_RUNGS: Mapping[str, Mapping[str, str]] = {
    "fr": {
        "": "tel quel",
        "as is": "tel quel",
        "asis": "tel quel",
        "day": "jour",
        "month": "mois",
        "year": "année",
        "years": "tranches de {} ans",
        "band": "tranches de {}",
        "steps": "classes {}",
        "prefix": "{} premiers caractères",
        "map": "{}",
        "ranges": "{}",
        "suppress": "retiré",
    },
    "en": {
        "": "as it is",
        "as is": "as it is",
        "asis": "as it is",
        "years": "bands of {} years",
        "band": "bands of {}",
        "steps": "steps {}",
        "prefix": "first {} characters",
        "map": "{}",
        "ranges": "{}",
        "suppress": "left out",
    },
}


def _attack(attack: Any) -> dict[str, Any]:
    return {
        "attacker": attack.attacker,
        "known": attack.known,
        "share": _percent(attack.singled_share),
        "low": _percent(attack.singled_low),
        "high": _percent(attack.singled_high),
        "under": _percent(attack.under_share),
    }
