"""Data Docs as the portal shows them: which expectation holds on which column, and no figure of patients.

The pages lie beside the tables, exact, with the keys of failing rows; whoever reads that folder reads the tables. A
reader of the portal does not: of rows that fail they learn that there are some. Owns what is taken out of a page; a
number of rows, a share of them or a key must never pass.
"""

from __future__ import annotations

import re

from django.utils.translation import gettext as _

_KEYS = re.compile(r"<br><small>keys:.*?</small>", re.DOTALL)
_PSEUDONYM = re.compile(r"\b[0-9a-f]{32}\b")
_BROKEN = re.compile(r"[\d,.  ]+unexpected values? found\..*?(?=</)", re.DOTALL)
_OBSERVED = re.compile(r'(<td\b[^>]*cell-\d+-3"[^>]*>)(.*?)(</td>)', re.DOTALL)
_HOLDS = re.compile(r"\s*(?:0% unexpected|100% (?:not )?null|--)\s*")
_SENTENCE = re.compile(r'(<b class="?\w+"?>\w+</b> )(.*?)(?=</li>|<br>)', re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_NUMBER = re.compile(r"(?<![\w.-])\d[\d,]*(?:\.\d+)?(?![\w-])")


def protected(page: str) -> str:
    """A page of Data Docs without numbers or shares of rows, without values counted in them, and without keys."""
    page = _PSEUDONYM.sub("…", _KEYS.sub("", page))
    page = _BROKEN.sub(_("des lignes ne conviennent pas"), page)
    page = _SENTENCE.sub(lambda match: match.group(1) + _NUMBER.sub("…", match.group(2)), page)
    return _OBSERVED.sub(lambda match: match.group(1) + _observed(match.group(2)) + match.group(3), page)


def _observed(cell: str) -> str:
    """What was observed: kept where it says that no row fails, since nobody is counted then."""
    return cell if _HOLDS.fullmatch(_TAG.sub("", cell)) else "…"
