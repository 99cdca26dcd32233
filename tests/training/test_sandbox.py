"""A bundle that is a hostile program, trained through the product: what it reaches, and what becomes of its run."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from erios.checkout import PROJECT
from erios.settings import Settings
from erios.studies.run_selectors import folder_of
from tests.slurm import wait_for
from tests.training.conftest import attempts_of, begin, end_of
from tests.unit.experiments.sandbox.test_bubblewrap import HOSTILE, WORD, answer

pytestmark = pytest.mark.slow
TRY_ALL = "$exec(open(@bundle_root + '/scripts/all.py').read(), {'bundle': @bundle_root, 'output': @output_dir})"
SCRIPT = """
import json, runpy
outcome = runpy.run_path(bundle + "/scripts/hostile.py")["main"](bundle + "/targets.json")
with open(output + "/escapes.json", "w") as file:
    json.dump(outcome, file)
"""
BARE = """
import sys
from monai.bundle.workflows import ConfigWorkflow
workflow = ConfigWorkflow(sys.argv[1] + "/configs/train.json", workflow_type="train", logging_file=False)
workflow.parser.update({"bundle_root": sys.argv[1], "dataset_dir": sys.argv[2], "output_dir": sys.argv[3]})
workflow.initialize()
"""


@pytest.fixture
def port() -> Iterator[int]:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    threading.Thread(target=answer, args=(server,), daemon=True).start()
    yield server.getsockname()[1]
    server.close()


@pytest.fixture
def watcher() -> Iterator[int]:
    """A process of the hospital that is none of the run's."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)", WORD])
    yield process.pid
    process.kill()
    process.wait()


def targets_of(home: Settings, port: int, watcher: int, folder: Path) -> dict[str, Any]:
    """What a hospital has to lose: keys, clear text, tables, decisions, another's run."""
    return {
        "keyring": str(home.keyring),
        "landing": str(next(path for path in home.landing.rglob("*") if path.is_file())),
        "warehouse": str(next(home.warehouse.rglob("*.json"))),
        "governance": str(home.governance / "governance.db"),
        "other_run": str(next(path for path in home.studies.rglob("*") if path.is_file())),
        "port": port,
        "pid": watcher,
        "word": WORD,
        "left_file": str(folder / "left"),
        "left_later": str(folder / "later"),
    }


def hostile_bundle(folder: Path, targets: dict[str, Any]) -> Path:
    """The readmission bundle, whose first expression tries every way out; then it ends the training."""
    shutil.copytree(PROJECT / "conf" / "bundles" / "readmission", folder)
    (folder / "scripts").mkdir()
    shutil.copy(HOSTILE, folder / "scripts" / "hostile.py")
    (folder / "scripts" / "all.py").write_text(SCRIPT, encoding="utf-8")
    (folder / "targets.json").write_text(json.dumps(targets), encoding="utf-8")
    path = folder / "configs" / "train.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["initialize"] = [TRY_ALL]
    config["run"] = ["$1 / 0"]
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder


def reached(folder: Path) -> set[str]:
    outcome = json.loads((folder / "escapes.json").read_text(encoding="utf-8"))
    return {name for name, what in outcome.items() if what}


def test_what_a_hostile_bundle_reaches_by_itself_it_does_not_reach_through_the_product(
    home: Settings, port: int, watcher: int, tmp_path: Path
) -> None:
    bundle = hostile_bundle(tmp_path / "bundle", targets_of(home, port, watcher, tmp_path))
    dataset = next(home.studies.glob("*/*/manifest.json")).parent
    bare = tmp_path / "bare"
    bare.mkdir()
    subprocess.run([sys.executable, "-c", BARE, str(bundle), str(dataset), str(bare)], check=True, capture_output=True)
    for name in ("left", "later"):
        wait_for((tmp_path / name).exists, f"what is left without a wall: {name}", 60)
        (tmp_path / name).unlink()

    run = end_of(begin(str(bundle)))

    alone = reached(bare)
    assert {"read_keyring", "read_landing", "read_warehouse", "read_governance", "write_governance"} <= alone
    assert {"read_other_run", "connect_to_port", "signal_supervisor"} <= alone
    assert reached(folder_of(run, home) / "output") == set()
    assert not (tmp_path / "left").exists()
    assert not (tmp_path / "later").exists()
    (tracked,) = attempts_of(run, home)
    assert (run.state, tracked.info.status) == ("failed", "FAILED")
    assert "ZeroDivisionError" in run.reason
