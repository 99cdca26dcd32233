"""Runs that have ended are read-only, for everybody: triggers in MLflow's database, and the answer for files.

Owns the triggers. They hold against every route and every program that reaches the database, MLflow's own included, and
nobody can open a run again. A model belongs to the run that logged it; only the names of its registered versions may be
added to it later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

SENTENCE = "this run has ended: its record is read-only"
_ENDED = "('FINISHED', 'FAILED', 'KILLED')"
_OF_MODEL = "(SELECT source_run_id FROM logged_models WHERE model_id = {row}.model_id)"
_RUNS_OF: dict[str, tuple[str, ...]] = {
    "metrics": ("{row}.run_uuid",),
    "latest_metrics": ("{row}.run_uuid",),
    "params": ("{row}.run_uuid",),
    "tags": ("{row}.run_uuid",),
    "inputs": ("{row}.source_id", "{row}.destination_id"),
    "input_tags": (
        "(SELECT source_id FROM inputs WHERE input_uuid = {row}.input_uuid)",
        "(SELECT destination_id FROM inputs WHERE input_uuid = {row}.input_uuid)",
    ),
    "logged_models": ("{row}.source_run_id",),
    "logged_model_metrics": ("{row}.run_id", _OF_MODEL),
    "logged_model_params": (_OF_MODEL,),
    "logged_model_tags": (_OF_MODEL,),
}
"""Table → the runs to which a row belongs."""
_MAY_FOLLOW = {"logged_model_tags": "{row}.tag_key <> 'mlflow.modelVersions'"}
"""Table → the rows that the rule is about; all where the table is not here."""
_ROWS = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}


def protect_ended_runs(engine: Engine) -> None:
    """Make the triggers anew, in one transaction; SQLite and PostgreSQL."""
    from sqlalchemy import text

    statements = _postgresql() if engine.dialect.name == "postgresql" else _sqlite()
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def _name(table: str, event: str) -> str:
    return f"erios_ended_{table}_{event.lower()}"


def _sqlite() -> Iterator[str]:
    for event in ("UPDATE", "DELETE"):
        yield from _sqlite_trigger("runs", event, f"OLD.status IN {_ENDED}")
    for table, runs in _RUNS_OF.items():
        for event, rows in _ROWS.items():
            yield from _sqlite_trigger(table, event, " OR ".join(_sqlite_condition(table, runs, row) for row in rows))


def _sqlite_condition(table: str, runs: tuple[str, ...], row: str) -> str:
    owners = ", ".join(run.format(row=row) for run in runs)
    ended = f"EXISTS (SELECT 1 FROM runs WHERE status IN {_ENDED} AND run_uuid IN ({owners}))"
    return f"({_MAY_FOLLOW.get(table, '1').format(row=row)} AND {ended})"


def _sqlite_trigger(table: str, event: str, condition: str) -> Iterator[str]:
    name = _name(table, event)
    yield f"DROP TRIGGER IF EXISTS {name}"
    yield (
        f"CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END"
    )


def _postgresql() -> Iterator[str]:
    """The run's row is locked while its status is read, so that a write that meets the run's end waits for it."""
    refuse = f"RAISE EXCEPTION '{SENTENCE}' USING ERRCODE = 'integrity_constraint_violation'"
    yield from _postgresql_trigger("runs", ("UPDATE", "DELETE"), f"IF OLD.status IN {_ENDED} THEN {refuse}; END IF;")
    for table, runs in _RUNS_OF.items():
        blocks = [
            f"IF {_operations(row)} AND {_MAY_FOLLOW.get(table, 'TRUE').format(row=row)} THEN"
            f" FOR state IN SELECT status FROM runs WHERE run_uuid = {run.format(row=row)} FOR SHARE LOOP"
            f" IF state IN {_ENDED} THEN {refuse}; END IF; END LOOP; END IF;"
            for row in ("OLD", "NEW")
            for run in runs
        ]
        yield from _postgresql_trigger(table, tuple(_ROWS), " ".join(blocks))


def _operations(row: str) -> str:
    return f"TG_OP IN ({', '.join(repr(event) for event, rows in _ROWS.items() if row in rows)})"


def _postgresql_trigger(table: str, events: tuple[str, ...], body: str) -> Iterator[str]:
    name = _name(table, "write")
    yield (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body$ DECLARE state text;"
        f" BEGIN {body} IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $body$"
    )
    yield f"DROP TRIGGER IF EXISTS {name} ON {table}"
    yield f"CREATE TRIGGER {name} BEFORE {' OR '.join(events)} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
    yield f"DROP TRIGGER IF EXISTS {name}_all ON {table}"
    yield (
        f"CREATE OR REPLACE FUNCTION {name}_all() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN"
        f" RAISE EXCEPTION '{SENTENCE}' USING ERRCODE = 'integrity_constraint_violation'; END $body$"
    )
    yield f"CREATE TRIGGER {name}_all BEFORE TRUNCATE ON {table} EXECUTE FUNCTION {name}_all()"


def is_open(engine: Engine, file: str) -> bool:
    """May a file be written here? ``file``: its path in the artefact store, EXPERIMENT/RUN/artifacts/… or
    EXPERIMENT/models/MODEL/artifacts/…; only while the run that owns it goes on."""
    from sqlalchemy import text

    parts = file.split("/")
    depth = 4 if parts[1:2] == ["models"] else 3
    if len(parts) <= depth or parts[depth - 1] != "artifacts":
        return False
    place = {"place": "mlflow-artifacts:/" + "/".join(parts[:depth])}
    asked = text(_OWNER_OF_MODEL if depth == 4 else _OWNER_OF_FILE)
    with engine.connect() as connection:
        states = [row[0] for row in connection.execute(asked, place)]
    return states in (["RUNNING"], ["SCHEDULED"])


_OWNER_OF_FILE = "SELECT status FROM runs WHERE artifact_uri = :place"
_OWNER_OF_MODEL = (
    "SELECT r.status FROM logged_models AS m JOIN runs AS r ON r.run_uuid = m.source_run_id"
    " WHERE m.artifact_location = :place"
)
