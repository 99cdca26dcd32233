"""``erios train`` on this machine: a run, its record, and every way in which one can end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from erios.audit import read_events
from erios.checkout import PROJECT
from erios.errors import EriosError, UsageError
from erios.governance.extract import Action
from erios.governance.words import RuleBroken
from erios.settings import Settings
from erios.studies import extract_actions as acts
from erios.studies.models import Extract, Part, Run
from erios.studies.run_selectors import folder_of
from erios.workflows.run_follow import follow, stop
from erios.workflows.runs import compare_reproduction, promote_model
from erios.workflows.train import resume, start
from experiments.recorder import make_client
from experiments.run_spec import read_spec
from tests.functional.conftest import in_process  # noqa: F401 - a fixture
from tests.portal.conftest import seal_everything
from tests.portal.stories import who
from tests.portal.test_pages import client
from tests.slurm import wait_for
from tests.training.conftest import (
    Gate,
    alive,
    attempts_of,
    begin,
    curve,
    end_of,
    extract_number,
    gated,
    kill,
    supervisor_of,
)

pytestmark = pytest.mark.slow


def revoke() -> None:
    acts.move_extract(extract=Extract.objects.get(), by=who("dpo"), action=Action.REVOKE, reason="an objection")


SEALING = ("run.queue", "run.running", "run.close")
"""Events that seal how far a run is, between those that say what somebody did and how it ended."""


def did(settings: Settings) -> list[str]:
    actions = [event.action for event in read_events(settings)]
    return [action for action in actions if action.startswith("run.") and action not in SEALING]


def see(login: str, address: str) -> Any:
    """What somebody's browser gets."""
    return client(login).get(address, secure=True)


def check_page(run: Run, home: Settings) -> None:
    """The team sees figures, curve and pictures; nobody else finds the page; no other file comes out."""
    me, page = run.by.username, f"/entrainements/{run.number}/"
    shown = see(me, page).content.decode()
    for word in ("terminé", "aire sous la courbe ROC", "<polyline", "Modèle simple"):
        assert word in shown
    image = see(me, f"{page}images/roc.png")
    assert b"".join(image.streaming_content).startswith(b"\x89PNG")
    assert see(me, f"{page}images/..%2Fevents.jsonl").status_code == 404
    assert see(me, f"{page}images/evaluation.json").status_code == 404
    assert see("com4", page).status_code == 404
    assert see("com4", f"{page}images/roc.png").status_code == 404
    assert run.number in see(me, f"/extraits/{run.extract.number}/").content.decode()


def test_a_run_is_trained_judged_recorded_shown_and_done_again(
    home: Settings,
    in_process: Callable[..., tuple[int, str, str]],  # noqa: F811
) -> None:
    run = end_of(begin("readmission", energy=True, overrides={"epochs": 10}))

    (tracked,) = attempts_of(run, home)
    facts = tracked.data.tags
    assert (run.state, run.reason, tracked.info.status) == ("done", "", "FINISHED")
    extract = Extract.objects.get()
    assert facts["erios.extract.root"] == extract.root
    assert facts["erios.release"] == extract.release
    assert facts["mlflow.user"] == run.by.username
    assert {"erios.code", "erios.environment", "erios.bundle.digest", "erios.weights"} <= set(facts)
    assert json.loads(tracked.inputs.dataset_inputs[0].dataset.profile) == {"root": extract.root}
    metrics = tracked.data.metrics
    assert metrics["test/brier"] < metrics["test/base_rate_brier"]
    assert metrics["test/brier"] < metrics["baseline/brier"]  # in this split; in others: test_splits.py
    assert 0.5 < metrics["test/roc_auc_low"] < metrics["test/roc_auc"] < metrics["test/roc_auc_high"]
    assert metrics["energy/total_kwh"] > 0
    assert "baseline/roc_auc" in metrics
    check_page(run, home)
    code, out, said = in_process("runs", "reproduce", run.number)
    assert (code, "bit for bit" in out + said) == (0, True), (out, said)
    again = Run.objects.exclude(pk=run.pk).get()
    assert compare_reproduction(run, again)["same"]
    check_promotion(run, home)
    assert did(home) == [*["run.start", "run.done"] * 2, *["run.promote"] * 2]


def check_promotion(run: Run, home: Settings) -> None:
    """Nobody promotes their own model; somebody else does, and it is the champion; and it loads without pickle."""
    with pytest.raises(RuleBroken, match="nobody promotes a model that they trained themselves"):
        promote_model(run, run.by)
    name = f"{run.extract.study.number}-readmission"
    assert promote_model(run, who("dan")) == f"{name} v1"
    client = make_client(read_spec(folder_of(run, home)))
    version = client.get_model_version_by_alias(name, "champion")
    assert (version.run_id, int(version.version)) == (run.tracked, 1)
    outputs: Any = client.get_run(run.tracked).outputs
    (model,) = outputs.model_outputs
    logged = Path(client.get_logged_model(model.model_id).artifact_location.removeprefix("file://"))
    assert [path.name for path in logged.rglob("*.pt2")]
    assert not [path.name for path in logged.rglob("*") if path.suffix in (".pkl", ".pth", ".pickle")]
    assert promote_model(Run.objects.get(pk=run.pk), who("dan")) == f"{name} v1"


