"""What a notebook may show in a browser: text, tables and pictures; nothing that runs there, and nothing that calls.

Owns the list of forms. Whoever asks for the page has JupyterLab's scripts and no others; here the page's content loses
what needs no script to speak to another machine: links that are followed by themselves, addresses of pictures, forms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from bleach.css_sanitizer import CSSSanitizer
from bleach.sanitizer import Cleaner

FORMS = ("text/plain", "text/html", "image/png", "image/jpeg", "application/json")
MOST_HTML = 2**17
"""Characters of HTML that are looked through; what is longer, or deep, is shown as its text."""
_TAGS = frozenset(
    [
        *("b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "details", "div", "dl", "dt", "em"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "li", "ol", "p", "pre", "s", "small", "span", "strong"),
        *("sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul"),
    ]
)
_ATTRIBUTES = {
    "*": ["class", "style", "title"],
    "img": ["alt", "height", "src", "width"],
    "td": ["colspan", "rowspan"],
    "th": ["colspan", "rowspan", "scope"],
}
_STYLES = [
    *("background-color", "border", "border-collapse", "border-color", "color", "font-size", "font-style"),
    *(
        "font-weight",
        "height",
        "margin",
        "max-width",
        "padding",
        "text-align",
        "vertical-align",
        "white-space",
        "width",
    ),
]
_DECLARATION = re.compile(r"[a-z-]+:\s*[-\w\s#%.,]*((rgb|rgba|hsl|hsla)\([-\d\s%.,]*\))?[-\w\s#%.,]*", re.ASCII)
_LONGEST_STYLE = 100
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_DEEPEST = 50
_EMPTY = ("br", "col", "hr", "img")
_STYLE_SHEET = re.compile(r"<style\b.*?(</style\s*>|\Z)", re.DOTALL | re.IGNORECASE)


class _Styles(CSSSanitizer):  # type: ignore[misc]
    """Style of named properties, whose values are words, figures and colours: nothing that names an address."""

    def sanitize_css(self, style: str) -> str:
        """The declarations that may stay."""
        declared = [each.strip() for each in str(super().sanitize_css(style)).split(";")]
        return "; ".join(each for each in declared if len(each) < _LONGEST_STYLE and _DECLARATION.fullmatch(each))


@cache
def _cleaner() -> Cleaner:
    return Cleaner(
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        protocols=["data"],
        strip=True,
        css_sanitizer=_Styles(allowed_css_properties=_STYLES),
    )


def clean_html(text: str) -> str:
    """The HTML without whatever runs, calls or leads away."""
    return str(_cleaner().clean(_STYLE_SHEET.sub("", text)))


def clean_data(data: Any) -> dict[str, Any]:
    """An output in the forms that may be shown."""
    if not isinstance(data, Mapping):
        return {}
    kept = {name: value for name, value in data.items() if name in FORMS}
    if "text/html" in kept:
        text = _joined(kept.pop("text/html"))
        if len(text) <= MOST_HTML and _is_shallow(text):
            kept["text/html"] = clean_html(text)
    return kept


def _is_shallow(text: str) -> bool:
    """Is no more open at any place than a table needs? What is deep takes a parser minutes."""
    depth = 0
    for tag in _TAG.finditer(text):
        depth += -1 if tag[1] else tag[2].lower() not in _EMPTY
        if depth > _DEEPEST:
            return False
    return True


def _joined(text: Any) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def clean_notebook(content: Any) -> Any:
    """A notebook whose stored outputs are in these forms, and trusted by nobody: in place."""
    cells = content.get("cells", []) if isinstance(content, dict) else []
    for cell in cells if isinstance(cells, list) else []:
        if not isinstance(cell, dict):
            continue
        metadata = cell.get("metadata")
        if isinstance(metadata, dict):
            metadata.pop("trusted", None)
        cell.pop("attachments", None)
        for output in cell.get("outputs") or []:
            if isinstance(output, dict) and "data" in output:
                output["data"] = clean_data(output["data"])
    return content
