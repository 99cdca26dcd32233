"""A run that has ended is read-only in the database itself, whoever writes, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from experiments.attempt_outcome import Outcome
from experiments.closed_runs import SENTENCE, is_open
from experiments.event_log import EventLog
from experiments.recorder import CLOSED_ELSEWHERE, close_lost, make_client, mlflow_run, open_run, read_end
from experiments.run_spec import RunSpec
from experiments.server import Server, make_ready, share
from tests.portal.postgres import running

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow imports what is deprecated


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that was made ready, twice as at each start, with a study's experiment."""
    folder = tmp_path_factory.mktemp("tracking")
    if request.param == "sqlite":
        yield ready(Server(folder))
    else:
        place = TemporaryDirectory(prefix="erios-postgres-")
        with place as data, running(Path(data)) as url, closing_all_connections():
            yield ready(Server(folder, url))


@contextmanager
def closing_all_connections() -> Iterator[None]:
    """MLflow keeps its connections until its process ends; here the database ends before."""
    from sqlalchemy import event
    from sqlalchemy.pool import Pool

    made: list[Any] = []

    def keep(connection: Any, _record: object) -> None:
        made.append(connection)

    event.listen(Pool, "connect", keep)
    try:
        yield
    finally:
        event.remove(Pool, "connect", keep)
        for connection in made:
            connection.close()


def ready(server: Server) -> Server:
    make_ready(server)
    make_ready(server)
    share(server, {"S-1": {}})
    return server


@pytest.fixture
def spec(server: Server, tmp_path: Path) -> RunSpec:
    spec = RunSpec("R001", tmp_path, "b", tmp_path / "data", server.records, "", "S-1", "bob")
    spec.attempt_folder(1).mkdir(parents=True)
    return spec


@pytest.fixture
def engine(server: Server) -> Any:
    import sqlalchemy

    return sqlalchemy.create_engine(server.records)


WAYS = {
    "metrics": (
        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('x', 1, 1, :run, 9, :no)",
        "UPDATE metrics SET value = 0 WHERE run_uuid = :run",
        "UPDATE metrics SET run_uuid = :run WHERE run_uuid = :open",
        "DELETE FROM metrics WHERE run_uuid = :run",
    ),
    "latest_metrics": (
        "UPDATE latest_metrics SET value = 0 WHERE run_uuid = :run",
        "DELETE FROM latest_metrics WHERE run_uuid = :run",
    ),
    "params": (
        "INSERT INTO params (key, value, run_uuid) VALUES ('y', '1', :run)",
        "UPDATE params SET value = '7'",
        "DELETE FROM params WHERE run_uuid = :run",
    ),
    "tags": (
        "INSERT INTO tags (key, value, run_uuid) VALUES ('y', '1', :run)",
        "UPDATE tags SET value = '7' WHERE run_uuid = :run",
        "DELETE FROM tags WHERE run_uuid = :run",
    ),
    "inputs": (
        "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)"
        " VALUES ('i', 'DATASET', 'd', 'RUN', :run)",
        "UPDATE inputs SET source_id = 'other' WHERE destination_id = :run",
        "DELETE FROM inputs WHERE destination_id = :run",
        "UPDATE input_tags SET value = 'other'",
        "DELETE FROM input_tags",
    ),
    "runs": (
        "UPDATE runs SET status = 'RUNNING' WHERE run_uuid = :run",
        "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = :run",
        "UPDATE runs SET end_time = 1, name = 'other' WHERE run_uuid = :run",
        "UPDATE runs SET artifact_uri = 'mlflow-artifacts:/2' WHERE run_uuid = :run",
        "DELETE FROM runs WHERE run_uuid = :run",
    ),
    "models": (
        "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,"
        " last_updated_timestamp_ms, status, source_run_id) VALUES ('m-2', 1, 'm', 'x', 1, 1, 1, :run)",
        "UPDATE logged_models SET source_run_id = :open WHERE source_run_id = :run",
        "DELETE FROM logged_models WHERE source_run_id = :run",
        "INSERT INTO logged_model_params (model_id, experiment_id, param_key, param_value)"
        " VALUES (:model, 1, 'a', 'b')",
        "INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value) VALUES (:model, 1, 'a', 'b')",
        "UPDATE logged_model_tags SET tag_value = 'b' WHERE model_id = :model",
        "INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value,"
        " experiment_id, run_id) VALUES (:model, 'a', 1, 1, 1, 1, :open)",
    ),
}


def full_run(client: Any, spec: RunSpec) -> tuple[str, str]:
    """A run with something of each kind, and its model."""
    from mlflow.entities import LoggedModelOutput

    run = open_run(client, spec, 1)
    client.log_metric(run, "loss", 0.5)
    client.log_param(run, "seed", "1")
    model = client.create_logged_model("1", name="m", source_run_id=run, tags={"kind": "x"}).model_id
    client.log_outputs(run, [LoggedModelOutput(model, 1)])
    return run, str(model)


