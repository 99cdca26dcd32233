"""The risk report as the DPO reads it: figures in sentences, and bars drawn as SVG.

Owns words and measures only; every figure comes from ``erios.extracts.risk``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from erios.extracts.generalisation.vocabulary import describe_level
from erios.extracts.risk import RiskReport
from erios.extracts.risk.metrics import METRICS, Metric
from erios.extracts.risk.report import Change, Proposal, Risk, SensitiveColumn
from erios.translation import format_number, format_percent, gettext, mark

_EDGES = ((1, 1), (2, 4), (5, 10), (11, 19), (20, 49), (50, 99), (100, None))
_BAR = 320.0


def figures(report: RiskReport) -> dict[str, Any]:
    """What the page shows of a report."""
    names = {quasi.name: gettext(quasi.fr) for quasi in report.quasi}
    return {
        "enough": report.enough,
        "risk": _risk(report.risk),
        "classes": _class_bars(report),
        "contributions": _contribution_bars(report, names),
        "proposals": [_proposal(proposal, names) for proposal in report.proposals[:6]],
        "attacks": [_attack(attack) for attack in report.attacks],
        "sensitive": [_sensitive(column) for column in report.sensitive],
    }


_NOT_MEASURED = mark("non mesuré")


def _percent(share: float | None) -> str:
    """A share; one that is neither nothing nor all is never shown as 0 or 100 %."""
    if share is None:
        return gettext(_NOT_MEASURED)
    sign = "<" if 0 < share < 0.001 else ">" if 0.999 < share < 1 else ""
    return sign + format_percent(min(max(share, 0.001), 0.999) if sign else share)


def _count(count: int | None) -> str:
    return gettext(_NOT_MEASURED) if count is None else str(count)


def _shown(metric: Metric, value: float | None) -> str:
    if value is None or metric.unit == "share":
        return _percent(value)
    return format_number(value, 1) if metric.unit == "number" else str(value)


def _risk(risk: Risk) -> dict[str, str]:
    """Every figure of the classes by its name, as its declaration says."""
    return {metric.name: _shown(metric, getattr(risk, metric.name)) for metric in METRICS if metric.compute}


def _class_bars(report: RiskReport) -> list[dict[str, Any]]:
    """Patients by the size of their class."""
    counts = [
        sum(
            group.size * group.classes
            for group in report.histogram
            if group.size >= low and (high is None or group.size <= high)
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
            "y": 26 * row,
        }
        for row, ((low, high), count) in enumerate(zip(_EDGES, counts, strict=True))
    ]


def _contribution_bars(report: RiskReport, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Share of patients in too small classes once a quasi-identifier is left out, the most telling first."""
    now = report.risk.share_under
    ordered = sorted(report.contributions, key=lambda contribution: contribution.without.share_under)
    return [
        {
            "name": names.get(contribution.name, contribution.name),
            "without": format_percent(contribution.without.share_under),
            "alone": format_percent(contribution.alone.share_under),
            "width": round(_BAR * contribution.without.share_under, 1),
            "gain": format_percent(max(0.0, now - contribution.without.share_under)),
            "y": 26 * row,
        }
        for row, contribution in enumerate(ordered)
    ]


def _proposal(proposal: Proposal, names: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "changes": [_change(change, names) for change in proposal.changes],
        "suppressed": proposal.suppressed,
        "loss": format_percent(proposal.loss),
        "before": format_percent(proposal.before.share_under),
        "after": format_percent(proposal.after.share_under),
        "k": proposal.after.k,
    }


def _change(change: Change, names: Mapping[str, str]) -> str:
    before, after = describe_level(change.before), describe_level(change.after)
    return f"{names.get(change.name, change.name)} : {before} → {after}"


def _sensitive(column: SensitiveColumn) -> dict[str, str]:
    return {
        "name": gettext(column.fr),
        "l": _count(column.distinct_l),
        "t": _percent(column.t),
        "c": _percent(column.confidence),
    }


def _attack(attack: Any) -> dict[str, Any]:
    return {
        "attacker": attack.attacker,
        "known": attack.known,
        "share": format_percent(attack.singled_share),
        "low": format_percent(attack.singled_low),
        "high": format_percent(attack.singled_high),
        "under": format_percent(attack.under_share),
    }
