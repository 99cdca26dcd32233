"""No route of MLflow answers that is not listed, however it is written; a new one of an upgrade fails here first."""

import asyncio
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from urllib.parse import unquote

import pytest

from experiments.server import Server, environment, make_ready
from experiments.tracking_filter import TrackingFilter
from experiments.tracking_routes import ALLOWED, is_allowed

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow imports what is deprecated

RECORD = Path(__file__).with_name("mlflow_routes.txt")
"""Every route of this version of MLflow, with what becomes of it: read it anew after an upgrade."""


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Method and path of each route that MLflow's application has, with accounts."""
    server = Server(tmp_path_factory.mktemp("tracking"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_ready(server)
        environ = environment(server, "k" * 32)
    command = [sys.executable, "-W", "ignore", "-m", "tests.unit.experiments.registered_routes"]
    answer = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout
    return [(method, path) for method, path in json.loads(answer.splitlines()[-1])]


def named(path: str) -> str:
    """The path with places as the list writes them."""
    return re.sub(r"\{(?!path\})[^{}]*\}", "{id}", re.sub(r"\{path:[^{}]*\}|\{[^{}]*:path\}", "{path}", path))


def filled(path: str) -> str:
    """An address of the route."""
    return named(path).replace("{id}", "x1").replace("{path}", "a/b.txt")


def ask(method: str, raw: str, kind: str = "http") -> int | str:
    """What the filter answers: a status, "passed", or "closed"."""
    answers: list[int | str] = []

    async def inner(_scope, _receive, _send):
        answers.append("passed")

    async def send(message):
        if message["type"] in ("http.response.start", "websocket.close"):
            answers.append(message.get("status", "closed"))

    async def receive():
        body = json.dumps({"source": "models:/m-1", "query": "{mlflowGetRun {run {info {runId}}}}"}).encode()
        return {"type": "http.request", "body": body, "more_body": False}

    async def yes(_file):
        return True

    scope = {"type": kind, "method": method, "path": unquote(raw.partition("?")[0]), "raw_path": raw.encode()}
    asyncio.run(TrackingFilter(inner, yes)(scope, receive, send))
    return answers[0]


@pytest.mark.slow
def test_each_route_of_mlflow_is_allowed_by_name_or_answers_404(registered):
    assert len(registered) > 400
    answers = {route: ask(route[0], filled(route[1])) for route in registered}

    assert {route for route in answers if answers[route] == "passed"} == {
        route for route in registered if (route[0], named(route[1])) in ALLOWED
    }
    assert {answers[route] for route in registered if (route[0], named(route[1])) not in ALLOWED} == {404}


@pytest.mark.slow
def test_each_listed_route_is_one_of_mlflows(registered):
    assert ALLOWED - {(method, named(path)) for method, path in registered} == set()


@pytest.mark.slow
def test_every_route_is_on_record_with_what_becomes_of_it(registered):
    fates = {route: "allowed" if (route[0], named(route[1])) in ALLOWED else "refused" for route in registered}
    lines = [f"{fate} {method} {path}" for (method, path), fate in fates.items()]

    assert lines == RECORD.read_text(encoding="utf-8").splitlines()


CALLS_OUT = (
    "gateway",
    "webhook",
    "scorer",
    "assistant",
    "jobs",
    "trace",
    "prompt",
    "presigned",
    "mpu",
    "mcp",
)


@pytest.mark.slow
@pytest.mark.parametrize("word", [*CALLS_OUT, "signup", "roles", "permissions", "/users/", "delete", "restore"])
def test_no_route_of_this_kind_is_allowed(registered, word):
    allowed = {path for method, path in ALLOWED if word in path.lower()} - {
        "/api/2.0/mlflow/users/current",
        "/ajax-api/2.0/mlflow/users/current",
        "/api/2.0/mlflow/runs/delete-tag",  # of a run that goes on
        "/ajax-api/2.0/mlflow/runs/delete-tag",
    }

    assert allowed == set()
    assert any(word in path.lower() for _method, path in registered)


def disguises(path: str) -> list[str]:
    """Other ways to write an address, some of which routers read as the same."""
    start, _, end = path.rpartition("/")
    letter = f"%{ord(end[0]):02x}" if end else "%2f"
    return [
        path + "/",
        "/" + path,
        path.replace("/", "//"),
        f"{start}/./{end}",
        f"{start}/x/../{end}",
        f"{start}/%2e/{end}",
        f"{start}/x/%2e%2e/{end}",
        f"{start}/{letter}{end[1:]}",
        f"{start}%2f{end}",
        f"{start}/{end.upper()}" if end != end.upper() else "/API",
        f"{start}/{end};x=1",
        f"{start}/{end}%00",
        f"{start}/{end}%20",
        f"{start}\\{end}",
        f"http://localhost{path}",
    ]


ROUTES = [
    ("POST", "/api/3.0/mlflow/gateway/secrets/create"),
    ("GET", "/api/2.0/mlflow/runs/get"),
    ("POST", "/graphql"),
    ("GET", "/version"),
    ("POST", "/api/2.0/mlflow/webhooks"),
    ("POST", "/gateway/mine/mlflow/invocations"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_disguise_of_a_route_passes(method, path):
    passed = [raw for raw in disguises(path) if ask(method, raw) != 404]

    assert passed == []


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "CONNECT", "PUT", "DELETE", "get", "PROPFIND", ""])
def test_a_listed_path_answers_listed_methods_alone(method):
    assert ask(method, "/api/2.0/mlflow/runs/get") == 404


FILES = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.mark.parametrize(
    "file", ["1/r/artifacts/../../2/x", "1/%2e%2e/x", "1/r%2fx", "1//x", "1/%252e%252e/x", "1/x%5c..", "1/x%00", "1/x/"]
)
def test_a_path_of_a_file_leads_nowhere_else(file):
    assert ask("GET", f"{FILES}/{file}") == 404


def test_a_file_with_accents_and_spaces_passes():
    assert ask("PUT", f"{FILES}/1/r/artifacts/courbe%20%C3%A9t%C3%A9.png") == "passed"


def test_what_is_no_request_is_refused():
    assert ask("GET", "/api/2.0/mlflow/runs/get", "websocket") == "closed"


def test_a_path_that_was_rewritten_on_its_way_does_not_pass():
    assert not is_allowed("GET", b"/version", "/graphql")


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "m", "source": "http://10.0.0.1/x"}',
        b'{"name": "m", "source": "s3://outside/x"}',
        b'{"name": "m", "source": "file:///etc"}',
        b'{"name": "m", "source": "models:/m-1/../../x"}',
        b'{"name": "m", "source": "models:/m-1", "source": "ftp://outside/x"}',
        b'"{\\"source\\": \\"http://10.0.0.1/x\\"}"',
        b'{"name": "m"}',
        b"",
        b"[" * 2000,
    ],
)
def test_a_version_of_a_model_is_of_this_server_alone(body):
    assert register(body) == 400