def refused(engine: Any, statement: str, **values: Any) -> bool:
    """Does the database refuse it with the sentence?"""
    from sqlalchemy import text
    from sqlalchemy.exc import IntegrityError

    try:
        with engine.begin() as connection:
            connection.execute(text(statement), values)
    except IntegrityError as error:
        return SENTENCE in str(error)
    return False


def test_no_statement_changes_a_run_that_has_ended(server, spec, engine):
    client = make_client(spec)
    run, model = full_run(client, spec)
    other = client.create_run("1").info.run_id
    client.log_metric(other, "loss", 1)
    client.set_terminated(run)
    values = {"run": run, "open": other, "model": model, "no": False}
    before = client.get_run(run).to_dictionary(), client.get_logged_model(model).to_dictionary()

    passed = [
        statement
        for statements in WAYS.values()
        for statement in statements
        if not refused(engine, statement, **{name: values[name] for name in values if f":{name}" in statement})
    ]

    assert passed == []
    assert (client.get_run(run).to_dictionary(), client.get_logged_model(model).to_dictionary()) == before


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_mlflows_own_client_at_the_database_opens_no_run_again(spec, status):
    from mlflow.exceptions import MlflowException

    client = make_client(spec)
    run, model = full_run(client, spec)
    client.set_terminated(run, status)
    ways = (
        lambda: client.update_run(run, status="RUNNING"),
        lambda: client.set_terminated(run, "FINISHED" if status != "FINISHED" else "FAILED"),
        lambda: client.log_metric(run, "loss", 0.1),
        lambda: client.log_param(run, "more", 1),
        lambda: client.set_tag(run, "erios.reason", "other"),
        lambda: client.delete_tag(run, "erios.bundle"),
        lambda: client.delete_run(run),
        lambda: client.restore_run(run),
        lambda: client.delete_logged_model(model),
    )

    for way in ways[:-2]:
        with pytest.raises(MlflowException, match=SENTENCE):
            way()
    ways[-2]()  # writes nothing where nothing was deleted
    with pytest.raises(MlflowException, match=SENTENCE):
        ways[-1]()
    assert client.get_run(run).info.status == status


def test_a_run_that_goes_on_takes_all_of_it(spec):
    client = make_client(spec)
    run, _model = full_run(client, spec)

    client.set_tag(run, "note", "a")
    client.delete_tag(run, "note")
    client.update_run(run, name="other")
    client.delete_run(run)
    client.restore_run(run)

    assert client.get_run(run).info.run_name == "other"


def test_files_are_taken_for_runs_that_go_on_and_for_their_models_alone(spec, engine):
    client = make_client(spec)
    run, model = full_run(client, spec)
    places = [
        uri.removeprefix("mlflow-artifacts:/") + "/a"
        for uri in (client.get_run(run).info.artifact_uri, client.get_logged_model(model).artifact_location)
    ]

    assert [is_open(engine, place) for place in places] == [True, True]
    client.set_terminated(run)

    assert [is_open(engine, place) for place in places] == [False, False]
    nowhere = ["", "a", "1/a", f"1/{run}/artifacts", f"2/{run}/artifacts/a", f"1/{run}/a", "1/models/m-0/artifacts/a"]
    assert [place for place in nowhere if is_open(engine, place)] == []


def test_an_attempt_whose_record_somebody_else_ended_is_closed_and_says_so(spec):
    client = make_client(spec)
    log = EventLog(spec.attempt_folder(1))
    run = open_run(client, spec, 1)
    log.metrics({"train/loss": 0.5}, 1)
    client.set_terminated(run, "FINISHED")
    log.end(Outcome.DONE)

    assert close_lost(spec, 1)

    assert read_end(spec.attempt_folder(1)) == (Outcome.FAILED, CLOSED_ELSEWHERE)
    assert "train/loss" not in client.get_run(mlflow_run(spec, 1) or "").data.metrics


def test_an_attempt_that_was_sent_and_ended_but_not_noted_as_such_keeps_its_end(spec, monkeypatch):
    """The recorder was killed between MLflow's end of the run and its own note of it."""
    from experiments import recorder

    client = make_client(spec)
    log = EventLog(spec.attempt_folder(1))
    run = open_run(client, spec, 1)
    log.end(Outcome.STOPPED, "the study was suspended")
    recorder.send(client, run, spec.attempt_folder(1))
    client.set_terminated(run, "KILLED")

    assert close_lost(spec, 1)

    assert read_end(spec.attempt_folder(1)) == (Outcome.STOPPED, "the study was suspended")
