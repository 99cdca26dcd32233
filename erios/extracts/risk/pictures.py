"""The pictures of a risk report, as SVG text that a page with a strict content policy can hold inline.

Owns how they look: presentation attributes and classes only, no script and no style; title and description for those
who do not see them; French first. Narrow, so that the letters stay readable on a telephone. Shows counts, never values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from erios.extracts.risk.report import Attack, Proposal, RiskReport

_WIDTH, _LEFT = 460, 14
_INK, _SOFT, _GRID, _PAPER = "#1f2933", "#52606d", "#d9dee3", "#ffffff"
_BAD, _GOOD, _CALM = "#b42318", "#0f766e", "#8a94a0"
_FONT = "font-family='system-ui, sans-serif'"

_WORDS: Mapping[str, Mapping[str, str]] = {
    "fr": {
        "sizes": "Taille des groupes de patients indiscernables",
        "sizes_text": "Part des patients selon le nombre de patients qui leur ressemblent trait pour trait.",
        "sizes_total": "{under} patients sur {patients} ({share}) sous le seuil",
        "alone": "1 (unique)",
        "under": "sous le seuil de {threshold}",
        "over": "seuil atteint",
        "contributions": "Ce que chaque donnée ajoute au risque",
        "contributions_text": "Part des patients sous le seuil : si la donnée est retirée, et si elle est la seule.",
        "now": "Aujourd’hui : {share} des patients sous le seuil",
        "without": "sans cette donnée",
        "only": "cette donnée seule",
        "proposals": "Risque avant et après chaque proposition",
        "proposals_text": "Risque le plus élevé d’être reconnu avant et après, et perte d’information.",
        "before_after": "Aujourd’hui {before} sous le seuil, plus petit groupe : {k}",
        "after": "plus petit groupe : {k}",
        "risk_before": "risque avant",
        "risk_after": "risque après",
        "loss": "perte d’info",
        "dropped": "{n} patients écartés ({share})",
        "none_needed": "Aucune proposition : chaque groupe atteint le seuil.",
        "none": "Aucune généralisation ne suffit : l’extraction a moins de {threshold} patients.",
        "empty": "Aucun patient dans cette extraction.",
        "no_quasi": "Aucune donnée identifiante indirecte dans cette extraction.",
        "attacks": "Patients isolés par ce qu’un attaquant sait",
        "attacks_text": "Part des patients tirés au sort qu’un attaquant isole, selon le nombre de faits connus.",
        "random": "faits pris au hasard",
        "worst": "faits les plus rares",
        "facts": "faits connus du patient (barre : intervalle de confiance à 95 %)",
        "targets": "{n} patients tirés au sort",
    },
    "en": {
        "sizes": "Sizes of the groups of patients who look alike",
        "sizes_text": "Share of patients by how many patients look exactly like them.",
        "sizes_total": "{under} of {patients} patients ({share}) under the threshold",
        "alone": "1 (unique)",
        "under": "under the threshold of {threshold}",
        "over": "threshold met",
        "contributions": "What each piece of data adds to the risk",
        "contributions_text": "Share of patients under the threshold: without the data, and with it alone.",
        "now": "Today: {share} of patients under the threshold",
        "without": "without it",
        "only": "it alone",
        "proposals": "Risk before and after each proposal",
        "proposals_text": "Highest risk of being recognised before and after, and loss of information.",
        "before_after": "Today {before} under the threshold, smallest group: {k}",
        "after": "smallest group: {k}",
        "risk_before": "risk before",
        "risk_after": "risk after",
        "loss": "loss of info",
        "dropped": "{n} patients left out ({share})",
        "none_needed": "No proposal: every group meets the threshold.",
        "none": "No generalisation suffices: the extract has fewer than {threshold} patients.",
        "empty": "No patient in this extract.",
        "no_quasi": "No quasi-identifier in this extract.",
        "attacks": "Patients singled out by known facts",
        "attacks_text": "Share of drawn patients whom an attacker singles out, by the number of known facts.",
        "random": "facts at random",
        "worst": "rarest facts",
        "facts": "known facts of the patient (bar: 95 % confidence interval)",
        "targets": "{n} patients drawn",
    },
}
_RUNGS = {
    "fr": {
        "exact": "tel quel",
        "day": "jour",
        "month": "mois",
        "year": "année",
        "years": "tranches de {} ans",
        "band": "tranches de {}",
        "top": "{} et plus groupés",
        "steps": "tranches dès {}",
        "prefix": "{} premiers caractères",
        "map": "{}",
        "ranges": "{}",
        "suppress": "supprimé",
        "region": "région",
        "chapter": "chapitre",
    },
    "en": {
        "exact": "as is",
        "day": "day",
        "month": "month",
        "year": "year",
        "years": "bands of {} years",
        "band": "bands of {}",
        "top": "{} and over together",
        "steps": "bands from {}",
        "prefix": "first {} characters",
        "map": "{}",
        "ranges": "{}",
        "suppress": "suppressed",
        "region": "région",
        "chapter": "chapter",
    },
}


def rung_words(rung: str, language: str = "fr") -> str:
    """A generalisation in words."""
    kind, _, argument = rung.partition(":")
    words = _RUNGS[language]
    return words.get(kind, kind).format(words.get(argument, argument.replace(",", ", ")))


def class_sizes(report: RiskReport, language: str = "fr", *, prefix: str = "risk") -> str:
    """Patients by the size of their class, under and over the threshold."""
    words = _WORDS[language]
    if not report.patients:
        return _message(words["sizes"], words["empty"], f"{prefix}-sizes")
    bins = _bins(report.threshold)
    counts = [sum(one.size * one.classes for one in report.histogram if low <= one.size <= high) for low, high in bins]
    shares = [count / report.patients for count in counts]
    under = _percent(report.risk.share_under, language)
    total = words["sizes_total"].format(
        under=_number(report.risk.under_threshold, language),
        patients=_number(report.patients, language),
        share=under,
        threshold=report.threshold,
    )
    parts = [_text(_LEFT, 50, total, 14, _BAD if report.risk.under_threshold else _GOOD, bold=True)]
    for n, ((low, high), count, share) in enumerate(zip(bins, counts, shares, strict=True)):
        label = words["alone"] if high == 1 else _range(low, high)
        figures = f"{_percent(share, language)} · {_number(count, language)}"
        colour = _BAD if high < report.threshold else _GOOD
        parts += _bar(n, label, share, colour, figures)
    bottom = 72 + len(bins) * 30 + 16
    legend = [(_BAD, words["under"].format(threshold=report.threshold)), (_GOOD, words["over"])]
    parts += _legend(bottom, legend)
    return _svg(words["sizes"], f"{words['sizes_text']} {total}.", bottom + 16, parts, f"{prefix}-sizes")


def _bins(threshold: int) -> list[tuple[int, int]]:
    """Ranges of class sizes that do not cross the threshold; the last is open."""
    starts = sorted({1, threshold, 2 * threshold, *(n for n in (2, 5) if n < threshold)})
    starts += [n for n in (50, 100, 500) if n > starts[-1]]
    return [(low, high - 1) for low, high in zip(starts, [*starts[1:], 2**62], strict=True)]


def _range(low: int, high: int) -> str:
    if high >= 2**60:
        return f"{low} +"
    return str(low) if low == high else f"{low} – {high}"


def _bar(place: int, label: str, share: float, colour: str, figures: str) -> list[str]:
    top, start, room = 72 + place * 30, 100, 190
    return [
        _text(start - 8, top + 15, label, 14, _INK, anchor="end"),
        _rect(start, top, room, 20, _GRID, 0.35),
        _rect(start, top, max(share * room, 1.5 if share else 0), 20, colour),
        _text(start + room + 8, top + 15, figures, 14, _INK),
    ]


def contributions(report: RiskReport, language: str = "fr", *, prefix: str = "risk") -> str:
    """Patients under the threshold without each quasi-identifier and with it alone, what weighs most first."""
    words = _WORDS[language]
    if not report.contributions or not report.patients:
        message = words["no_quasi"] if report.patients else words["empty"]
        return _message(words["contributions"], message, f"{prefix}-contributions")
    labels = _labels(report, language)
    ranked = sorted(report.contributions, key=lambda one: (one.without.under_threshold, -one.alone.under_threshold))
    now = words["now"].format(share=_percent(report.risk.share_under, language))
    parts = [
        _text(_LEFT, 50, now, 14, _INK, bold=True),
        *_legend(72, [(_BAD, words["without"]), (_CALM, words["only"])]),
    ]
    for n, one in enumerate(ranked):
        top = 98 + n * 56
        parts.append(_text(_LEFT, top + 6, labels[one.name], 14, _INK))
        for row, (share, colour) in enumerate([(one.without.share_under, _BAD), (one.alone.share_under, _CALM)]):
            parts += _thin_bar(top + 12 + row * 15, share, report.risk.share_under, colour, _percent(share, language))
    told = "; ".join(
        f"{labels[one.name]} : {words['without']} {_percent(one.without.share_under, language)},"
        f" {words['only']} {_percent(one.alone.share_under, language)}"
        for one in ranked
    )
    height = 98 + len(ranked) * 56 + 4
    text = f"{words['contributions_text']} {now}. {told}."
    return _svg(words["contributions"], text, height, parts, f"{prefix}-contributions")


def _thin_bar(top: float, share: float, now: float, colour: str, figure: str) -> list[str]:
    """A bar on a track of 0 to 100 %, with a tick where the extract stands today."""
    room = 360
    return [
        _rect(_LEFT, top, room, 12, _GRID, 0.35),
        _rect(_LEFT, top, max(share * room, 1.5 if share else 0), 12, colour),
        _rect(_LEFT + now * room - 1, top - 2, 2, 16, _INK),
        _text(_LEFT + room + 8, top + 11, figure, 13, _INK),
    ]


def proposals(report: RiskReport, language: str = "fr", *, prefix: str = "risk") -> str:
    """Each proposal: what changes, the risk before and after, what it loses."""
    words = _WORDS[language]
    name = f"{prefix}-proposals"
    if not report.proposals:
        return _message(words["proposals"], _why_none(report, words), name)
    labels = _labels(report, language)
    before = words["before_after"].format(before=_percent(report.risk.share_under, language), k=report.risk.k)
    parts, told, top = [_text(_LEFT, 50, before, 14, _INK, bold=True)], [before], 80.0
    for n, one in enumerate(report.proposals, start=1):
        lines = _changes(one, labels, language)
        parts.append(_text(_LEFT, top, f"{n}.", 14, _INK, bold=True))
        parts += [_text(_LEFT + 22, top + place * 18, line, 14, _INK) for place, line in enumerate(lines)]
        top += len(lines) * 18 - 6
        rows = _outcome(one, words)
        for place, (label, share, colour, more) in enumerate(rows):
            parts += _outcome_bar(top + place * 17, label, share, colour, _percent(share, language) + more)
        told.append(
            f"{n}. {' ; '.join(lines)} ; " + ", ".join(f"{r[0]} {_percent(r[1], language)}{r[3]}" for r in rows)
        )
        top += 3 * 17 + 30
    return _svg(words["proposals"], ". ".join([words["proposals_text"], *told]), top - 18, parts, name)


def _why_none(report: RiskReport, words: Mapping[str, str]) -> str:
    if not report.patients:
        return words["empty"]
    return words["none_needed"] if report.enough else words["none"].format(threshold=report.threshold)


def _changes(one: Proposal, labels: Mapping[str, str], language: str) -> list[str]:
    texts = [f"{labels[change.name]} → {rung_words(change.after, language)}" for change in one.changes]
    if one.suppressed:
        share = _percent(one.suppressed_share, language)
        texts.append(_WORDS[language]["dropped"].format(n=_number(one.suppressed, language), share=share))
    return texts


def _outcome(one: Proposal, words: Mapping[str, str]) -> list[tuple[str, float, str, str]]:
    """Label, share, colour, and what stands after the figure."""
    after = f" · {words['after'].format(k=one.after.k)}"
    return [
        (words["risk_before"], one.before.prosecutor_max, _BAD, ""),
        (words["risk_after"], one.after.prosecutor_max, _GOOD, after),
        (words["loss"], one.loss, _CALM, ""),
    ]


def _outcome_bar(top: float, label: str, share: float, colour: str, figure: str) -> list[str]:
    start, room = 122, 110
    return [
        _text(start - 8, top + 11, label, 13, _SOFT, anchor="end"),
        _rect(start, top, room, 12, _GRID, 0.35),
        _rect(start, top, max(share * room, 1.5 if share else 0), 12, colour),
        _text(start + room + 8, top + 11, figure, 13, _INK),
    ]


def attacks(report: RiskReport, language: str = "fr", *, prefix: str = "risk") -> str:
    """Share of drawn patients singled out, for 1 to 5 known facts and both attackers."""
    words = _WORDS[language]
    if not report.attacks:
        return _message(words["attacks"], words["empty"], f"{prefix}-attacks")
    drawn = words["targets"].format(n=_number(report.attacks[0].targets, language))
    colours = {"random": _CALM, "worst": _BAD}
    parts = [_text(_LEFT, 50, drawn, 14, _INK, bold=True)]
    parts += _legend(72, [(colours[name], words[name]) for name in colours])
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts += [
            _rect(60, _height(share), 380, 1, _GRID),
            _text(54, _height(share) + 5, f"{share:.0%}", 13, _SOFT, "end"),
        ]
    for one in report.attacks:
        parts += _column(one, colours[one.attacker], language)
    parts += [_text(60 + 76 * n - 38, 330, str(n), 14, _INK, "middle") for n in range(1, 6)]
    parts.append(_text(_LEFT, 354, words["facts"], 13, _SOFT))
    told = "; ".join(
        f"{one.known}, {words[one.attacker]} : {_percent(one.singled_share, language)}" for one in report.attacks
    )
    return _svg(words["attacks"], f"{words['attacks_text']} {drawn}. {told}.", 366, parts, f"{prefix}-attacks")


def _height(share: float) -> float:
    return 310 - share * 205


def _column(one: Attack, colour: str, language: str) -> list[str]:
    left = 60 + 76 * (one.known - 1) + (4 if one.attacker == "random" else 40)
    top = _height(one.singled_share)
    middle = left + 16
    return [
        _rect(left, top, 32, 310 - top, colour),
        _rect(middle - 1, _height(one.singled_high), 2, _height(one.singled_low) - _height(one.singled_high), _INK),
        _text(
            middle, _height(one.singled_high) - 4, _percent(one.singled_share, language, short=True), 12, _INK, "middle"
        ),
    ]


def _labels(report: RiskReport, language: str) -> dict[str, str]:
    return {one.name: one.fr if language == "fr" else one.en for one in report.quasi}


def _number(value: int, language: str) -> str:
    return f"{value:,}".replace(",", "\u202f" if language == "fr" else ",")


def _percent(share: float, language: str, *, short: bool = False) -> str:
    """A share; one that is neither nothing nor all is never shown as 0 or 100 %."""
    digits = 0 if short or share in (0.0, 1.0) else 1
    least = 10**-digits
    value = share * 100
    sign = "<" if 0 < value < least else ">" if 100 - least < value < 100 else ""
    shown = least if sign == "<" else 100 - least if sign == ">" else value
    text = f"{sign}{shown:.{digits}f}"
    if language == "fr":
        return text.replace(".", ",") + ("%" if short else "\u00a0%")
    return text + "%"


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) >= width:
            lines.append("    ")
        lines[-1] += (" " if lines[-1].strip() else "") + word
    return lines


def _text(x: float, y: float, text: str, size: int, colour: str, anchor: str = "start", *, bold: bool = False) -> str:
    weight = " font-weight='600'" if bold else ""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' fill='{colour}' text-anchor='{anchor}'{weight} {_FONT}>"
        f"{escape(text)}</text>"
    )


def _rect(x: float, y: float, width: float, height: float, colour: str, opacity: float = 1.0) -> str:
    faint = f" fill-opacity='{opacity}'" if opacity < 1 else ""
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' fill='{colour}'{faint}/>"


def _legend(y: float, entries: Iterable[tuple[str, str]]) -> list[str]:
    parts, x = [], float(_LEFT)
    for colour, label in entries:
        parts += [_rect(x, y - 10, 12, 12, colour), _text(x + 18, y, label, 13, _INK)]
        x += 40 + 7.2 * len(label)
    return parts


def _message(title: str, text: str, name: str) -> str:
    lines = _wrapped(text, 58)
    return _svg(
        title, text, 50 + 18 * len(lines), [_text(_LEFT, 54 + 18 * n, t, 14, _INK) for n, t in enumerate(lines)], name
    )


def _svg(title: str, description: str, height: float, parts: Sequence[str], name: str) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' class='risk-picture' viewBox='0 0 {_WIDTH} {height:.0f}' width='100%'"
        f" role='img' aria-labelledby='{name}-title {name}-text'><title id='{name}-title'>{escape(title)}</title>"
        f"<desc id='{name}-text'>{escape(description)}</desc>{_rect(0, 0, _WIDTH, height, _PAPER)}"
        f"{_text(_LEFT, 26, title, 16, _INK, bold=True)}{''.join(parts)}</svg>"
    )


PICTURES: Mapping[str, Callable[..., str]] = {
    "class_sizes": class_sizes,
    "contributions": contributions,
    "proposals": proposals,
    "attacks": attacks,
}
"""The pictures of a report by name."""
