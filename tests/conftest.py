"""Fixtures of all tests: a home of their own, a keyring, the one Spark session, and no way out.

It refuses every connection that is not to this machine, and must never read the settings or data of the
person who runs the tests.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: threads only wait for each other on small matrices

import erios  # noqa: F401 - first, because it switches the telemetry of all dependencies off
from erios.database import set_up_django
from erios.workflows.spark_classes import shared_classes
from tests import figures, timing

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from erios.settings import Settings
    from tests.slurm import SlurmHost

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

for _name in [name for name in os.environ if name.startswith("ERIOS_")]:
    del os.environ[_name]

set_up_django("tests.site")  # before any test module is imported: models can be imported at the top of modules
os.environ.pop("DJANGO_SETTINGS_MODULE", None)  # not for the processes that tests start

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("fast", derandomize=True, deadline=None, database=None, max_examples=15)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

pytest_runtest_makereport = timing.pytest_runtest_makereport
pytest_terminal_summary = timing.pytest_terminal_summary
pytest_addoption, pytest_sessionfinish, figure = figures.pytest_addoption, figures.pytest_sessionfinish, figures.figure


class OutsideConnectionError(AssertionError):
    """A test, or something it called, tried to reach another machine."""


def _check_loopback(address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else None
    if host in (None, "", "localhost", socket.gethostname()) or str(host).startswith("/"):
        return  # a path is a socket of this machine
    try:
        inside = ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise OutsideConnectionError(f"connection to {host} refused: tests stay on this machine")


def _guard(method: Any, place: int) -> Any:
    """``method``, after a check of the address that is its argument number ``place``."""

    def guarded(*arguments: Any, **named: Any) -> Any:
        if len(arguments) > place:
            address = arguments[place]
            _check_loopback((address,) if isinstance(address, str | bytes) else address)
        return method(*arguments, **named)

    return guarded


@pytest.fixture(autouse=True, scope="session")
def _no_way_out() -> Iterator[None]:
    """Connections and look-ups of names beyond the loopback raise ``OutsideConnectionError``."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _guard(getattr(socket.socket, name), 1))
        for name in ("getaddrinfo", "gethostbyname"):
            patch.setattr(socket, name, _guard(getattr(socket, name), 0))
        yield


@pytest.fixture(autouse=True)
def erios_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ERIOS_HOME of this test alone, not there yet; no other ERIOS_ variable is set."""
    home = tmp_path / "home"
    monkeypatch.setenv("ERIOS_HOME", str(home))
    return home


@pytest.fixture
def settings(erios_home: Path) -> Settings:
    """The repository's settings in ``erios_home``, with its zones made."""
    from erios.settings import load_settings

    settings = load_settings()
    settings.make_zones()
    return settings


@pytest.fixture
def keyring(settings: Settings) -> Path:
    """A keyring with one new key in the identity zone."""
    from erios.keys import init_keyring

    init_keyring(settings.keyring)
    return settings.keyring


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of example data and conformance tests beside the repository; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no example data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmHost]:
    """The real two-node cluster of ``conf/clusters/test.toml``, where Slurm's commands of this process go."""
    from tests.slurm import running

    with (
        TemporaryDirectory(prefix="slurm-", dir="/tmp") as place,
        running(Path(place)) as host,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SLURM_CONF", str(host.conf))
        yield host


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The one Spark session of the run: two cores, no UI, loopback only."""
    from pyspark.sql import SparkSession

    place = tmp_path_factory.mktemp("spark")
    options = f"-XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true {shared_classes()}"
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    session = (
        SparkSession.builder.master("local[2]")
        .appName("erios tests")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.driver.extraJavaOptions", f"{options} -Dderby.system.home={place}")
        .config("spark.local.dir", str(place / "local"))
        .config("spark.sql.warehouse.dir", str(place / "warehouse"))
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    yield session
    session.stop()
