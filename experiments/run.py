"""A process of a run, from its first instruction to its exit code: record, verify, train, evaluate, keep the model.

Owns the steps and how each way to end is told. Ranks other than the first train and agree; the first also records.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from experiments import checkpoints
from experiments.attempt import (
    Attempt,
    Guard,
    PreemptedError,
    StopSignal,
    check_agreement,
    first_cause,
    meter,
    open_attempt,
    where,
)
from experiments.cluster import NOTICES, REQUEUE, RankInfo, read_rank
from experiments.distributed import join
from experiments.errors import ExperimentError, ForbiddenError
from experiments.event_log import EventLog
from experiments.recorder import close_lost, silence
from experiments.recording import Recording
from experiments.run_spec import RunSpec

FORBIDDEN, FAILED, INTERRUPTED = 9, 1, 130


def run_process(spec: RunSpec, guard: Guard, environ: Mapping[str, str] | None = None) -> int:
    """Do this process's part of the specification's next attempt; answers the exit code.

    0: done. ``cluster.REQUEUE``: checkpointed, to be queued again. 9: no longer allowed. 1: failed. 130: interrupted.
    """
    silence()
    logging.captureWarnings(True)
    rank_info, stop = read_rank(environ), StopSignal()
    for notice in NOTICES:
        signal.signal(notice, stop.on_signal)
    if not rank_info.is_first:
        return _told(lambda: _train(spec, rank_info, guard, stop, None))[0]
    with _recording(spec) as recording:
        code, status, reason = _told(lambda: _train(spec, rank_info, guard, stop, recording))
        recording.end(status, reason)
    return code


@contextmanager
def _recording(spec: RunSpec) -> Iterator[Recording]:
    """Close what earlier attempts left open, then begin a new one."""
    for earlier in range(1, spec.attempts + 1):
        close_lost(spec, earlier)
    attempt = spec.attempts + 1
    event_log = EventLog(spec.attempt_folder(attempt))
    command = [sys.executable, "-m", "experiments.recorder", str(spec.folder), str(attempt)]
    with (spec.attempt_folder(attempt) / "recorder.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
    recording = Recording(spec, attempt, event_log, process)
    yield recording


def _told(work: Any) -> tuple[int, str, str]:
    """How the work ended: exit code, MLflow's status, reason. The reason holds no value of the data."""
    try:
        work()
    except PreemptedError as error:
        return REQUEUE, "KILLED", f"{error}; checkpointed, to go on in another attempt"
    except ForbiddenError as error:
        return FORBIDDEN, "FAILED", str(error)
    except ExperimentError as error:
        _print_trace()
        return FAILED, "FAILED", str(error)
    except KeyboardInterrupt:
        return INTERRUPTED, "KILLED", "stopped by the keyboard"
    except Exception as error:
        _print_trace()
        cause = first_cause(error)
        return FAILED, "FAILED", f"{type(cause).__name__} at {where(cause)}"
    return 0, "FINISHED", ""


def _print_trace() -> None:
    """To the attempt's log, which lies with the study's data."""
    traceback.print_exc()


def _train(spec: RunSpec, rank_info: RankInfo, guard: Guard, stop: StopSignal, recording: Recording | None) -> None:
    if rank_info.is_first:
        guard.verify()
        watcher = threading.Thread(target=stop.ask, args=(guard,), daemon=True)
        watcher.start()
    try:
        with join(rank_info), meter(spec, rank_info) as energy:
            attempt = _attempt(spec, rank_info, guard, stop, recording)
            attempt.train()
            digest = check_agreement(attempt.network, rank_info)
    finally:
        stop.end()
    if recording:
        _tell_energy(recording, energy)
        recording.event_log.tags({"erios.weights": digest})
        _conclude(attempt, recording)


def _attempt(
    spec: RunSpec, rank_info: RankInfo, guard: Guard, stop: StopSignal, recording: Recording | None
) -> Attempt:
    if recording is None:
        return open_attempt(spec, rank_info, guard, stop)
    attempt = open_attempt(
        spec, rank_info, guard, stop, event_log=recording.event_log, recorder_alive=recording.is_alive
    )
    _tell_settings(attempt, recording)
    return attempt


def _tell_settings(attempt: Attempt, recording: Recording) -> None:
    """The whole configuration as a file; its plain settings as parameters."""
    import json

    config = attempt.workflow.parser.get()
    plain = {name: value for name, value in config.items() if isinstance(value, str | int | float | bool)}
    paths = {"bundle_root", "dataset_dir", "output_dir", "ckpt_dir"}
    recording.event_log.params({name: value for name, value in plain.items() if name not in paths})
    recording.event_log.params({"processes": attempt.rank_info.world_size, "seed": attempt.spec.seed})
    path = recording.folder / "config.json"
    path.write_text(json.dumps(config, indent=2, default=str, ensure_ascii=False))
    recording.event_log.artifact(path)
    recording.event_log.artifact(attempt.spec.bundle_folder, "bundle")


def _tell_energy(recording: Recording, energy: Any) -> None:
    if energy is not None:
        recording.event_log.metrics(energy.figures, 0)
        recording.event_log.tags({"erios.energy": energy.source})


def _conclude(attempt: Attempt, recording: Recording) -> None:
    """Judge the best weights on the test part, and keep them as the run's model."""
    from experiments.evaluation import evaluate
    from experiments.model import keep_model

    if checkpoints.exists(attempt.spec.checkpoints, checkpoints.BEST):
        kept = checkpoints.load(attempt.spec.checkpoints, checkpoints.BEST)
        attempt.network.load_state_dict(kept["network"])
    attempt.guard.verify()
    evaluate(attempt, recording.folder, recording.event_log)
    keep_model(attempt, recording)
