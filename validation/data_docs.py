"""Data Docs that open without a network: Great Expectations' page of each table, and an index.

Everything that a page would fetch from elsewhere is removed. Of a row a page shows its key at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from validation.report import CheckResult

_POLICY = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 1.5rem; color: #222;
  background: #fff; }
table { border-collapse: collapse; width: 100%; margin: .75rem 0; }
th, td { border: 1px solid #ddd; padding: .35rem .6rem; text-align: left; vertical-align: top; }
ul { padding-left: 1.2rem; }
.badge { background: #eee; border-radius: .25rem; padding: 0 .3rem; }
.block, .text-danger { color: #a40000; } .warn { color: #8a5a00; } .good, .text-success { color: #176117; }
</style>"""
_DROPPED = (
    r"<script\b.*?</script\s*>",
    r"<footer\b.*?</footer\s*>",
    r"<(?:link|img|iframe|source|object|embed)\b[^>]*>",
    r"</(?:iframe|object)\s*>",
    r"@import[^;]*;",
)
_EDITED = (
    (r"url\([^)]*\)", "none"),
    (r"<a\b[^>]*href\s*=\s*[\"'](?:https?:)?//[^>]*>(.*?)</a\s*>", r"\1"),
    (r"(?:https?:)?//[^\s\"'<>)]+", ""),
)


def offline(page: str) -> str:
    """The page without scripts, images, fonts, external style sheets and links, with our style added."""
    for pattern in _DROPPED:
        page = re.sub(pattern, "", page, flags=re.IGNORECASE | re.DOTALL)
    for pattern, kept in _EDITED:
        page = re.sub(pattern, kept, page, flags=re.IGNORECASE | re.DOTALL)
    return page.replace("<head>", f"<head>{_POLICY}{_STYLE}", 1)


def write_index(docs: Path, results: Sequence[CheckResult], skipped: Iterable[str]) -> Path:
    """Write the page that lists the tables and their failures; return its path."""
    tables = list(dict.fromkeys(result.table for result in results))
    rows = "".join(_row(table, [r for r in results if r.table == table]) for table in tables)
    notes = "".join(f"<li>{escape(sentence)}</li>" for sentence in skipped)
    path = docs / "index.html"
    path.write_text(
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8><title>Validation</title>"
        f"{_POLICY}{_STYLE}</head><body><h1>Validation</h1>"
        f"<table><tr><th>Table<th>Expectations<th>Hold<th>What to look at</tr>{rows}</table>"
        + (f"<h2>Left out</h2><ul>{notes}</ul>" if notes else "")
        + "</body></html>",
        encoding="utf-8",
    )
    return path


def _row(table: str, results: Sequence[CheckResult]) -> str:
    failed = sorted((r for r in results if not r.success), key=lambda result: result.severity)
    items = "".join(_item(result) for result in failed)
    failures = f"<ul>{items}</ul>" if items else "<span class=good>nothing</span>"
    return (
        f'<tr><td><a href="{escape(table)}.html">{escape(table)}</a><td>{len(results)}'
        f"<td>{len(results) - len(failed)}<td>{failures}</tr>"
    )


def _item(result: CheckResult) -> str:
    keys = f"<br><small>keys: {escape(', '.join(result.keys))}</small>" if result.keys else ""
    return f"<li><b class={result.severity}>{result.severity}</b> {escape(result.sentence)}{keys}</li>"
