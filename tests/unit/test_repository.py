"""What the repository promises of itself: one pinned lock, self-sufficient commands, pages that hold."""

import ast
import re
import sys
import tomllib
from itertools import chain

import pytest

from erios.checkout import PROJECT
from erios.errors import FAMILIES

LOCK = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", LOCK, re.MULTILINE))
BESIDE = re.findall(r'^ *"(torch)==([0-9.]+)"', (PROJECT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
PINS = LOCKED | dict(BESIDE)

OURS = {"erios", "etl", "experiments", "validation", "tests", "docs"}
DISTRIBUTIONS = {
    "graphql": "graphql-core",
    "fhir": "fhir-resources",
    "antlr4": "antlr4-python3-runtime",
    "allauth": "django-allauth",
    "csp": "django-csp",
    "jwt": "pyjwt",
    "ignite": "pytorch-ignite",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "google": "protobuf",
}  # module → distribution, where the names differ


def wanted() -> list[str]:
    """Names of all direct dependencies."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    return names_of(project["project"]["dependencies"] + project["dependency-groups"]["dev"])


def names_of(lines: list[str]) -> list[str]:
    """The names of requirements, as the lock spells them."""
    return [re.split(r"[\[=<>]", line)[0].replace(".", "-").replace("_", "-") for line in lines]


def test_every_dependency_is_pinned():
    assert [name for name in wanted() if name not in PINS] == []


def imported(*folders: str) -> set[str]:
    """Distributions outside the standard library that the sources in ``folders`` import."""
    sources = [path.read_text(encoding="utf-8") for folder in folders for path in (PROJECT / folder).rglob("*.py")]
    modules: list[str] = []
    for node in chain.from_iterable(ast.walk(ast.parse(source)) for source in sources):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.append(str(node.module))
    found = {module.split(".")[0] for module in modules} - sys.stdlib_module_names - OURS
    return {DISTRIBUTIONS.get(name, name).replace("_", "-") for name in found}


def test_every_import_of_the_program_is_a_declared_dependency():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = names_of(project["project"]["dependencies"])

    assert imported("erios", "etl", "experiments", "validation") - set(declared) == set()


def test_every_import_of_the_tests_is_a_declared_dependency():
    assert imported("tests") - set(wanted()) == set()


def test_every_pin_has_a_hash():
    blocks = re.split(r"^(?=[a-z])", LOCK, flags=re.MULTILINE)[1:]

    assert len(blocks) == len(LOCKED)
    assert [block.split("==")[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_the_lock_names_no_host_and_no_path():
    assert re.findall(r"https?://|file:|--\w*index|--find-links|^-", LOCK, re.MULTILINE) == []


def test_the_environment_of_this_run_is_the_lock():
    from importlib.metadata import version

    found = {name: version(name).partition("+")[0] for name in wanted()}  # torch names its build: 2.13.0+cpu

    assert found == {name: PINS[name] for name in wanted()}


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "docs", "lock"])
def test_a_make_target_sets_up_what_it_needs(target):
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")

    assert re.search(rf"^{target}: setup", makefile, re.MULTILINE)


def test_the_readme_lists_every_exit_code():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")

    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", readme, re.MULTILINE)}
    assert listed == {0, 130, *(family.exit_code for family in FAMILIES)}
