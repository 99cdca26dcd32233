"""The command as a person runs it: what comes on which stream, and the exit code."""

import os
import subprocess
import sys

import pytest

from erios.cli import GROUPS, load_group
from erios.keys import read_key


def erios(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "erios", *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_version_is_the_answer():
    done = erios("--version")

    assert (done.returncode, done.stdout, done.stderr) == (0, "erios 0.1.0\n", "")


def test_a_missing_keyring_is_one_sentence_and_code_4(erios_home):
    done = erios("keys", "list", "--json")

    assert (done.returncode, done.stdout) == (4, "")
    keyring = erios_home / "identity" / "keyring.json"
    assert done.stderr == f"erios: no keyring at {keyring}: run `erios keys init`, once, and back it up\n"


def test_a_misspelt_setting_is_one_sentence_and_code_2():
    done = erios("keys", "list", ERIOS_LOAD__SPLITMB="1")

    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown setting 'load.splitmb'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unknown_option_is_code_2():
    done = erios("keys", "init", "--force")

    assert done.returncode == 2
    assert "No such option" in done.stderr


def test_a_keyring_is_made_and_used(erios_home):
    done = erios("keys", "init")

    assert (done.returncode, done.stderr) == (0, "")
    key = read_key(erios_home / "identity" / "keyring.json")
    assert f"with key {key.key_id}. Back it up." in done.stdout
    assert erios("keys", "init").returncode == 4


@pytest.mark.parametrize("closed", ["exec 1>&-", "exec 2>&-"])
def test_a_closed_stream_is_no_traceback(closed):
    done = subprocess.run(
        ["/bin/bash", "-c", f"{closed}; exec {sys.executable} -m erios keys list"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 4
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("line", "wanted"),
    [("erios ext", "extract"), ("erios extract ver", "verify"), ("erios train --clu", "--cluster")],
)
def test_a_shell_is_told_how_a_line_goes_on(line, wanted):
    asked = {"_ERIOS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "erios"], env=os.environ | asked, capture_output=True, text=True, check=True
    )
    assert wanted in done.stdout.split()


def test_every_command_has_an_example():
    def lacking(name, command):
        inner = getattr(command, "commands", None)
        if inner:
            return [found for sub, one in inner.items() for found in lacking(f"{name} {sub}", one)]
        return [] if command.hidden or "Example:" in (command.help or "") else [name]

    assert [found for group in GROUPS for found in lacking(group, load_group(group))] == []
