"""The tracking server's databases, made by whoever comes first."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from experiments.server import ADMINISTRATOR, READ, WRITE, Server, draw_password, is_ready, make_ready, share

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow imports what is deprecated


TEAMS: tuple[dict[str, dict[str, str]], ...] = (
    {"S-1": {"ada": WRITE, "eve": READ}},
    {"S-1": {"eve": WRITE}, "S-2": {"ada": READ}},
    {},
)


def meet(folder: Path, others: int, act: Callable[[Server], object]) -> None:
    """All at the same moment, with MLflow imported already."""
    import mlflow.server.auth.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    (folder / f"here-{os.getpid()}").touch()
    while len(list(folder.glob("here-*"))) < others:
        pass
    act(Server(folder))


def share_often(server: Server) -> None:
    """One round after the other, each with another team."""
    for wanted in TEAMS * 4:
        share(server, wanted)


def at_once(folder: Path, act: Callable[[Server], object]) -> None:
    """Three processes do it; raises what one of them raised."""
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as processes:
        for done in [processes.submit(meet, folder, 3, act) for _ in range(3)]:
            done.result(120)


def accounts_of(server: Server) -> Any:
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(server.accounts)
    return store


@pytest.mark.slow
def test_three_that_make_it_ready_at_once_all_succeed(tmp_path):
    at_once(tmp_path, make_ready)

    assert is_ready(Server(tmp_path))


@pytest.mark.slow
def test_three_that_share_at_once_all_succeed(tmp_path):
    server = Server(tmp_path)
    make_ready(server)
    for login in ("ada", "eve"):
        draw_password(server, login)

    at_once(tmp_path, share_often)

    share(server, TEAMS[0])
    store = accounts_of(server)
    seen = {login: [one.permission for one in store.list_experiment_permissions(login)] for login in ("ada", "eve")}
    assert seen == {"ada": [WRITE], "eve": [READ]}


@pytest.mark.slow
def test_the_servers_process_finds_its_tables_made(tmp_path):
    import sqlalchemy
    from mlflow.store.db.utils import _all_tables_exist

    server = Server(tmp_path)
    make_ready(server)

    store = accounts_of(server)
    assert _all_tables_exist(sqlalchemy.create_engine(server.records))
    assert [user.username for user in store.list_users()] == [ADMINISTRATOR]
