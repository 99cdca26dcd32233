"""What the documentation says is so: its commands parse, its links lead somewhere, its tests exist, its site builds."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer

from docs.house import drawn
from docs.settings_page import settings_page
from erios.checkout import PROJECT
from erios.cli import GROUPS, load_group

DOCS = PROJECT / "docs"
GENERATED = {DOCS / "reference" / "commands.md"}
"""Pages that hold forms of commands and not commands; a test of their own holds them to the code."""
PAGES = sorted({PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *DOCS.rglob("*.md")} - GENERATED)
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
WRONG: tuple[type[Exception], ...] = (AssertionError, ValueError, *typer.BadParameter.__mro__[:3])
"""What a check raises, and what the command line raises for whatever it cannot parse."""
PREFIX = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S* )*(?:sudo -u \w+ )?erios(?= |$)")


def fenced(text: str) -> Iterator[str]:
    """Command lines of code blocks, continued lines joined, each part of a pipe by itself."""
    blocks = [block[2] for block in FENCE.findall(text) if block[1] in ("", "console", "bash")]
    blocks += re.findall(r"^ {4}(\S.*)$", FENCE.sub("", text), re.MULTILINE)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        for part in re.split(r" [|>] | && ", line.strip()):
            if PREFIX.match(part.strip()):
                yield PREFIX.sub("", part.strip())


def inline(text: str) -> Iterator[str]:
    """What stands between two backticks and begins with the program's name."""
    for said in re.findall(r"`([^`\n]+)`", FENCE.sub("", text)):
        if PREFIX.match(said):
            yield PREFIX.sub("", said)


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, or the group if they go no further, and the words that are left."""
    assert words[0] in GROUPS, f"there is no group {words[0]}"
    command, left = load_group(words[0]), words[1:]
    while isinstance(getattr(command, "commands", None), dict) and left and re.fullmatch(r"[a-z][a-z-]*", left[0]):
        assert left[0] in command.commands, f"{words[0]} has no command {left[0]}"
        command, left = command.commands[left[0]], left[1:]
    return command, left


def check_named(said: str) -> None:
    """The command exists, and so do the options."""
    words = [word.rstrip(",") for word in said.split()]
    if not words or words[0].startswith(("-", "…")):
        return
    command, left = resolve(words)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    wrong = [word for word in left if word.startswith("--") and word.split("=")[0] not in known]
    assert wrong == [], f"{command.name} has no option {wrong}"


def check_parsed(said: str) -> None:
    """The line parses as the program itself would parse it: all that is required is there, nothing else."""
    words = shlex.split(said, comments=True)
    if "…" in words or not words or words[0].startswith("-"):
        return check_named(said)
    command, left = resolve(words)
    command.make_context(command.name, list(left))
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_command_of_a_page_is_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wrong = [(said, fault) for said, fault in faults(text) if fault]

    assert wrong == []


def faults(text: str) -> Iterator[tuple[str, str]]:
    for check, found in ((check_parsed, fenced(text)), (check_named, inline(text))):
        for said in found:
            try:
                check(said)
            except WRONG as error:
                yield said, str(error) or type(error).__name__


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ erios etl lod /srv\n```",
        "```console\n$ erios etl load\n```",
        "```console\n$ cat list | erios objections import - --nowhere\n```",
        "    erios keys init --force",
        "Run `erios etl rebuild --tabel encounter`.",
        "Run `erios nothing`.",
    ],
)
def test_a_command_that_is_none_is_found(text: str) -> None:
    assert len(list(faults(text))) == 1


PREFIXED = {
    "tests/functional/test_quarantine_command.py": ("etl", "quarantine"),
    "tests/functional/test_objections.py": ("objections",),
    "tests/functional/test_reidentify.py": ("reidentify",),
    "tests/functional/test_audit.py": ("audit",),
    "tests/functional/test_anchor.py": ("audit",),
}
"""Tests whose helper says the first words of a command."""


def documented() -> set[tuple[str, ...]]:
    """The commands that pages name, groups left out."""
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for said in [*fenced(text), *inline(text)]:
            words = [word.rstrip(",") for word in said.split()]
            if words and words[0] in GROUPS:
                command, left = resolve(words)
                if not getattr(command, "commands", None):
                    found.add(tuple(words[: len(words) - len(left)]))
    return found


def runs(source: str, command: tuple[str, ...]) -> bool:
    """Does a test say the command, as words one after the other?"""
    return re.search(r",\s*".join(map(re.escape, (f'"{word}"' for word in command))), source) is not None


def test_every_documented_command_is_run_by_a_test_or_by_the_site() -> None:
    files = [path for path in (PROJECT / "tests").rglob("*.py") if path != Path(__file__)]
    sources = {str(path.relative_to(PROJECT)): path.read_text("utf-8") for path in [*files, DOCS / "pictures.py"]}
    commands = documented()

    def is_run(command: tuple[str, ...]) -> bool:
        helped = [
            runs(sources[name], command[len(words) :])
            for name, words in PREFIXED.items()
            if command[: len(words)] == words
        ]
        return any(helped) or any(runs(source, command) for source in sources.values())

    assert len(commands) > 45
    assert sorted(command for command in commands if not is_run(command)) == []


def test_the_pages_hold_commands() -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]

    assert sum(len(list(fenced(text))) for text in texts) > 60
    assert sum(len(list(inline(text))) for text in texts) > 80


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_relative_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8")))
    local = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:", link)]

    assert [link for link in local if link and not (page.parent / link).exists()] == []


def test_every_test_that_the_privacy_model_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (DOCS / "privacy-model.md").read_text(encoding="utf-8"))
    sources = {file: (PROJECT / file).read_text(encoding="utf-8") for file, _ in named if (PROJECT / file).is_file()}

    assert len(named) > 50
    assert [f"{file}::{test}" for file, test in named if f"def {test}(" not in sources.get(file, "")] == []


def test_every_promise_of_the_privacy_model_names_a_test() -> None:
    text = (DOCS / "privacy-model.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\| promise \| proven by \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines()]

    assert len(rows) > 40
    assert [row for row in rows if "::test_" not in row] == []


def test_the_settings_page_is_what_the_settings_say() -> None:
    assert (DOCS / "reference" / "settings.md").read_text(encoding="utf-8") == settings_page(), "run `make docs`"


WINGS = ("erios", "etl", "experiments", "validation")


def test_the_house_is_drawn_as_the_import_contracts_have_it() -> None:
    page = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")

    assert page == drawn(page), "run `make docs`"
    assert page.count("subgraph ") > 1


def tree() -> set[str]:
    """The paths that the README's tree of the house names, folders without their slash."""
    block = (
        (PROJECT / "README.md").read_text(encoding="utf-8").partition("## The house\n\n```\n")[2].partition("```")[0]
    )
    paths, above = set(), {0: ""}
    for line in block.splitlines():
        depth, name = len(line) - len(line.lstrip()), line.split()[0].rstrip(",")
        above[depth + 2] = f"{above[depth]}{name}"
        paths.add(above[depth + 2].rstrip("/"))
    return paths


