"""The program inside the sandbox: trains the bundle, evaluates and exports it, and says so through the pipe.

``python -m experiments.sandbox.trainer DESCRIPTOR``. It shares its process with the bundle's code, so nothing that it
says is believed further than its form; it holds no key and no right.
"""

from __future__ import annotations

import json
import logging
import queue
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from experiments import checkpoints
from experiments.attempt import Attempt, open_attempt
from experiments.cluster import RankInfo
from experiments.distributed import join
from experiments.errors import (
    ExperimentError,
    ForbiddenError,
    StoppedError,
    code_location,
    first_cause,
)
from experiments.recorder import silence
from experiments.run_spec import RunSpec
from experiments.sandbox.box import OUTPUT, ROOT
from experiments.sandbox.channel import Channel
from experiments.sandbox.messages import (
    Begin,
    Ended,
    File,
    Metrics,
    Model,
    Params,
    Stop,
    Trained,
    Verified,
    Verify,
    from_outside,
    shortened,
)
from experiments.stop_signal import PreemptedError, StopSignal
from experiments.weights import check_agreement

_REASONS: Mapping[str, type[ExperimentError]] = {
    "failed": ExperimentError,
    "preempted": PreemptedError,
    "stopped": StoppedError,
    "forbidden": ForbiddenError,
}
_OWN_SETTINGS = {"bundle_root", "dataset_dir", "output_dir", "ckpt_dir"}


@dataclass
class Watched:
    """The pipe as the attempt sees it: a log to write to, a guard to ask, and a signal that may come."""

    channel: Channel
    stop: StopSignal = field(default_factory=StopSignal)
    begin: queue.Queue[Begin | None] = field(default_factory=queue.Queue)
    _answers: queue.Queue[Verified] = field(default_factory=queue.Queue)
    _write: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> None:
        """Take what the process outside says, until it is gone; the training ends with it."""
        while self.channel.is_open:
            for line in self.channel.lines(None):
                message = from_outside(line)
                if isinstance(message, Stop):
                    self.stop.reason = self.stop.reason or _REASONS[message.how](message.reason)
                elif isinstance(message, Verified):
                    self._answers.put(message)
                else:
                    self.begin.put(message)
        self.begin.put(None)
        self.stop.reason = ForbiddenError("nobody watches this training any more")
        self._answers.put(Verified(how="forbidden", reason=str(self.stop.reason)))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Figures of one step."""
        self.say(Metrics(values={name: float(value) for name, value in values.items()}, step=step))

    def params(self, values: Mapping[str, Any]) -> None:
        """Settings that do not change."""
        self.say(Params(values={name: str(value) for name, value in values.items()}))

    def artifact(self, path: Path, _folder: str = "") -> None:
        """A file that the attempt wrote."""
        self.say(File(name=path.relative_to(OUTPUT).as_posix()))

    def verify(self) -> None:
        """Ask the guard outside, and wait."""
        self.say(Verify())
        answer = self._answers.get()
        if answer.how:
            raise _REASONS[answer.how](answer.reason)

    def ask(self) -> None:
        """The process outside asks by itself, all the time."""

    def say(self, message: Any) -> None:
        with self._write:
            self.channel.send(message)


def run(channel: Channel) -> Ended:
    """Wait for what is to be done, and do it; how it ended."""
    watched = Watched(channel)
    threading.Thread(target=watched.read, daemon=True).start()
    begin = watched.begin.get()
    if begin is None:
        raise SystemExit("nobody said what to train")
    spec = TypeAdapter(RunSpec).validate_python(begin.spec)
    return _end_of(lambda: _train(spec, RankInfo(**begin.rank), watched))


def _train(spec: RunSpec, info: RankInfo, watched: Watched) -> None:
    with join(info):
        attempt = _open(spec, info, watched)
        attempt.train()
        digest = check_agreement(attempt.network, info)
    if info.is_first:
        watched.say(Trained(weights=digest))
        _conclude(attempt, watched)


def _open(spec: RunSpec, info: RankInfo, watched: Watched) -> Attempt:
    if not info.is_first:
        return open_attempt(spec, info, watched, watched.stop)
    attempt = open_attempt(spec, info, watched, watched.stop, event_log=watched)
    _log_settings(attempt, watched)
    return attempt


def _log_settings(attempt: Attempt, watched: Watched) -> None:
    """The whole configuration as a file; its plain settings as parameters."""
    config = attempt.workflow.parser.get()
    plain = {name: value for name, value in config.items() if isinstance(value, str | int | float | bool)}
    watched.params({name: value for name, value in plain.items() if name not in _OWN_SETTINGS})
    path = OUTPUT / "config.json"
    path.write_text(json.dumps(config, indent=2, default=str, ensure_ascii=False), encoding="utf-8")
    watched.artifact(path)


def _conclude(attempt: Attempt, watched: Watched) -> None:
    """Evaluate the best weights on the test part, and export them."""
    from experiments.evaluation import evaluate  # MONAI, by way of images
    from experiments.exported_model import export

    if checkpoints.exists(attempt.spec.checkpoints, checkpoints.BEST):
        kept = checkpoints.load(attempt.spec.checkpoints, checkpoints.BEST)
        attempt.network.load_state_dict(kept["network"])
    watched.verify()
    evaluate(attempt, OUTPUT, watched)
    watched.say(Model(metadata=export(attempt, OUTPUT)))


def _end_of(work: Callable[[], None]) -> Ended:
    """Do the work; a traceback goes to the rank's log, which lies with the study's data."""
    try:
        work()
    except PreemptedError as error:
        return Ended(how="preempted", reason=shortened(str(error)))
    except StoppedError as error:
        return Ended(how="stopped", reason=shortened(str(error)))
    except ForbiddenError as error:
        return Ended(how="forbidden", reason=shortened(str(error)))
    except ExperimentError as error:
        traceback.print_exc()
        return Ended(how="failed", reason=shortened(str(error)))
    except Exception as error:
        traceback.print_exc()
        cause = first_cause(error)
        return Ended(how="failed", reason=f"{type(cause).__name__} at {shortened(code_location(cause))}")
    return Ended(how="done")


def main(descriptor: int) -> int:
    """Train; 0 if it ended well."""
    silence()
    logging.captureWarnings(True)
    sys.path.append(str(ROOT / "bundle"))  # a bundle's own code is its folder `scripts`
    channel = Channel(socket.socket(fileno=descriptor))
    ended = run(channel)
    channel.send(ended)
    return 0 if ended.how == "done" else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
