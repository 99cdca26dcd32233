"""What a training inside the sandbox sees: fixed folders, the locked environment, and the variables of its ranks.

Owns the list. Whatever is not named here is not there: no settings, keys, database, home, or other run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import experiments
from experiments.cluster import RankInfo
from experiments.energy_meter import allocated_gpus

ROOT = Path("/work")
EXTRACT, OUTPUT = ROOT / "extract", ROOT / "output"
"""The bundle and the checkpoints lie beside them under the names that a run's folder gives them."""
_PREFIXES = ("OMP_", "MKL_", "NCCL_", "GLOO_", "CUDA_", "HIP_", "ROCR_", "TORCH_", "MONAI_")
_NAMES = ("LANG", "LC_ALL", "TZ")
_DEVICES = ("nvidia[0-9]*", "nvidiactl", "nvidia-uvm*", "nvidia-caps/*", "kfd", "dri/renderD*")
_MARKS = ("EXPERIMENTS_JOB",)
"""By it the job's watcher finds what its processes started."""


class Inside(Protocol):
    """What the wall asks of a sandbox's content."""

    @property
    def temporary_mb(self) -> int:
        """MiB of its temporary folder, and of its shared memory, each."""

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment inside."""

    def readable(self) -> Iterator[tuple[Path, Path]]:
        """Folders and files to read, each with its name inside."""

    def writable(self) -> Iterator[tuple[Path, Path]]:
        """Folders to write, each with its name inside."""


@dataclass(frozen=True)
class Box:
    """Folders of this machine: ``extract`` and ``bundle`` to read, ``output`` and ``checkpoints`` to write.

    ``variables``: the environment inside. ``temporary_mb``: of the temporary folder, and of the shared memory, each.
    ``libraries``: folders of this cluster to read.
    """

    extract: Path
    bundle: Path
    output: Path
    checkpoints: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    temporary_mb: int = 2048
    libraries: tuple[Path, ...] = ()

    def readable(self) -> Iterator[tuple[Path, Path]]:
        """Folders to read, each with its name inside."""
        yield from ((path, path) for path in (*environment(), *self.libraries))
        yield self.extract, EXTRACT
        yield self.bundle, ROOT / "bundle"

    def writable(self) -> Iterator[tuple[Path, Path]]:
        """Folders to write, each with its name inside."""
        yield self.output, OUTPUT
        yield self.checkpoints, ROOT / "checkpoints"


def environment() -> list[Path]:
    """Python, its packages, and this package: what a training imports. The checkout's other folders are not there."""
    package = Path(experiments.__file__).parent
    checkout = package.parent
    listed = {Path(sys.prefix), Path(sys.base_prefix), package}
    listed |= {Path(entry) for entry in sys.path if "site-packages" in entry}
    whole = {each for path in listed if path.is_dir() for each in (path, path.resolve())}
    return sorted(path for path in whole if path != checkout and not path.is_relative_to("/usr"))


def variables_of(
    environ: Mapping[str, str], info: RankInfo | None = None, libraries: Collection[Path] = (), meeting: str = ""
) -> dict[str, str]:
    """What a rank inside gets of its environment; of the paths of libraries those that it can read.

    ``meeting``: the address where ranks on several machines meet; else they meet on a loopback.
    """
    info = info or RankInfo()
    kept = {name: value for name, value in environ.items() if name.startswith(_PREFIXES) or name in _NAMES + _MARKS}
    kept["LD_LIBRARY_PATH"] = ":".join(
        path for path in environ.get("LD_LIBRARY_PATH", "").split(":") if _is_in(path, (*environment(), *libraries))
    )
    if "MASTER_PORT" in environ:
        kept |= {"MASTER_PORT": environ["MASTER_PORT"], "MASTER_ADDR": meeting or "127.0.0.1"}
    if not meeting:
        kept |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    return kept | {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "USER": "trainer",
        "RANK": str(info.rank),
        "WORLD_SIZE": str(info.world_size),
        "LOCAL_RANK": str(info.local_rank),
        "LOCAL_WORLD_SIZE": str(info.local_world_size),
        "PYTHONPATH": str(Path(experiments.__file__).parents[1]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
    }


def _is_in(path: str, folders: Collection[Path]) -> bool:
    return any(Path(path).is_relative_to(folder) for folder in folders) if path else False


def devices(environ: Mapping[str, str]) -> list[Path]:
    """The device files of GPUs, if this rank was given any: those that the scheduler lets it open.

    A scheduler that does not constrain devices shows those of other jobs too; which one is used is a variable then.
    """
    if not allocated_gpus(environ):
        return []
    return [path for pattern in _DEVICES for path in sorted(Path("/dev").glob(pattern)) if _opens(path)]


def _opens(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True
