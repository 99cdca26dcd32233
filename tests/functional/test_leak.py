"""No leak: of a hospital's names, numbers and ids, and of the key, nothing is found outside landing and identity.

Owns the scanner and the proof that it finds: a canary is planted first, in plain text and inside Parquet.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import pickle
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from erios.checkout import PROJECT
from etl.synthetic import generate, identifying_values

_WIDTH = 4
"""Bytes of a value that the first look compares; values shorter than this are not looked for."""


class Scanner:
    """Finds any of many values in bytes: by their first bytes, at every place at once, then by the whole."""

    def __init__(self, values: Iterable[bytes]) -> None:
        self.values = sorted({value for value in values if len(value) >= _WIDTH})
        self._begins: dict[int, list[bytes]] = {}
        for value in self.values:
            self._begins.setdefault(int.from_bytes(value[:_WIDTH], "little"), []).append(value)
        self._wanted = np.array(sorted(self._begins), np.uint32)

    def find(self, data: bytes) -> list[bytes]:
        """The values that occur in ``data``."""
        found = np.intersect1d(self._wanted, _windows(data))
        return [value for begin in found for value in self._begins[int(begin)] if value in data]

    def scan(self, folder: Path) -> list[str]:
        """``file: value`` of everything found below a folder, decompressed too."""
        return [
            f"{path.relative_to(folder)}: {value!r}"
            for path in sorted(folder.rglob("*"))
            if path.is_file()
            for data in _contents(path)
            for value in self.find(data)
        ]


def _windows(data: bytes) -> np.ndarray:
    """Every run of four bytes as a number, once."""
    ones = np.frombuffer(data, np.uint8).astype(np.uint32)
    if len(ones) < _WIDTH:
        return np.zeros(0, np.uint32)
    return np.unique(ones[:-3] | ones[1:-2] << 8 | ones[2:-1] << 16 | ones[3:] << 24)


def _contents(path: Path) -> Iterator[bytes]:
    raw = path.read_bytes()
    yield str(path.name).encode()
    yield raw
    if path.suffix == ".parquet":
        yield _parquet(path)
    elif path.suffix == ".gz":
        yield gzip.decompress(raw)
    elif path.suffix in (".zst", ".zstd", ".zstandard"):
        yield pa.input_stream(str(path), compression="zstd").read()
    elif path.suffix == ".lz4":
        yield pa.input_stream(str(path), compression="lz4").read()


def _parquet(path: Path) -> bytes:
    """All distinct values of all columns of a Parquet file, as text."""
    table = pq.ParquetFile(path).read()
    return b"\n".join(
        json.dumps(
            column.unique().to_pylist() if not pa.types.is_nested(column.type) else column.to_pylist(),
            default=str,
            ensure_ascii=False,
        ).encode()
        for column in table.columns
    )


def _secrets(keyring: Path) -> list[bytes]:
    """The key as stored, as bytes, as hexadecimal and as Base64."""
    stored = [entry["secret"] for entry in json.loads(keyring.read_text())["keys"].values()]
    raw = [base64.b64decode(text) for text in stored]
    forms = [[secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret)] for secret in raw]
    return [form for many in forms for form in many]


def _command(home: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {
        "ERIOS_HOME": str(home),
        "ERIOS_SPARK__EVENT_LOG_DIR": str(home / "events"),
        "ERIOS_SPARK__MASTER": "local[2]",
        "ERIOS_SPARK__DRIVER_MEMORY": "1g",
        "ERIOS_LOAD__BUCKETS": "4",
        "TMPDIR": str(home / "tmp"),
    }
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "erios", *arguments], env=environment, capture_output=True, check=False, timeout=600
    )


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """A generated hospital with planted faults."""
    out = tmp_path_factory.mktemp("hospital") / "export"
    generate(out, 30, 11, dirty=0.02, workers=1)
    return out


@pytest.fixture(scope="module")
def loaded(hospital, tmp_path_factory):
    """The home of a load in its own process with event logging on, and what the commands printed."""
    home = tmp_path_factory.mktemp("leak") / "home"
    assert _command(home, "keys", "init").returncode == 0
    done = _command(home, "etl", "load", str(hospital))
    return home, done


@pytest.fixture(scope="module")
def scanner(hospital, loaded):
    values = [value.encode() for value in identifying_values(hospital)]
    return Scanner([*values, *_secrets(loaded[0] / "identity" / "keyring.json")])


def _planted(scanner: Scanner) -> bytes:
    return next(value for value in scanner.values if value[:1].isalpha() and b" " not in value and value.isascii())


@pytest.mark.slow
def test_the_load_publishes_and_its_event_log_is_written(loaded):
    home, done = loaded
    assert (done.returncode, done.stderr.decode()[-300:] if done.returncode else "") == (0, "")
    assert [path.name for path in (home / "warehouse" / "releases").glob("*.json")] == ["r000001.json"]
    assert sum(path.stat().st_size for path in (home / "events").rglob("*") if path.is_file()) > 1000


@pytest.mark.slow
def test_the_scanner_finds_a_canary_in_text_gzip_zstd_and_parquet(scanner, tmp_path):
    canary = _planted(scanner)
    (tmp_path / "log.txt").write_bytes(b"patient " + canary + b" refused")
    (tmp_path / "log.gz").write_bytes(gzip.compress(b"x" + canary))
    with pa.output_stream(str(tmp_path / "events.zst"), compression="zstd") as out:
        out.write(b"x" + canary)
    pq.write_table(pa.table({"city": [f"chez {canary.decode()}"]}), tmp_path / "t.parquet", compression="zstd")
    assert {line.split(":")[0] for line in scanner.scan(tmp_path)} == {"log.txt", "log.gz", "events.zst", "t.parquet"}


@pytest.mark.slow
def test_the_scanner_finds_everything_where_it_is_allowed_to_be(loaded, scanner):
    home, _ = loaded
    assert len(scanner.scan(home / "landing")) > 100


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["warehouse", "tracking", "studies", "logs", "events", "spark", "tmp"])
def test_nothing_identifying_is_found_in(loaded, scanner, zone):
    home, _ = loaded
    assert scanner.scan(home / zone) == []


@pytest.mark.slow
def test_nothing_identifying_is_printed(loaded, scanner):
    _, done = loaded
    assert scanner.find(done.stdout + done.stderr) == []


@pytest.mark.slow
def test_a_load_that_fails_inside_a_task_leaks_nothing(hospital, tmp_path):
    home = tmp_path / "home"
    assert _command(home, "keys", "init").returncode == 0
    poison = (
        "import sys, etl.ingest.transform as k\n"
        'k._PARSE = k._PARSE.replace("AS _hash", "AS _hash, error(\'poison \' || text) AS _poison", 1)\n'
        "sys.argv = ['erios', 'etl', 'load', sys.argv[1]]\n"
        "import etl.ingest.staging as s\n"
        "whole = s.stage\n"
        "def stage(plan, task):\n"
        "    import etl.ingest.transform as k\n"
        "    k._PARSE = k._PARSE.replace('AS _hash', \"AS _hash, error('poison ' || text) AS _poison\", 1)\n"
        "    return whole(plan, task)\n"
        "import etl.ingest.staging_tasks as p\n"
        "p.stage = stage\n"
        "from erios.cli import main\n"
        "main()\n"
    )
    environment = os.environ | {
        "ERIOS_HOME": str(home),
        "ERIOS_SPARK__EVENT_LOG_DIR": str(home / "events"),
        "ERIOS_SPARK__MASTER": "local[2]",
        "ERIOS_SPARK__DRIVER_MEMORY": "1g",
    }
    command = [sys.executable, "-c", poison, str(hospital)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=600)
    scanner = Scanner([value.encode() for value in identifying_values(hospital)])
    assert done.returncode == 70
    assert b"a Spark task failed with InvalidInputException" in done.stderr
    found = [scanner.scan(home / zone) for zone in ("warehouse", "logs", "events", "spark")]
    assert scanner.find(done.stdout + done.stderr) == []
    assert found == [[], [], [], []]


@pytest.mark.slow
def test_what_the_tasks_of_a_load_are_sent_and_return_holds_no_key_and_nothing_identifying(
    loaded, scanner, monkeypatch, tmp_path
):
    """All that Spark has of a load: it travels compressed, where a scan of Spark's folders would not see it."""
    from erios.settings import load_settings
    from erios.workflows.load import load_config
    from etl.load_config import Verdict, Zones
    from etl.pipeline import rebuild
    from etl.task_runner import _packed
    from tests.inline import InlineRunner

    travelled: dict[str, bytes] = {}

    class Recording(InlineRunner):
        def run(self, name, function, items, progress=None):
            results = super().run(name, function, items, progress)
            travelled[name] = zlib.decompress(_packed(function)) + pickle.dumps([list(items), results])
            return results

    monkeypatch.setenv("ERIOS_HOME", str(loaded[0]))
    config = load_config(load_settings())
    zones = Zones(config.zones.landing, tmp_path / "quarantine", tmp_path / "warehouse")
    elsewhere = replace(config, zones=zones, reidentification_folder=tmp_path / "sealed")
    report = rebuild(elsewhere, Recording(), lambda *_: Verdict(False, (), {}))
    assert sum(counts.written for counts in report.reconciliations.values()) > 100
    assert list(travelled) == ["read", "resolve", "write"]
    assert b"etl.ingest.staging" in travelled["read"]
    assert b"keyring.json" in travelled["read"]
    made_ready = zlib.decompress(_packed(config.carried))
    assert b"keyring.json" in made_ready
    assert b"erios.settings" not in made_ready
    lists = b"".join(path.read_bytes() for path in (PROJECT / "conf" / "terminology").glob("*.ndjson"))
    hits = scanner.find(b"".join(travelled.values()) + made_ready)
    assert [hit for hit in hits if hit not in lists] == []  # the shipped lists name countries, which are names too
