"""`make setup` on machines that lack something: install it where one may, else one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from erios.checkout import PROJECT

PROGRAMS = ("bash", "echo", "env", "head", "mv", "sed", "xargs")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A PATH of a machine with Python 3.11 and nothing else of interest; ``id`` says nobody special."""
    for name in PROGRAMS:
        found = next(Path(place) / name for place in ("/usr/bin", "/bin") if (Path(place) / name).exists())
        (tmp_path / name).symlink_to(found)
    give(tmp_path, "python3.11", f'exec {sys.executable} "$@"')
    give(tmp_path, "id", "echo 1000")
    give(tmp_path, "bwrap", "exit 0")
    return tmp_path


def give(machine: Path, name: str, script: str) -> None:
    path = machine / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def java(version: str) -> str:
    return f"""echo 'openjdk version "{version}" 2025-04-15' >&2"""


def check(machine: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the check of the machine with nothing on PATH but ``machine``."""
    outside = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "PYTHON", "PATH")}
    return subprocess.run(
        ["/bin/bash", PROJECT / ".ci" / "system"],
        env=outside | {"PATH": str(machine)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("version", ["17.0.15", "21.0.2", "25"])
def test_a_machine_with_everything_is_left_alone(machine, version):
    give(machine, "java", java(version))

    done = check(machine)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.21"])
def test_an_old_java_without_rights_gets_one_sentence(machine, version):
    give(machine, "java", java(version))

    done = check(machine)

    assert done.returncode == 1
    assert done.stderr == (
        "This machine lacks openjdk-17-jre-headless: ask its administrator to install it, then run the command again.\n"
    )


def test_no_python_and_no_java_are_named_together(machine):
    (machine / "python3.11").unlink()

    done = check(machine)

    assert done.returncode == 1
    assert done.stderr.startswith("This machine lacks python3.11 python3.11-venv openjdk-17-jre-headless: ask")


def test_without_bubblewrap_no_training_could_run(machine):
    give(machine, "java", java("17.0.15"))
    (machine / "bwrap").unlink()

    done = check(machine)

    assert done.returncode == 1
    assert done.stderr.startswith("This machine lacks bubblewrap: ask its administrator")


def test_root_installs_what_is_missing(machine):
    give(machine, "id", "echo 0")
    give(machine, "java.later", java("17.0.15"))
    give(
        machine,
        "apt-get",
        f'echo "$@" >> {machine}/asked; [ "$1" = update ] || mv {machine}/java.later {machine}/java',
    )

    done = check(machine)

    assert (done.returncode, done.stdout) == (0, "Installing openjdk-17-jre-headless\n")
    assert (machine / "asked").read_text().splitlines() == [
        "update -qq",
        "install -y -qq --no-install-recommends openjdk-17-jre-headless",
    ]


def test_what_is_still_unusable_after_installing_is_named(machine):
    give(machine, "id", "echo 0")
    give(machine, "apt-get", "exit 0")

    done = check(machine)

    assert done.returncode == 1
    assert "Installed, but still not usable: openjdk-17-jre-headless" in done.stderr


def test_a_java_home_that_is_no_java_17_is_named_before_installing(machine):
    give(machine, "java", java("17.0.15"))

    done = check(machine, JAVA_HOME="/nowhere")

    assert done.returncode == 1
    assert done.stderr == ("JAVA_HOME names no Java 17: point it to one, or unset it to use the one on PATH.\n")
