"""The warehouse for those who choose data: catalogue, releases, their quality, the quarantine. No row is shown here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from erios.extracts.counts import load_parameters
from erios.governance.disclosure import round_count
from erios.governance.roles import Permission
from erios.portal.access import StaffRequest, needs
from erios.portal.catalogue import tables
from erios.portal.data_docs import protected
from erios.portal.distribution_charts import column_picture, quality_over_time
from erios.portal.templatetags.words import spaced
from erios.settings import load_settings
from erios.workflows.catalogue import TableProfile, quarantine_figures, table_profile
from etl.warehouse.release import Release
from validation import Severity, failed_count


@needs(Permission.CATALOGUE)
@require_safe
def catalogue(request: StaffRequest) -> HttpResponse:
    """Tables of the warehouse, with the rows of the last release."""
    from etl.warehouse.release import latest

    release = latest(load_settings().warehouse)
    rows = [{"table": table, "rows": _rows(release, table.name)} for table in tables()]
    return render(request, "portal/catalogue.html", {"tables": rows, "release": release})


def _rows(release: Release | None, name: str) -> str:
    """Rows of a table in words, rounded: few rows are few patients, and so is what a night adds."""
    if release is None or name not in release.tables:
        return ""
    rows, least = release.tables[name].rows, load_parameters().threshold
    return f"≈ {spaced(round_count(rows, least))}" if rows >= least else _("moins de %(count)s") % {"count": least}


@needs(Permission.CATALOGUE)
@require_safe
def table(request: StaffRequest, name: str) -> HttpResponse:
    """One table: its columns, their privacy rules, how full each is in the last release and what lies in it."""
    from etl.warehouse.release import latest

    shown = next((table for table in tables() if table.name == name), None)
    if shown is None:
        raise Http404
    settings = load_settings()
    release = latest(settings.warehouse)
    if release is None or name not in release.tables:
        profile = TableProfile({}, sampled=False)
    else:
        profile = table_profile(settings, release.id, name, request.user.username)
    columns = [
        {
            "column": column,
            "picture": column_picture(profile.columns[column.name]) if column.name in profile.columns else None,
        }
        for column in shown.columns
    ]
    context = {"table": shown, "columns": columns, "release": release, "rows": _rows(release, name)}
    return render(request, "portal/table.html", {**context, "sampled": profile.sampled})


@needs(Permission.QUALITY)
@require_safe
def releases(request: StaffRequest) -> HttpResponse:
    """Kept releases: what came in, what was refused and why, what validation said, over time."""
    from etl.warehouse.release import open_release, release_ids

    settings = load_settings()
    kept = [open_release(settings.warehouse, name) for name in release_ids(settings.warehouse)]
    waiting = quarantine_figures(settings)
    context = {
        "lines": [{"release": release, **_quality(release)} for release in reversed(kept)],
        "pictures": quality_over_time(kept[-24:]),
        "waiting": waiting[:50],
        "left": len(waiting[50:]),
        "total": sum(texts for _kind, _reason, texts in waiting),
    }
    return render(request, "portal/releases.html", context)


def _quality(release: Release) -> dict[str, Any]:
    """What validation said; of a failure its table and its sentence, never the keys of rows."""
    validation = release.validation
    docs = load_settings().warehouse / "validation" / release.batch / "index.html"
    return {
        "checks": validation.get("expectations", 0),
        "warnings": failed_count(validation, Severity.WARN),
        "failures": [_failure(failure) for failure in validation.get("failures", ())],
        "has_docs": docs.is_file(),
        "totals": release.totals,
        "published": parse_datetime(release.created),
    }


def _failure(failure: Mapping[str, Any]) -> str:
    """A failure's table and sentence without the numbers in it that are counts of rows: few rows are few patients."""
    counts = "|".join(rf"{n:,}|{n}" for n in {failure["unexpected"], failure["evaluated"]})
    return f"{failure['table']} : " + re.sub(rf"(?<![\d,.])({counts})(?![\d,]|\.\d)", "…", failure["sentence"]).replace(
        "….", "…"
    )


@needs(Permission.QUALITY)
@require_safe
def data_docs(request: StaffRequest, release_id: str, page: str) -> HttpResponse:
    """A page of a release's Data Docs, without figures of patients."""
    from etl.warehouse.release import open_release, release_ids

    warehouse = load_settings().warehouse
    if release_id not in release_ids(warehouse):
        raise Http404
    folder = warehouse / "validation" / open_release(warehouse, release_id).batch
    path = (folder / page).resolve()
    if path.parent != folder.resolve() or path.suffix != ".html" or not path.is_file():
        raise Http404
    return HttpResponse(protected(path.read_text(encoding="utf-8")))
