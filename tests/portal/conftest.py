"""A governance database for each test, on SQLite and on a real PostgreSQL.

Each test gets its own copy of a database that was migrated once, so that commits are real and triggers stand.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from django.db import connections

from erios.governance.roles import Role
from erios.settings import Settings
from tests.made_once import made_once
from tests.portal.postgres import running

CAST = {
    "ada": {Role.CLINICIAN},
    "bob": {Role.DATA_SCIENTIST},
    "dan": {Role.DATA_MANAGER},
    **{f"com{n}": {Role.COMMITTEE} for n in range(1, 5)},
    "chk1": {Role.CHECKER},
    "chk2": {Role.CHECKER},
    "dpo": {Role.DPO},
    "dpo2": {Role.DPO},
    "chief": {Role.CONTROLLER},
    "admin": {Role.ADMINISTRATOR},
}
CAST |= {f"only-{role}": {role} for role in Role if {role} not in CAST.values()}
"""Who works in these tests, by login; everybody of one role at least."""
CONTENT = {
    "title": "Insuffisance cardiaque : qui revient à l'hôpital dans le mois ?",
    "summary": "Un patient sur cinq revient à l'hôpital dans le mois. " * 6,
    "question": "Quels facteurs, connus à la sortie, annoncent un retour dans les trente jours ? " * 2,
    "method": "Étude de cohorte rétrospective sur les séjours ; modèle logistique, validation temporelle. " * 3,
    "interest": "Mieux préparer les sorties, et éviter des retours aux urgences. " * 2,
    "route": "MR-004",
    "information": "Information individuelle à l'admission, et portail de transparence.",
    "retention_years": 2,
    "starts": "2031-01-01",
    "ends": "2032-12-31",
    "data": [{"table": "encounter", "columns": [{"name": "starts_at", "why": "dater le retour"}]}],
    "cohort": {"and": [{"diagnosis": {"codes": ["I50"]}}]},
}


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A real PostgreSQL on a socket and a loopback port of its own; answers the URL of its first database.

    Not in pytest's own folder: another run of pytest beside this one closes that to the server's user.
    """
    with TemporaryDirectory(prefix="erios-postgres-") as folder, running(Path(folder)) as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def template(request: pytest.FixtureRequest) -> Template:
    """A home with a keyring, a migrated database, the chain, and the cast's accounts."""
    made: Template = request.getfixturevalue(f"{request.param}_template")
    return made


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The template on SQLite, made once a run."""
    return Template(made_once(tmp_path_factory, "template-sqlite", _make_template_in) / "home", "")


@pytest.fixture(scope="session")
def postgresql_template(server: str, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The template on this worker's server; made once, whatever else the tests of the session are on."""
    home, url = tmp_path_factory.mktemp("template-postgresql") / "home", new_database(server)
    _make_template_in(home.parent, url)
    return Template(home, url)


def _make_template_in(folder: Path, url: str = "") -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ERIOS_HOME", str(folder / "home"))
        patch.setenv("ERIOS_DATABASE", url)
        _make_template()


def new_database(url: str) -> str:
    """An empty database of its own on a server."""
    start, name = url.rpartition("/")[0], f"template_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"{start}/template1", autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
    return f"{start}/{name}"


@dataclass(frozen=True)
class Template:
    """What each test's database is a copy of; ``url`` is empty for SQLite."""

    home: Path
    url: str

    def copy(self, home: Path, name: str) -> str:
        """A copy of home and database; answers the URL of the new one."""
        shutil.copytree(self.home, home)
        if not self.url:
            return ""
        start, _slash, own = self.url.rpartition("/")
        with psycopg.connect(f"{start}/template1", autocommit=True) as server:
            server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{own}"')
        return f"{start}/{name}"


def _make_template() -> None:
    from erios.accounts.actions import make_first_administrator
    from erios.accounts.models import User
    from erios.keys import init_keyring
    from erios.settings import load_settings
    from erios.workflows.database import open_database

    settings = load_settings()
    settings.make_zones()
    init_keyring(settings.keyring)
    point_to(settings)
    open_database(migrate=True)
    make_first_administrator(login="admin", password="a long enough password")
    for login, roles in CAST.items():
        user = User.objects.filter(username=login).first() or User(username=login, email=f"{login}@example.org")
        user.set_roles(roles)
        user.save()
    seal_everything()
    close_database()


def seal_everything() -> None:
    """Let the chain vouch for the rows as they stand: for tests that write rows themselves."""
    from django.apps import apps
    from django.db import transaction

    from erios.accounts.audit_events import record
    from erios.accounts.sealed_rows import SEALED, verify_rows
    from erios.audit import Draft

    tables = {apps.get_model(label)._meta.db_table: apps.get_model(label) for label in SEALED}
    rows = {(fault.table, fault.row): tables[fault.table](pk=fault.row) for fault in verify_rows()}
    with transaction.atomic():
        record([Draft("record.test")], by=None, rows=rows.values())


def point_to(settings: Settings) -> None:
    from erios.database import database_of

    close_database()
    connections.settings = connections.configure_settings({"default": database_of(settings)})


def close_database() -> None:
    connections.close_all()
    if hasattr(connections._connections, "default"):  # type: ignore[attr-defined]
        del connections["default"]


@pytest.fixture
def database(template: Template, erios_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A copy of the template, this test's own; Django and the chain both write in it."""
    from erios.settings import load_settings

    monkeypatch.setenv("ERIOS_DATABASE", template.copy(erios_home, f"test_{uuid.uuid4().hex[:12]}"))
    settings = load_settings()
    point_to(settings)
    yield settings
    close_database()


@pytest.fixture
def counted(database: Settings, loaded: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of ``database`` over the release of the generated hospital; for tests that only read it."""
    from erios.settings import load_settings

    monkeypatch.setenv("ERIOS_WAREHOUSE", str(loaded / "warehouse"))
    return load_settings()


@pytest.fixture
def person(database: Settings) -> Callable[[str], object]:
    """An account of the cast by login."""
    from erios.accounts.models import User

    return lambda login: User.objects.get(username=login)


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Template) -> Path:
    """A home with a keyring, the cast, a second data manager, and a release of a generated hospital."""
    return made_once(tmp_path_factory, "loaded", partial(_load_hospital, sqlite_template)) / "home"


def _load_hospital(template: Template, folder: Path) -> None:
    from erios.settings import load_settings
    from erios.workflows.load import load_config
    from etl.load_config import Verdict
    from etl.pipeline import load
    from etl.synthetic import generate
    from tests.inline import InlineRunner

    home, export = folder / "home", folder / "export"
    template.copy(home, "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ERIOS_HOME", str(home))
        patch.delenv("ERIOS_DATABASE", raising=False)
        _add_second_keeper()
        generate(export, 150, seed=7)
        load([export], load_config(load_settings()), InlineRunner(), lambda *_: Verdict(False, (), {}))


def _add_second_keeper() -> None:
    from erios.accounts.models import User
    from erios.settings import load_settings

    point_to(load_settings())
    keeper = User(username="dora", email="dora@example.org")
    keeper.set_roles({Role.DATA_MANAGER})
    keeper.save()
    seal_everything()
    close_database()
