"""Routes of MLflow's server that answer, by method and path; whatever is not here answers 404.

Owns the list and the reading of a path. It names what recording, reading and registering need. Not here, on purpose:
what makes the server call other machines (gateway, webhooks, scorers, assistant, jobs, signed addresses, prompts,
traces), accounts and permissions (governance grants them), and what deletes. Of GraphQL, whose queries name no route,
``tracking_queries`` lists the fields.
``{id}`` stands for one plain segment, ``{path}`` for one or more segments of a file's path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

_FILES = "2.0/mlflow-artifacts/artifacts"
_BOTH: tuple[tuple[str, str], ...] = (
    ("GET", "2.0/mlflow/experiments/get"),
    ("GET", "2.0/mlflow/experiments/get-by-name"),
    ("GET", "2.0/mlflow/experiments/search"),
    ("POST", "2.0/mlflow/experiments/search"),
    ("POST", "2.0/mlflow/runs/create"),
    ("GET", "2.0/mlflow/runs/get"),
    ("POST", "2.0/mlflow/runs/search"),
    ("POST", "2.0/mlflow/runs/update"),
    ("POST", "2.0/mlflow/runs/log-batch"),
    ("POST", "2.0/mlflow/runs/log-metric"),
    ("POST", "2.0/mlflow/runs/log-parameter"),
    ("POST", "2.0/mlflow/runs/log-inputs"),
    ("POST", "2.0/mlflow/runs/outputs"),
    ("POST", "2.0/mlflow/runs/set-tag"),
    ("POST", "2.0/mlflow/runs/delete-tag"),
    ("GET", "2.0/mlflow/metrics/get-history"),
    ("GET", "2.0/mlflow/metrics/get-history-bulk-interval"),
    ("GET", "2.0/mlflow/artifacts/list"),
    ("GET", _FILES),
    ("GET", f"{_FILES}/{{path}}"),
    ("PUT", f"{_FILES}/{{path}}"),
    ("POST", "2.0/mlflow/logged-models"),
    ("POST", "2.0/mlflow/logged-models/search"),
    ("GET", "2.0/mlflow/logged-models/{id}"),
    ("PATCH", "2.0/mlflow/logged-models/{id}"),
    ("POST", "2.0/mlflow/logged-models/{id}/params"),
    ("PATCH", "2.0/mlflow/logged-models/{id}/tags"),
    ("GET", "2.0/mlflow/logged-models/{id}/artifacts/directories"),
    ("GET", "2.0/mlflow/registered-models/get"),
    ("GET", "2.0/mlflow/registered-models/search"),
    ("GET", "2.0/mlflow/registered-models/alias"),
    ("POST", "2.0/mlflow/registered-models/alias"),
    ("POST", "2.0/mlflow/registered-models/create"),
    ("GET", "2.0/mlflow/registered-models/get-latest-versions"),
    ("POST", "2.0/mlflow/registered-models/get-latest-versions"),
    ("POST", "2.0/mlflow/model-versions/create"),
    ("GET", "2.0/mlflow/model-versions/get"),
    ("GET", "2.0/mlflow/model-versions/search"),
    ("GET", "2.0/mlflow/model-versions/get-download-uri"),
    ("GET", "2.0/mlflow/users/current"),
    ("GET", "3.0/mlflow/server-info"),
)
"""For programs under ``api/`` and for MLflow's own pages under ``ajax-api/``."""

_PAGES: tuple[tuple[str, str], ...] = (
    ("GET", "/"),
    ("GET", "/health"),
    ("GET", "/version"),
    ("GET", "/static-files/{path}"),
    ("GET", "/get-artifact"),
    ("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk"),
    ("GET", "/ajax-api/2.0/mlflow/logged-models/{id}/artifacts/files"),
    ("POST", "/ajax-api/2.0/mlflow/experiments/search-datasets"),
    ("POST", "/graphql"),
)

ALLOWED: frozenset[tuple[str, str]] = frozenset(
    [*_PAGES, *((method, f"/{api}/{path}") for method, path in _BOTH for api in ("api", "ajax-api"))]
)

MAKE_VERSION = re.compile(r"/(?:ajax-)?api/2\.0/mlflow/model-versions/create")
"""The route whose body names where a model's files are."""
QUERY = "/graphql"
"""The route whose body is a query of GraphQL."""
UPLOAD = re.compile(rf"/(?:ajax-)?api/{re.escape(_FILES)}/(?P<file>.+)")
"""The route that writes a file, once decoded."""

_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_SEGMENT = r"(?:[A-Za-z0-9_.~!$'()+,;=:@-]|%(?!2[Ff])[0-9A-Fa-f]{2})+"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\%?#]|(?:^|/)\.{0,2}(?:/|$)")
"""In a decoded path: control characters, another encoding, segments that are empty or lead upwards."""


def _pattern(path: str) -> str:
    parts = re.split(r"(\{id\}|\{path\})", path)
    stands_for = {"{id}": _ID, "{path}": f"{_SEGMENT}(?:/{_SEGMENT})*"}
    return "".join(stands_for.get(part) or re.escape(part) for part in parts)


def _patterns(routes: Iterable[tuple[str, str]]) -> dict[str, re.Pattern[str]]:
    """Method → one pattern for all its paths."""
    paths: dict[str, list[str]] = {}
    for method, path in sorted(routes):
        paths.setdefault(method, []).append(_pattern(path))
    return {method: re.compile("|".join(f"(?:{path})" for path in each)) for method, each in paths.items()}


_BY_METHOD = _patterns(ALLOWED)


def is_allowed(method: str, raw_path: bytes, path: str) -> bool:
    """May this request pass? ``raw_path``: as sent; ``path``: decoded, as the server's router reads it.

    The path as sent must have the one form that is listed: no other letters, slashes or encodings of the same route.
    """
    pattern = _BY_METHOD.get(method)
    sent = raw_path.decode("latin-1")
    if pattern is None or not pattern.fullmatch(sent) or unquote(sent) != path:
        return False
    return path == "/" or not _UNSAFE.search(path[1:])
