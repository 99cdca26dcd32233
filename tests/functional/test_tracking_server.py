"""The team's MLflow server as an attacker with an account meets it: it calls nobody; ended runs stay as they are."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from experiments.server import WRITE, Server, can_isolate, command, draw_password, environment, make_ready, share
from tests.slurm import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow imports what is deprecated

STARTING = 300.0
"""Seconds that a busy machine has to start the server."""


@dataclass(frozen=True)
class Tracking:
    """A running server, with the accounts of a data scientist, and of another on another study (``other``)."""

    server: Server
    port: int
    process: int
    authorization: str
    other: str
    isolated: bool

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and answer to the data scientist."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": self.authorization, "Content-Type": "application/json"}
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text) if text.startswith("{") else text

    def query(self, text: str, *, other: bool = False, **data: Any) -> tuple[int, Any]:
        """Status and answer to a query of GraphQL; ``data``: its one variable."""
        asking = replace(self, authorization=self.other) if other else self
        return asking.ask("POST", "/graphql", {"query": text, "variables": {"data": data}})

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        return self.ask("POST", f"/api/2.0/mlflow/{path}", body)

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/health")[0] == 200
        except OSError:
            return False

    def run(self) -> str:
        """A new run of the study's experiment, with one figure, one parameter, one tag and one file."""
        created = self.post("runs/create", experiment_id="1", start_time=1)[1]["run"]["info"]
        run = str(created["run_id"])
        assert self.post("runs/log-metric", run_id=run, key="loss", value=0.5, timestamp=1, step=1)[0] == 200
        assert self.post("runs/log-parameter", run_id=run, key="seed", value="1")[0] == 200
        assert self.post("runs/set-tag", run_id=run, key="note", value="first")[0] == 200
        assert self.ask("PUT", self.file(run, "a.txt"), b"first")[0] == 200
        return run

    def model(self, run: str = "") -> str:
        """A new model, of a run or of none."""
        answer = self.post("logged-models", experiment_id="1", name="m", **({"source_run_id": run} if run else {}))
        return str(answer[1]["model"]["info"]["model_id"])

    def end(self, run: str) -> None:
        assert self.post("runs/update", run_id=run, status="FINISHED", end_time=2)[0] == 200

    def file(self, run: str, name: str) -> str:
        return f"/api/2.0/mlflow-artifacts/artifacts/1/{run}/artifacts/{name}"

    def record(self, run: str) -> Any:
        """All that the server says of a run."""
        files = self.ask("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run}")[1]
        content = self.ask("GET", self.file(run, "a.txt"))
        return self.ask("GET", f"/api/2.0/mlflow/runs/get?run_id={run}"), files, content


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    server = Server(tmp_path_factory.mktemp("tracking"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_ready(server)
        share(server, {"S-1": {}, "S-2": {}})
        passwords = {login: draw_password(server, login) for login in ("ada", "eve")}
        share(server, {"S-1": {"ada": WRITE}, "S-2": {"eve": WRITE}})
        isolated, environ = can_isolate(server), environment(server, "k" * 32)
    with socket.create_server(("127.0.0.1", 0)) as listening, (server.folder / "log").open("wb") as log:
        port, number = listening.getsockname()[1], listening.fileno()
        started = command(number, 1, isolated=isolated)
        process = subprocess.Popen(started, env=environ, pass_fds=[number], stdout=log, stderr=log)
    ada, eve = ("Basic " + base64.b64encode(f"{who}:{word}".encode()).decode() for who, word in passwords.items())
    running = Tracking(server, port, process.pid, ada, eve, isolated)
    try:
        wait_for(running.answers, "answer of the server", STARTING)
        yield running
    finally:
        process.terminate()
        process.wait(30)


RUN = "query Q($data: MlflowGetRunInput!) {mlflowGetRun(input: $data) {run {info {runId} data {metrics {key value}}}}}"
EXPERIMENT = (
    "query Q($data: MlflowGetExperimentInput!) {mlflowGetExperiment(input: $data) {experiment {name experimentId}}}"
)
SEARCH = "query Q($data: MlflowSearchRunsInput!) {mlflowSearchRuns(input: $data) {runs {info {runId}}}}"
HISTORY = (
    "query Q($data: MlflowGetMetricHistoryBulkIntervalInput!)"
    " {mlflowGetMetricHistoryBulkInterval(input: $data) {metrics {runId key value}}}"
)


def test_mlflows_pages_read_the_runs_of_ones_own_study_and_no_other(tracking):
    run = tracking.run()
    asked: list[tuple[str, dict[str, Any]]] = [
        (RUN, {"runId": run}),
        (EXPERIMENT, {"experimentId": "1"}),
        (SEARCH, {"experimentIds": ["1"]}),
        (HISTORY, {"runIds": [run], "metricKey": "loss"}),
    ]
    for text, data in asked:
        status, own = tracking.query(text, **data)
        (answer,) = own["data"].values()
        assert (status, own["errors"]) == (200, None), text
        assert run in json.dumps(answer) or answer["experiment"]["name"] == "S-1"
        status, others = tracking.query(text, other=True, **data)
        assert (status, *others["data"].values()) == (200, None), text


class Outside:
    """What stands for a host outside: it counts who calls, and hangs up."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listening.getsockname()[1]}"
        self.calls = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        with suppress(OSError):
            while True:
                self.listening.accept()[0].close()
                self.calls += 1

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()


@pytest.fixture
def outside() -> Iterator[Outside]:
    host = Outside()
    yield host
    host.close()


def part(answer: Any, *names: str) -> str:
    """A value in an answer; "x" where it was refused."""
    for name in names:
        answer = answer.get(name, {}) if isinstance(answer, dict) else {}
    return str(answer or "x")


def test_an_account_cannot_make_the_server_call_through_the_gateway(tracking, outside):
    """The attack as it was carried out: a secret, a model at an address of one's own, an endpoint, and a question."""
    base = f"https://{outside.address}/v1"
    gateway = "/api/3.0/mlflow/gateway"
    secret = {"secret_name": "s", "secret_value": {"api_key": "x"}, "provider": "openai"}
    answers = [tracking.ask("POST", f"{gateway}/secrets/create", {**secret, "auth_config": {"api_base": base}})]
    number = part(answers[0][1], "secret", "secret_id")
    model = {"name": "m", "secret_id": number, "provider": "openai", "model_name": "m"}
    answers.append(tracking.ask("POST", f"{gateway}/model-definitions/create", model))
    number = part(answers[1][1], "model_definition", "model_definition_id")
    models = [{"model_definition_id": number, "linkage_type": "PRIMARY", "weight": 1.0}]
    answers.append(tracking.ask("POST", f"{gateway}/endpoints/create", {"name": "e", "model_configs": models}))
    question = {"messages": [{"role": "user", "content": "hello"}], "model": "e"}
    asked = ("/gateway/e/mlflow/invocations", "/gateway/mlflow/v1/chat/completions")
    answers.extend(tracking.ask("POST", path, question) for path in asked)

    assert outside.calls == 0
    assert [status for status, _answer in answers] == [404] * 5


def test_an_account_cannot_make_the_server_call_through_a_webhook(tracking, outside):
    hook = {
        "name": "w",
        "url": f"https://{outside.address}/",
        "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
    }
    answers = [tracking.post("webhooks", **hook), tracking.post("webhooks/x/test")]
    assert tracking.post("registered-models/create", name="mine")[0] == 200

    assert outside.calls == 0
    assert [status for status, _answer in answers] == [404, 404]


def test_an_account_cannot_make_the_server_fetch_the_files_of_a_model(tracking, outside):
    tracking.post("registered-models/create", name="theirs")
    source = f"http://{outside.address}/model"

    created, _answer = tracking.post("model-versions/create", name="theirs", source=source)
    read, _answer = tracking.ask("GET", "/model-versions/get-artifact?name=theirs&version=1&path=MLmodel")
    experiment, _answer = tracking.post("experiments/create", name="x", artifact_location=source)

    assert outside.calls == 0
    assert (created, read, experiment) == (400, 404, 404)


def test_the_process_has_no_network_but_the_socket_that_it_was_given(tracking):
    if not tracking.isolated:
        pytest.skip("this account may make no network namespace: the guard in the process is tested alone")
    interfaces = Path(f"/proc/{tracking.process}/net/route").read_text().splitlines()[1:]

    assert Path(f"/proc/{tracking.process}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    assert interfaces == []


def after_the_end(run: str, model: str) -> dict[str, tuple[str, str, Any]]:
    """All ways to write to a run: method, path and body."""
    figure = {"key": "loss", "value": 0.1, "timestamp": 3, "step": 2}
    dataset = {"name": "d", "digest": "d", "source_type": "s", "source": "s"}
    bodies: dict[str, dict[str, Any]] = {
        "log-metric": figure,
        "log-parameter": {"key": "more", "value": "2"},
        "set-tag": {"key": "note", "value": "second"},
        "delete-tag": {"key": "note"},
        "log-batch": {"metrics": [figure], "params": [], "tags": []},
        "log-inputs": {"datasets": [{"dataset": dataset}]},
        "outputs": {"models": [{"model_id": model, "step": 1}]},
        "log-model": {"model_json": json.dumps({"run_id": run, "artifact_path": "m", "utc_time_created": "x"})},
        "update": {"status": "RUNNING"},
        "delete": {},
        "restore": {},
    }
    routes = {name: ("POST", f"/api/2.0/mlflow/runs/{name}", {"run_id": run, **body}) for name, body in bodies.items()}
    file = f"/api/2.0/mlflow-artifacts/artifacts/1/{run}/artifacts"
    return {
        **routes,
        "end anew": ("POST", "/api/2.0/mlflow/runs/update", {"run_id": run, "status": "FAILED", "end_time": 9}),
        "rename": ("POST", "/api/2.0/mlflow/runs/update", {"run_id": run, "run_name": "other"}),
        "older name": ("POST", "/ajax-api/2.0/mlflow/runs/set-tag", {"run_uuid": run, "key": "note", "value": "2"}),
        "overwrite": ("PUT", f"{file}/a.txt", b"second"),
        "add a file": ("PUT", f"{file}/b.txt", b"second"),
        "pages' route": ("PUT", "/ajax" + file[1:].replace("api", "-api", 1) + "/c.txt", b"second"),
        "upload": ("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=d.txt", b"second"),
        "delete a file": ("DELETE", f"{file}/a.txt", None),
        "in parts": ("POST", f"/api/2.0/mlflow-artifacts/mpu/create/1/{run}/artifacts/e.txt", {"path": "e.txt"}),
        "a model of it": ("POST", "/api/2.0/mlflow/logged-models", {"experiment_id": "1", "source_run_id": run}),
    }


def test_a_run_that_has_ended_is_read_only(tracking):
    run = tracking.run()
    tracking.end(run)
    before = tracking.record(run)

    statuses = {name: tracking.ask(*request)[0] for name, request in after_the_end(run, tracking.model()).items()}

    assert tracking.record(run) == before
    assert before[2] == (200, "first")
    assert {name: status for name, status in statuses.items() if status not in (400, 403, 404)} == {}


def test_a_run_that_goes_on_takes_what_an_ended_one_does_not(tracking):
    """The refusals above are of the end, not of the requests."""
    run = tracking.run()
    refused = {"delete", "restore", "log-model", "upload", "delete a file", "in parts"}

    statuses = {
        name: tracking.ask(*request)[0]
        for name, request in after_the_end(run, tracking.model()).items()
        if name != "end anew"
    }

    assert {name for name, status in statuses.items() if status != 200} == refused


def test_an_upload_that_lasts_longer_than_its_run_is_not_kept(tracking):
    run = tracking.run()
    head = f"PUT {tracking.file(run, 'late.txt')} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n"
    with socket.create_connection(("127.0.0.1", tracking.port), timeout=60) as connection:
        connection.sendall(f"{head}Authorization: {tracking.authorization}\r\n\r\nsec".encode())
        wait_for(lambda: staged(tracking, run), "start of the upload", 60)
        tracking.end(run)
        connection.sendall(b"ond")
        status = connection.recv(64).split()[1]

    assert status == b"403"
    assert [file["path"] for file in tracking.record(run)[1]["files"]] == ["a.txt"]
    assert not staged(tracking, run)


def staged(tracking: Tracking, run: str) -> bool:
    """A file that is being received."""
    folder = tracking.server.folder / "artifacts"
    return any(run in str(path) and path.name != "a.txt" for path in folder.rglob("*") if path.is_file())


def test_a_model_of_an_ended_run_takes_the_names_of_its_versions_alone(tracking):
    run = tracking.run()
    number = tracking.model(run)
    file = f"/api/2.0/mlflow-artifacts/artifacts/1/models/{number}/artifacts/weights"
    route = f"/api/2.0/mlflow/logged-models/{number}"

    def ways(tag: str) -> dict[str, Callable[[], tuple[int, Any]]]:
        return {
            "file": lambda: tracking.ask("PUT", file, b"weights"),
            "tag": lambda: tracking.ask("PATCH", f"{route}/tags", {"tags": [pair(tag)]}),
            "param": lambda: tracking.post(f"logged-models/{number}/params", model_id=number, params=[pair(tag)]),
            "status": lambda: tracking.ask("PATCH", route, {"model_id": number, "status": "LOGGED_MODEL_READY"}),
        }

    assert {name: way()[0] for name, way in ways("a").items()} == dict.fromkeys(ways("a"), 200)
    tracking.end(run)

    assert {name: way()[0] for name, way in ways("b").items() if name != "status"} == {
        "file": 403,
        "tag": 400,
        "param": 400,
    }
    assert tracking.ask("PATCH", route, {"model_id": number, "status": "LOGGED_MODEL_UPLOAD_FAILED"})[0] == 400
    assert ways("mlflow.modelVersions")["tag"]()[0] == 200
    tracking.post("registered-models/create", name="kept")
    assert tracking.post("model-versions/create", name="kept", source=f"models:/{number}", model_id=number)[0] == 200


def pair(key: str) -> dict[str, str]:
    return {"key": key, "value": "[]"}


GUARDED = """
import socket, subprocess, sys, os
from experiments.network_guard import refuse_outgoing_calls
near, far = socket.socketpair()
listening = socket.create_server(("127.0.0.1", 0))
address = listening.getsockname()
refuse_outgoing_calls()
calls = {
    "tcp": lambda: socket.create_connection(address),
    "connect_ex": lambda: socket.socket().connect_ex(address),
    "ipv6": lambda: socket.socket(socket.AF_INET6).connect(("::1", 9)),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", address),
    "sendmsg": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, address),
    "name": lambda: socket.getaddrinfo("outside.example", 80),
    "old name": lambda: socket.gethostbyname("outside.example"),
    "program": lambda: subprocess.run(["true"]),
    "shell": lambda: os.system("true"),
}
for name, call in calls.items():
    try:
        print(name, call())
    except PermissionError as error:
        pass
near.sendall(b"answers")
print(far.recv(7).decode())
"""


def test_the_guard_in_the_process_refuses_every_call_and_lets_it_answer():
    run = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, check=True)

    assert run.stdout.split("\n") == ["answers", ""]
