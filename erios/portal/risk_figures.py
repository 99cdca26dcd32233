"""The risk report as the DPO reads it: figures in sentences, and bars drawn as SVG.

Owns words and measures only; every figure comes from ``erios.extracts.risk``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from erios.extracts.generalisation.vocabulary import describe_level
from erios.extracts.risk import RiskReport
from erios.extracts.risk.metrics import METRICS, Metric
from erios.extracts.risk.report import Change, Proposal, Remedy, Risk, SensitiveColumn
from erios.translation import format_number, format_percent, gettext, mark

_EDGES = ((1, 1), (2, 4), (5, 10), (11, 19), (20, 49), (50, 99), (100, None))
_BAR = 320.0


def figures(report: RiskReport, joins: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """What the page shows of a report; ``joins``: the linkage attacks on the extract as it is."""
    names = {quasi.name: gettext(quasi.fr) for quasi in report.quasi}
    return {
        "enough": report.enough,
        "risk": _risk(report.risk),
        "classes": _class_bars(report),
        "contributions": _contribution_bars(report, names),
        "proposals": [_proposal(proposal, names) for proposal in report.proposals[:6]],
        "limit": _percent(report.limit),
        "beyond_limit": _percent(report.reidentified) if _is_beyond(report) else "",
        "sentences": _sentences(report),
        "remedies": [_remedy(remedy, number, report, joins) for number, remedy in enumerate(report.remedies, 1)],
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


def _is_beyond(report: RiskReport) -> bool:
    return report.limit is not None and (report.reidentified or 0.0) > report.limit


_TECHNIQUES = {
    "summary": mark("résumé par séjour : décomptes et délais en classes, séjours tirés au sort"),
    "round": mark("résultats arrondis à ce qui compte pour l'analyse"),
    "codes": mark("codes regroupés, les plus partagés seuls gardés"),
    "times": mark("dates en blocs propres à chaque patient"),
    "rare": mark("événements que trop peu de patients partagent retirés"),
    "laboratory": mark("résultats remplacés par leur moyenne, minimum et maximum par séjour"),
    "sample": mark("la moitié des patients, tirés au sort avec la clé de l'étude"),
    "all": mark("le tout ensemble : arrondis, codes regroupés, dates en blocs, résultats par séjour, rares retirés"),
}
_KNOWN = (1, 3, 5, 10)


def _sentences(report: RiskReport) -> list[str]:
    """What an attacker of each kind gets, in a sentence each."""
    found = {(attack.attacker, attack.known): attack for attack in report.attacks}
    lines = []
    for attacker, text in _ATTACKERS.items():
        first, last = found.get((attacker, _KNOWN[0])), found.get((attacker, _KNOWN[-1]))
        if first and last and first.reidentified is not None:
            lines.append(gettext(text, few=_percent(first.reidentified), many=_percent(last.reidentified)))
    if report.trajectory:
        shares = {name: _percent(getattr(report.trajectory, name)) for name in ("share", "low", "high")}
        lines.append(gettext(_RECORD, **shares))
    return lines


_ATTACKERS = {
    "random": mark(
        "Qui connaît des faits au hasard (un résultat, un code, un délai, un décompte) retrouve {few} des patients avec"
        " un fait, {many} avec dix."
    ),
    "worst": mark("Qui connaît les faits les plus rares d'un patient en retrouve {few} avec un fait, {many} avec dix."),
}
_RECORD = mark(
    "Qui a tout le parcours d'un patient, par exemple depuis l'entrepôt, en retrouve {share} (intervalle à 95 % : {low}"
    " à {high})."
)


def _remedy(remedy: Remedy, number: int, report: RiskReport, joins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A proposal with what it does to every measure."""
    specification = remedy.specification
    return {
        "number": number,
        "technique": gettext(_TECHNIQUES[remedy.technique]),
        "columns": [
            f"{table}.{name} ({describe_level(choice['as'])})"
            for table, columns in specification["tables"].items()
            for name, choice in columns.items()
            if choice["as"] not in ("study-key", "policy")
        ],
        "stays": specification["stays"],
        "sample": specification.get("sample"),
        "suppress_under": specification.get("suppress_under"),
        "enough": remedy.enough,
        "measures": _measures(remedy, report, joins),
        "auc": "" if remedy.auc is None else format_number(remedy.auc, 2),
        "finest": "" if remedy.auc_finest is None else format_number(remedy.auc_finest, 2),
    }


def _measures(remedy: Remedy, report: RiskReport, joins: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Each measure of the extract as it is and as the proposal would make it."""
    rows = [
        (gettext(_CLASS), str(report.risk.k), str(remedy.risk.k)),
        (gettext(_SMALL), _percent(report.risk.share_under), _percent(remedy.risk.share_under)),
        *_found(remedy, report),
        (gettext(_WHOLE), _record_of(report), _record_of(remedy)),
        *_joined(remedy, joins),
        (gettext(_ROWS), _percent(1.0), _percent(remedy.rows_kept)),
    ]
    return [{"measure": measure, "before": before, "after": after} for measure, before, after in rows]


def _record_of(measured: Remedy | RiskReport) -> str:
    return _percent(measured.trajectory.share if measured.trajectory else None)


def _found(remedy: Remedy, report: RiskReport) -> Iterator[tuple[str, str, str]]:
    """Shares found by each attacker with one to ten facts."""
    before, after = (
        {(attack.attacker, attack.known): attack.reidentified for attack in attacks}
        for attacks in (report.attacks, remedy.attacks)
    )
    for attacker, known in after:
        words = gettext(_FACTS[attacker], n=known)
        yield words, _percent(before.get((attacker, known))), _percent(after[attacker, known])


def _joined(remedy: Remedy, joins: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Shares found by joining to the warehouse and to other extracts."""
    before = {join["with"]: join for join in joins}
    for join in remedy.joins or ():
        words = gettext(_WAREHOUSE) if join.other == "warehouse" else gettext(_EXTRACT, other=join.other)
        now = before.get(join.other)
        yield (
            words,
            _within(now["share"], now["low"], now["high"]) if now else _percent(None),
            _within(join.share, join.low, join.high),
        )
    if remedy.joins is None:
        yield gettext(_WAREHOUSE), _percent(None), _percent(None)


def _within(share: float, low: float, high: float) -> str:
    return f"{_percent(share)} ({_percent(low)} – {_percent(high)})"


_CLASS, _SMALL = mark("plus petite classe (k)"), mark("patients en classe trop petite")
_FACTS = {
    "random": mark("retrouvés avec {n} faits au hasard"),
    "worst": mark("retrouvés avec les {n} faits les plus rares"),
}
_WHOLE, _ROWS = mark("retrouvés avec le parcours entier"), mark("lignes gardées")
_WAREHOUSE = mark("retrouvés par rapprochement avec l'entrepôt")
_EXTRACT = mark("retrouvés par rapprochement avec l'extrait {other}")


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
        "found": _percent(attack.reidentified),
        "share": format_percent(attack.singled_share),
        "low": format_percent(attack.singled_low),
        "high": format_percent(attack.singled_high),
        "under": format_percent(attack.under_share),
    }
