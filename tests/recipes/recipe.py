"""Recipes of the documentation, followed to the letter in a copy of the repository.

A recipe is a section of a page. Its fenced blocks are its steps: a ``diff`` block after the name of a file changes that
file, a ``console`` block is run, any other block after the name of a file is that file. Text around them is for people.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from erios.checkout import PROJECT

FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>\w*)[^\n`]*\n(?P<text>.*?)^(?P=indent)(?P=ticks)$",
    re.MULTILINE | re.DOTALL,
)
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
COPIED = ("conf", "docs", "erios", "etl", "experiments", "tests", "validation")


@dataclass(frozen=True)
class Step:
    """One fenced block: its language, its text, and the file that the line before it names (none for commands)."""

    language: str
    text: str
    file: str | None


def section(page: str, title: str, root: Path = PROJECT) -> str:
    """The text under a heading, up to the next heading of its level; AssertionError where there is none."""
    text = re.sub(FENCE, lambda block: block[0].replace("\n#", "\n\0"), (root / page).read_text(encoding="utf-8"))
    headings = list(HEADING.finditer(text))
    at = next((index for index, heading in enumerate(headings) if heading[2] == title), None)
    assert at is not None, f"{page} has no heading '{title}'"
    later = [heading.start() for heading in headings[at + 1 :] if len(heading[1]) <= len(headings[at][1])]
    return text[headings[at].end() : later[0] if later else len(text)].replace("\n\0", "\n#")


def steps(text: str) -> Iterator[Step]:
    """The fenced blocks of a recipe, in order. A block of a file stands below a line that names it and ends in ':'."""
    for block in FENCE.finditer(text):
        before = text[: block.start()].rstrip().rsplit("\n\n", 1)[-1]
        names = re.findall(r"`([\w./-]+\.\w+|Makefile)`", before) if before.endswith(":") else []
        console = block["language"] == "console"
        assert console or names, f"no line before this block names its file:\n{block['text']}"
        yield Step(block["language"], _dedented(block), None if console else names[-1])


def _dedented(block: re.Match[str]) -> str:
    """The text of a block without the indentation of its fence."""
    return re.sub(f"^{block['indent']}", "", block["text"], flags=re.MULTILINE)


class House:
    """A copy of the repository, in which a recipe is followed."""

    def __init__(self, folder: Path, substitutes: Mapping[str, Path] | None = None) -> None:
        """``substitutes``: what stands for the example folders that a recipe names."""
        self.folder = folder
        self.substitutes = substitutes or {}
        self.changed: list[str] = []
        for name in COPIED:
            here = PROJECT / name
            _copy(here, folder / name)
        for file in PROJECT.iterdir():
            if file.is_file() and not file.is_symlink() and file.name != ".git":
                _copy(file, folder / file.name)
        (folder / ".venv").symlink_to(sys.prefix)

    def follow(self, page: str, title: str) -> list[str]:
        """Take every step of a recipe; returns the files that it touched, generated ones left out."""
        for step in steps(section(page, title, self.folder)):
            self.take(step)
        return self.changed

    def take(self, step: Step) -> None:
        """Write a file, change one, or run commands."""
        if step.file is None:
            for command in step.text.replace("\\\n", " ").splitlines():
                if command.startswith("$ "):
                    self.run(command[2:])
            return
        path = self.folder / step.file
        if step.language == "diff":
            path.write_text(changed(path.read_text(encoding="utf-8"), step.text), encoding="utf-8")
        else:
            assert not path.exists(), f"{step.file} is there already: a recipe changes it with a diff block"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
        if step.file not in self.changed:
            self.changed.append(step.file)

    def run(self, command: str) -> str:
        """Run a command of a recipe in the copy; returns what it prints; AssertionError with its words if it fails."""
        for example, real in self.substitutes.items():
            command = command.replace(example, str(real))
        done = subprocess.run(
            _program(shlex.split(command, comments=True)), cwd=self.folder, env=self._environment(),
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def python(self, code: str) -> str:
        """Run Python in the copy; returns what it prints."""
        return self.run(f"python -c {shlex.quote(code)}").strip()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ERIOS_", "PYTEST_"))}
        home = {"ERIOS_HOME": str(self.folder / "var"), "PYTHONPATH": str(self.folder)}
        return kept | home


def changed(text: str, diff: str) -> str:
    """The text after a diff block, whose hunks are parted by lines of ``@@``."""
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE):
        text = _with_hunk(text, hunk)
    return text


def _with_hunk(text: str, diff: str) -> str:
    """The lines of a hunk with ' ' or '-' must stand in the text exactly once, one below the other."""
    lines = [(line[:1] or " ", line[1:]) for line in diff.splitlines()]
    assert {mark for mark, _ in lines} <= {" ", "+", "-"}, f"a line of this diff has no mark:\n{diff}"
    before = "".join(f"{line}\n" for mark, line in lines if mark != "+")
    after = "".join(f"{line}\n" for mark, line in lines if mark != "-")
    assert before, f"this diff has no line by which its place is found:\n{diff}"
    places = [found.start() for found in re.finditer(rf"^(?={re.escape(before)})", text, re.MULTILINE)]
    assert len(places) == 1, f"these lines are there {len(places)} times, not once:\n{before}"
    return text[: places[0]] + after + text[places[0] + len(before) :]


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("var"))
    else:
        shutil.copy2(source, target)


def _program(words: list[str]) -> list[str]:
    """The program of a command, as the environment of this run has it; ``make`` sets nothing up again."""
    name = Path(words[0]).name
    if name == "erios":
        return [sys.executable, "-m", "erios", *words[1:]]
    if name in ("cp", "rm"):
        return words
    if name in ("pytest", "python"):
        module = ["-m", "pytest", "-p", "no:cacheprovider", "-q"] if name == "pytest" else []
        return [sys.executable, *module, *words[1:]]
    assert name == "make", f"a recipe runs erios, pytest, python, make, cp or rm, not {words[0]}"
    return ["make", "-s", "-o", "setup", *words[1:]]
