"""Prints the routes that MLflow's application registers, as JSON; run in a process with the server's own variables."""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

_SILENT = {"HEAD", "OPTIONS"}


def routes_of(app: Any, flask_app: Any) -> Iterator[tuple[str, str]]:
    """Method and path of every route, of FastAPI's and of Flask's; "WEBSOCKET" for a method of its own."""
    yield from _native(app.routes)
    for rule in flask_app.url_map.iter_rules():
        for method in rule.methods - _SILENT:
            yield method, rule.rule.replace("<", "{").replace(">", "}")


def _native(routes: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for route in routes:
        if hasattr(route, "effective_candidates"):  # a router that was included
            yield from _native(route.effective_candidates())
        elif route.path == "" and type(route).__name__ == "Mount":  # Flask's, which is read above
            continue
        else:
            for method in (getattr(route, "methods", None) or {"WEBSOCKET"}) - _SILENT:
                yield method, route.path


if __name__ == "__main__":
    from mlflow.server import app as flask_app

    from experiments.tracking_app import create_app

    sys.stdout.write(json.dumps(sorted(set(routes_of(create_app().app, flask_app)))))