def test_the_tree_of_the_readme_names_every_folder_of_modules_and_nothing_else() -> None:
    packages = {
        str(file.parent.relative_to(PROJECT)) for wing in WINGS for file in (PROJECT / wing).rglob("__init__.py")
    }
    named = tree()

    assert [path for path in named if not (PROJECT / path).exists()] == []
    assert [path for path in packages if path.count("/") < 2 and path not in named] == []


def cited() -> Iterator[tuple[str, str]]:
    """(file, number) of every section of the design that code, tests or settings cite."""
    folders = (*WINGS, "tests", "conf")
    files = [path for folder in folders for path in (PROJECT / folder).rglob("*") if path.suffix in (".py", ".toml")]
    for path in [*files, PROJECT / "pyproject.toml"]:
        for number in re.findall(r"design\.md §(\d+)", path.read_text(encoding="utf-8")):
            yield str(path.relative_to(PROJECT)), number


def test_every_cited_section_of_the_design_exists() -> None:
    sections = set(re.findall(r"^## (\d+)\. ", (DOCS / "design.md").read_text(encoding="utf-8"), re.MULTILINE))
    citations = list(cited())

    assert len(citations) > 8
    assert [(path, number) for path, number in citations if number not in sections] == []


PATH = re.compile(rf"`((?:{'|'.join(WINGS)}|tests|docs)/[\w./-]+)`")


@pytest.mark.parametrize(
    "page", [PROJECT / "README.md", DOCS / "design.md", DOCS / "architecture.md"], ids=lambda page: page.stem
)
def test_every_path_of_a_page_about_the_house_exists(page: Path) -> None:
    named = set(PATH.findall(page.read_text(encoding="utf-8"))) - {"erios/privacy"}

    assert [path for path in named if not (PROJECT / path).exists()] == []


def test_the_design_is_cited_by_its_page() -> None:
    """Nothing speaks of a design without naming the page that holds it."""
    sources = [
        path for folder in ("erios", "etl", "experiments", "validation") for path in (PROJECT / folder).rglob("*.py")
    ]

    assert [str(path) for path in sources if re.search(r"DESIGN", path.read_text(encoding="utf-8"))] == []


def pictures() -> set[str]:
    """The names of the pictures that pages show."""
    texts = [page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md")]
    return {name for text in texts for name in re.findall(r"^```\{picture\} (\S+)$", text, re.MULTILINE)}


def test_every_picture_is_taken_and_every_one_taken_is_shown() -> None:
    source = (DOCS / "pictures.py").read_text(encoding="utf-8")
    people = "citizen|clinician|manager|committee|dpo|controller|scientist|operator"

    assert pictures() == set(re.findall(rf'"((?:{people})-[a-z]+)"', source))


class Assets(HTMLParser):
    """What a browser fetches by itself for a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fetched = {"src", "srcset", "data", "poster"} | ({"href"} if tag in ("link", "use", "image") else set())
        self.found += [value for name, value in attrs if name in fetched and value]


ELSEWHERE = re.compile(r"^(?:https?:)?//", re.IGNORECASE)


def test_an_asset_of_elsewhere_is_found() -> None:
    page = (
        '<a href="https://a.org"></a><script src="//a.org/x.js"></script><link href="https://a.org/x.css"><img src="x">'
    )

    assert [one for one in Assets(page).found if ELSEWHERE.match(one)] == ["//a.org/x.js", "https://a.org/x.css"]


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    taken, site = tmp_path / "pictures", tmp_path / "site"
    taken.mkdir()
    for name in pictures():
        for width in (1280, 390):
            (taken / f"{name}-{width}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    options = ["-q", "-W", "--keep-going", "-d", str(tmp_path / "doctrees"), "-D", f"pictures_dir={taken}"]
    program = [sys.executable, "-m", "sphinx", *options, str(DOCS), str(site)]
    built = subprocess.run(program, capture_output=True, text=True, check=False)

    assert built.returncode == 0, built.stderr
    pages = {path: Assets(path.read_text(encoding="utf-8")).found for path in site.rglob("*.html")}
    assert len(pages) > len(PAGES)
    assert {str(page): one for page, found in pages.items() for one in found if ELSEWHERE.match(one)} == {}
    styles = "\n".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"""(?:url\(|@import)\s*["']?(?:https?:)?//[^)"']*""", styles) == []