def test_a_killed_training_is_failed_with_its_reason_and_goes_on_in_another_attempt(
    home: Settings, gate: Gate, tmp_path: Any
) -> None:
    whole = end_of(begin(gated(tmp_path / "bundle")))
    gate.close(5)
    run = begin(str(tmp_path / "bundle"))
    wait_for(lambda: gate.waits(5), "fifth iteration")

    kill(gate.pid(5))
    failed = end_of(run)

    assert (failed.state, failed.reason) == ("failed", "the training was killed by SIGKILL")
    gate.open(5)
    done = end_of(resume(run.number))
    first, second = attempts_of(done, home)
    assert (done.state, first.info.status, second.info.status) == ("done", "FAILED", "FINISHED")
    assert "killed" in first.data.tags["erios.reason"]
    assert second.data.tags["erios.previous"] == first.info.run_id
    assert dict(curve(done, home)) == dict(curve(whole, home))
    assert compare_reproduction(whole, done)["same"]


def test_a_run_whose_recorder_is_killed_fails_and_is_closed_by_the_training(
    home: Settings, gate: Gate, tmp_path: Any
) -> None:
    gate.close(4)
    run = begin(gated(tmp_path / "bundle"))
    wait_for(lambda: gate.waits(4), "fourth iteration", 240)

    kill(recorder_of(supervisor_of(gate.pid(4))))
    gate.open(4)

    failed = end_of(run)
    (tracked,) = attempts_of(failed, home)
    assert failed.state == "failed"
    assert "the recorder of the run died" in failed.reason
    assert tracked.info.status == "FAILED"
    assert "the recorder of the run died" in tracked.data.tags["erios.reason"]


def recorder_of(pid: int) -> int:
    """The process that records what a supervisor sends it."""
    children = [
        int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()
    ]
    return next(one for one in children if b"experiments.recorder" in Path(f"/proc/{one}/cmdline").read_bytes())


def test_a_revoked_clearance_stops_the_run_and_nothing_goes_on(home: Settings, gate: Gate, tmp_path: Any) -> None:
    gate.close(4)
    run = begin(gated(tmp_path / "bundle"))
    wait_for(lambda: gate.waits(4), "fourth iteration", 240)
    pid = gate.pid(4)

    revoke()
    follow()
    gate.open(4)

    run.refresh_from_db()
    assert run.state == "stopped"
    assert run.reason
    end_of(run)
    assert not alive(pid)
    (tracked,) = attempts_of(run, home)
    assert tracked.info.status in ("FAILED", "KILLED")
    with pytest.raises(EriosError):
        resume(run.number)
    with pytest.raises(EriosError):
        begin("readmission")
    assert did(home) == ["run.start", "run.stop"]


def test_the_run_itself_asks_whether_it_may_go_on(home: Settings, gate: Gate, tmp_path: Any) -> None:
    """Nobody looks at it from outside: at the next checkpoint it finds that its right has ended."""
    gate.close(4)
    run = begin(gated(tmp_path / "bundle"))
    wait_for(lambda: gate.waits(4), "fourth iteration", 240)

    revoke()
    pid = gate.pid(4)
    gate.open(4)

    wait_for(lambda: not alive(pid), "end of the training")
    assert Run.objects.get(pk=run.pk).state in ("queued", "running")
    assert end_of(run).state in ("stopped", "failed")
    (tracked,) = attempts_of(run, home)
    assert tracked.info.status == "FAILED"
    assert not (folder_of(run, home) / "attempts" / "1" / "evaluation.json").exists()


def test_a_stopped_run_goes_on_where_it_was(home: Settings, gate: Gate, tmp_path: Any) -> None:
    gate.close(5)
    run = begin(gated(tmp_path / "bundle"))
    wait_for(lambda: gate.waits(5), "fifth iteration")

    stop(run, run.by, "a meeting")
    gate.open(5)
    stopped = end_of(run)

    assert (stopped.state, stopped.reason) == ("stopped", "a meeting")
    done = end_of(resume(run.number))
    steps = [step for step, _value in curve(done, home)]
    assert done.state == "done"
    assert steps == sorted(set(steps))
    assert did(home) == ["run.start", "run.stop", "run.resume", "run.done"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bundle": "nothing"}, "no bundle"),
        ({"cluster": "moon"}, "no cluster 'moon'"),
        ({"overrides": {"epochz": 3}}, "epochz"),
        ({"nodes": 99}, "node"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_queued(home: Settings, changes: Any, sentence: str) -> None:
    with pytest.raises(Exception, match=sentence):
        begin(changes.pop("bundle", "readmission"), **changes)

    assert not Run.objects.exists()


def test_who_is_not_on_the_team_trains_nothing(home: Settings) -> None:
    from erios.operator_login import current_operator

    Part.objects.filter(person__username=current_operator()).delete()
    seal_everything()

    with pytest.raises((RuleBroken, UsageError, EriosError)):
        begin("readmission")

    assert not Run.objects.exists()


def test_a_byte_changed_in_the_extract_is_found_before_the_first_epoch(home: Settings) -> None:
    from erios.workflows.train import RunRequest

    number = extract_number()
    part = next(home.studies.rglob("*.parquet"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.chmod(0o640)
    part.write_bytes(content)

    with pytest.raises(EriosError):
        start(RunRequest("readmission", number))

    assert not Run.objects.exists()


def test_the_bundle_runs_under_monai_alone(home: Settings, tmp_path: Path) -> None:
    bundle = PROJECT / "conf" / "bundles" / "readmission"
    dataset = next(home.studies.glob("*/*/manifest.json")).parent
    settings = {
        "bundle_root": bundle,
        "dataset_dir": dataset,
        "output_dir": tmp_path,
        "ckpt_dir": tmp_path,
        "epochs": 1,
    }
    files = ["--meta_file", f"{bundle}/configs/metadata.json", "--config_file", f"{bundle}/configs/train.json"]
    named = [text for name, value in settings.items() for text in (f"--{name}", str(value))]

    said = subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", *files, *named],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 0, said.stderr[-2000:]
    assert "> epochs: 1" in said.stdout