RUN = "mlflowGetRun(input: $data) {run {info {runId}}}"


@pytest.mark.parametrize(
    "query",
    [
        f"query GetRun($data: MlflowGetRunInput!) {{{RUN}}}",
        f"query GetRun($data: MlflowGetRunInput!) {{mine: {RUN} other: {RUN}}}",
        "query A {mlflowGetExperiment {...F}} fragment F on MlflowGetExperimentResponse {experiment {name}}",
        "{mlflowSearchRuns {runs {info {runUuid}}} mlflowGetMetricHistoryBulkInterval {metrics {key}}}",
    ],
)
def test_what_mlflows_pages_ask_passes_unchanged(query):
    assert register(json.dumps({"query": query, "variables": {}}).encode(), "/graphql") == "passed"


@pytest.mark.parametrize(
    "query",
    [
        "{mlflowSearchModelVersions {modelVersions {name}}}",
        "{mlflowListArtifacts {files {path}}}",
        "{__schema {types {name}}}",
        '{test(inputString: "x") {output}}',
        "mutation {mlflowSearchRuns {runs {info {runId}}}}",
        "subscription {mlflowGetRun {run {info {runId}}}}",
        "query A {...F} fragment F on Query {mlflowSearchModelVersions {modelVersions {name}}}",
        "{... on Query {mlflowSearchModelVersions {modelVersions {name}}}}",
        f"query A {{{RUN}}} mutation B {{testMutation {{output}}}}",
        f"query A {{{RUN}}} query B {{mlflowSearchModelVersions {{modelVersions {{name}}}}}}",
        f"query A {{mlflowGetRun: mlflowSearchModelVersions {{modelVersions {{name}}}} {RUN}}}",
        "fragment F on Query {mlflowGetRun {run {info {runId}}}}",
        "type Query {x: Int}",
        "{" + " ".join(f"a{n}: mlflowGetRun {{run {{info {{runId}}}}}}" for n in range(300)) + "}",
        "{" * 5000,
        "",
        None,
        7,
        ["{mlflowGetRun {run {info {runId}}}}"],
    ],
)
def test_no_other_query_passes(query):
    assert register(json.dumps({"query": query}).encode(), "/graphql") == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"query=%7BmlflowGetRun%7D", b'"{mlflowGetRun}"', b"\xff\xfe{"])
def test_what_is_no_query_does_not_pass(body):
    assert register(body, "/graphql") == 400


def register(body: bytes, path: str = "/api/2.0/mlflow/model-versions/create") -> int | str:
    answers: list[int | str] = []

    async def inner(_scope, receive, _send):
        answers.append("passed" if (await receive())["body"] == body else "changed")

    async def send(message):
        answers.append(message.get("status", ""))

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def yes(_file):
        return True

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode()}
    asyncio.run(TrackingFilter(inner, yes)(scope, receive, send))
    return answers[0]


@pytest.mark.parametrize("source", ["models:/m-0a1b", "mlflow-artifacts:/1/models/m-0a1b/artifacts"])
def test_a_version_of_a_logged_model_passes_unchanged(source):
    assert register(json.dumps({"name": "m", "source": source}).encode()) == "passed"
