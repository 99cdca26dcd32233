"""What one attempt of a run is to do: a file in the run's folder that every process of the attempt reads.

Owns the layout of a run's folder:

    run.json  bundle/  checkpoints/  output/  attempts/1/  attempts/2/ …      an attempt: events, log, pictures

``checkpoints`` and ``output`` are what the training writes to; the latter is emptied when an attempt begins.

It must hold no secret: where a key or password is needed, it is named by a file elsewhere.
"""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from experiments.errors import ExperimentError
from experiments.files import write_whole

FILE = "run.json"
VERSION: Final = 1
"""Of the form of the file; one without a version is of the first."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class RunSpec:
    """A run as it was requested: all that determines its result, and how the tracking shows it.

    ``run``: its number. ``folder``: the run's. ``dataset_dir``: the opened extract's. ``overrides``: settings of the
    bundle by their id, such as ``train#trainer#max_epochs``. ``experiment``: where the tracking shows it.
    ``artifacts``: where files of a new experiment are stored, empty if the tracking server decides.
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
    version: Literal[1] = VERSION

    @property
    def bundle_folder(self) -> Path:
        """The run's own copy of its bundle."""
        return self.folder / "bundle"

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints, which all attempts share."""
        return self.folder / "checkpoints"

    def attempt_folder(self, attempt: int) -> Path:
        """The folder of an attempt, numbered from 1."""
        return self.folder / "attempts" / str(attempt)

    @property
    def attempts(self) -> int:
        """The number of attempts that have begun."""
        names = (path.name for path in self.folder.glob("attempts/*"))
        return max((int(name) for name in names if name.isdecimal()), default=0)


_FORM = TypeAdapter(RunSpec)


def write_spec(spec: RunSpec) -> None:
    """Write the specification to its run's folder, whole or not at all."""
    spec.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    write_whole(spec.folder / FILE, _FORM.dump_json(spec, indent=2))


def read_spec(folder: Path) -> RunSpec:
    """The specification in the folder of a run; ExperimentError if it is missing, damaged or of another version."""
    path = folder / FILE
    try:
        return _FORM.validate_json(path.read_bytes())
    except OSError as error:
        raise ExperimentError(f"{path} cannot be read as a run ({error.strerror})") from None
    except ValidationError as error:
        raise ExperimentError(f"{path} cannot be read as a run: {_sentence(error)}") from None


def _sentence(error: ValidationError) -> str:
    """The first problem in words: the field and what it must hold, no value."""
    first = error.errors(include_input=False)[0]
    name = ".".join(map(str, first["loc"]))
    if name == "version":
        return f"it was written by another version of this program, which reads version {VERSION}; start the run anew"
    return f"{name}: {first['msg']}" if name else first["msg"]
