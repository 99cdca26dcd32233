"""The tracking server's databases, made by whoever comes first."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from experiments.server import ADMINISTRATOR, Server, is_ready, make_ready

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow imports what is deprecated


def meet_and_make_ready(folder: Path, others: int) -> None:
    """All at the same moment, with MLflow imported already."""
    import mlflow.server.auth.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    (folder / f"here-{os.getpid()}").touch()
    while len(list(folder.glob("here-*"))) < others:
        pass
    make_ready(Server(folder))


def test_three_that_make_it_ready_at_once_all_succeed(tmp_path):
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as processes:
        for done in [processes.submit(meet_and_make_ready, tmp_path, 3) for _ in range(3)]:
            done.result(120)

    assert is_ready(Server(tmp_path))


def test_the_servers_process_finds_its_tables_made(tmp_path):
    import sqlalchemy
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
    from mlflow.store.db.utils import _all_tables_exist

    server = Server(tmp_path)
    make_ready(server)

    store = SqlAlchemyStore()
    store.init_db(server.accounts)
    assert _all_tables_exist(sqlalchemy.create_engine(server.records))
    assert [user.username for user in store.list_users()] == [ADMINISTRATOR]
