"""What one attempt of a run is to do: a file in the run's folder that every process of the attempt reads.

Owns the layout of a run's folder:

    run.json  bundle/  checkpoints/  attempts/1/  attempts/2/ …      an attempt: events, log, pictures, model

It must hold no secret: where a key or password is needed, it is named by a file elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from experiments.errors import ExperimentError
from experiments.files import write_whole

FILE = "run.json"


@dataclass(frozen=True)
class RunSpec:
    """A run as it was asked for: all that makes its result, and how it shows in the tracking.

    ``run``: its number. ``folder``: the run's. ``dataset_dir``: the opened extract's. ``overrides``: settings of the
    bundle by their id, such as ``train#trainer#max_epochs``. ``experiment``: where the tracking shows it.
    ``artifacts``: where files of a new experiment lie, empty if the tracking server says.
    ``facts``: what else its record carries (extract, root, release, study, code, environment). ``checkpoint_every``:
    epochs. ``energy``: measure it.
    """

    run: str
    folder: Path
    bundle: str
    dataset_dir: Path
    tracking_uri: str
    artifacts: str
    experiment: str
    person: str
    seed: int = 0
    overrides: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    processes: int = 1
    checkpoint_every: int = 1
    energy: bool = True

    @property
    def bundle_folder(self) -> Path:
        """The run's own copy of its bundle."""
        return self.folder / "bundle"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def attempt_folder(self, attempt: int) -> Path:
        """Where an attempt (from 1) keeps what it does."""
        return self.folder / "attempts" / str(attempt)

    @property
    def attempts(self) -> int:
        """How many attempts have begun."""
        return max((int(one.name) for one in self.folder.glob("attempts/*") if one.name.isdecimal()), default=0)


def write_spec(spec: RunSpec) -> None:
    """Put the specification in the folder of its run, whole or not at all."""
    values = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(spec).items()}
    spec.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    write_whole(spec.folder / FILE, json.dumps(values, indent=2, ensure_ascii=False).encode())


def read_spec(folder: Path) -> RunSpec:
    """The specification in the folder of a run; ExperimentError if there is none that can be read."""
    try:
        values = json.loads((folder / FILE).read_text(encoding="utf-8"))
        paths = {name: Path(values[name]) for name in ("folder", "dataset_dir")}
        return RunSpec(**{one.name: {**values, **paths}[one.name] for one in fields(RunSpec)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExperimentError(f"{folder / FILE} cannot be read as a run ({type(error).__name__})") from None
