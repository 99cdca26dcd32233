"""The version of the product, as records name it."""

from __future__ import annotations

from importlib.metadata import version

from erios.checkout import PROJECT


def code_version() -> str:
    """The package's version, and the revision of the checkout it runs from, if it is one."""
    head = PROJECT / ".git" / "HEAD"
    try:
        text = head.read_text().strip()
        revision = (head.parent / text.removeprefix("ref: ")).read_text().strip() if text.startswith("ref: ") else text
    except OSError:
        revision = ""
    return f"erios {version('erios')} {revision[:12]}".strip()
