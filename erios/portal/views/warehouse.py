"""The warehouse for those who choose data: catalogue, releases and their quality. No row is ever read here."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from erios.governance.roles import Permission
from erios.portal.audience import StaffRequest, needs
from erios.portal.catalogue import tables
from erios.settings import load_settings


@needs(Permission.CATALOGUE)
@require_GET
def catalogue(request: StaffRequest) -> HttpResponse:
    """Tables of the warehouse, with the rows of the last release."""
    from etl.release import latest

    release = latest(load_settings().warehouse)
    known = [{"table": table, "rows": _rows(release, table.name)} for table in tables()]
    return render(request, "portal/catalogue.html", {"tables": known, "release": release})


def _rows(release: Any, name: str) -> int | None:
    return release.tables[name].rows if release and name in release.tables else None


@needs(Permission.CATALOGUE)
@require_GET
def table(request: StaffRequest, name: str) -> HttpResponse:
    """One table: its columns, their privacy rules, and how full each is in the last release."""
    from etl.release import latest

    found = next((table for table in tables() if table.name == name), None)
    if found is None:
        raise Http404
    release = latest(load_settings().warehouse)
    filled = _fill_rates(release, name) if release and name in release.tables else {}
    columns = [{"column": column, "filled": filled.get(column.name)} for column in found.columns]
    known = {"table": found, "columns": columns, "release": release, "rows": _rows(release, name)}
    return render(request, "portal/table.html", known)


def _fill_rates(release: Any, name: str) -> dict[str, float]:
    """Percent of rows in which each column has a value; nothing below a hundred rows."""
    if release.tables[name].rows < 100:
        return {}
    relation = release.duckdb(name)
    counts = relation.aggregate(", ".join(f'count("{column}")' for column in relation.columns)).fetchall()[0]
    return {
        column: 100.0 * count / release.tables[name].rows
        for column, count in zip(relation.columns, counts, strict=True)
    }


@needs(Permission.CATALOGUE)
@require_GET
def releases(request: StaffRequest) -> HttpResponse:
    """Kept releases: what came in, what was refused, what validation said."""
    from etl.release import open_release, release_ids

    warehouse = load_settings().warehouse
    kept = [open_release(warehouse, name) for name in reversed(release_ids(warehouse))]
    lines = [{"release": release, **_quality(release)} for release in kept]
    return render(request, "portal/releases.html", {"lines": lines})


def _quality(release: Any) -> dict[str, Any]:
    results = release.validation.get("results", [])
    failed = [result for result in results if not result.get("success", True)]
    docs = load_settings().warehouse / "validation" / release.batch / "index.html"
    return {"checks": len(results), "warnings": len(failed), "has_docs": docs.is_file(), "totals": release.totals}


@needs(Permission.CATALOGUE)
@require_GET
def data_docs(request: StaffRequest, release_id: str, page: str) -> FileResponse:
    """A page of a release's Data Docs."""
    from etl.release import open_release, release_ids

    warehouse = load_settings().warehouse
    if release_id not in release_ids(warehouse):
        raise Http404
    folder = warehouse / "validation" / open_release(warehouse, release_id).batch
    path = (folder / page).resolve()
    if path.parent != folder.resolve() or path.suffix != ".html" or not path.is_file():
        raise Http404
    return FileResponse(path.open("rb"), content_type="text/html; charset=utf-8")
