"""Pictures of the warehouse: what lies in a column, and how loads went over time, as measures of SVG and as words.

Owns measures and words only; what may be shown is decided by ``erios.extracts.column_profile``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from validation import Severity, failed_count

if TYPE_CHECKING:
    from erios.extracts.column_profile import ColumnProfile
    from etl.warehouse.release import Release

WIDTH, HEIGHT = 240.0, 44.0


def column_picture(profile: ColumnProfile) -> dict[str, Any]:
    """What the page shows of a column."""
    bars = [
        {"label": _label(bar.label), "said": said_share(bar.share, profile.step), "share": bar.share}
        for bar in profile.bars
    ]
    words = ", ".join(f"{bar['label']} : {bar['said']}" for bar in bars)
    facts = {"filled": _filled(profile), "fill": float(profile.filled or 0), "ordered": profile.ordered, "words": words}
    return {**facts, "bars": _upright(bars) if profile.ordered else _lying(bars)}


def _label(label: str) -> str:
    return _("autres valeurs") if label == "…" else label


def said_share(share: int, step: int) -> str:
    """A share in words: what is rounded to nothing is less than a step."""
    return f"≈ {share} %" if share else f"< {step} %"


def _filled(profile: ColumnProfile) -> str:
    if profile.filled is None:
        return ""
    if profile.filled in (0, 100):
        return _("presque toujours") if profile.filled else _("presque jamais")
    return f"≈ {profile.filled} %"


def _upright(bars: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bars side by side; the tallest fills the height, the smallest is still a line."""
    places = _places([bar["share"] for bar in bars], 1, len(bars), 0.86)
    return [bar | place for bar, place in zip(bars, places, strict=True)]


def _places(values: Sequence[float], least: float, columns: int, filled: float) -> list[dict[str, str]]:
    """Where bars stand; the tallest fills the height, and each a share ``filled`` of its column."""
    most, width = max([*values, least]), WIDTH / max(columns, 1)
    heights = [max(1.5, HEIGHT * value / most) for value in values]
    return [
        {"x": f"{n * width:.1f}", "w": f"{width * filled:.1f}", "y": f"{HEIGHT - tall:.1f}", "h": f"{tall:.1f}"}
        for n, tall in enumerate(heights)
    ]


def _lying(bars: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for bar in bars:
        bar["w"] = f"{max(1.0, float(bar['share'])):.1f}"
    return bars


def quality_over_time(releases: Sequence[Release]) -> dict[str, Any]:
    """Two small pictures, oldest release first: the share that went to quarantine, and expectations that warn."""
    refused = [_refused_percent(release.totals) for release in releases]
    warned = [float(failed_count(release.validation, Severity.WARN)) for release in releases]
    names = [release.id for release in releases]
    return {
        "refused": _series(names, refused, [f"{value:.1f}".replace(".", ",") + " %" for value in refused]),
        "warned": _series(names, warned, [f"{value:.0f}" for value in warned]),
    }


def _refused_percent(totals: Any) -> float:
    return 100.0 * totals.get("quarantined", 0) / totals["in"] if totals.get("in") else 0.0


def _series(names: Sequence[str], values: Sequence[float], said: Sequence[str]) -> dict[str, Any]:
    words = ", ".join(f"{name} : {text}" for name, text in zip(names, said, strict=True))
    return {
        "bars": _places(values, 1e-9, max(len(values), 8), 0.8),
        "words": words,
        "last": said[-1] if said else "",
        "most": max(zip(values, said, strict=True))[1] if said else "",
    }
