"""From exceptions to sentences and exit codes; nothing of an unknown exception's message is shown."""

import ast
import errno
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import etl
import experiments
import validation
from erios.cli import exits
from erios.errors import FAMILIES, KeyringError

EXCEPTION = re.compile(r"(Error|Exception|Exit|Interrupt|Warning)$")
CANARY = "Élodie Martin 2 69 05 49 588 157 80"


def failing(error: BaseException):
    def command(**_named: object) -> None:
        raise error

    return command


@pytest.fixture(autouse=True)
def _keep_warning_filters(monkeypatch):
    monkeypatch.setattr(exits, "_keep_libraries_quiet", lambda: None)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_error_of_a_family_is_its_sentence_and_its_code(family, capsys):
    code = exits.run(failing(family("the sentence")))

    assert code == family.exit_code
    assert capsys.readouterr().err == "erios: the sentence\n"


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/w/x"), 6, "the disk is full at /w/x"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 6, "the disk is full:"),
        (PermissionError(errno.EACCES, "Permission denied", "/w/x"), 6, "no permission at /w/x"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (SystemExit(130), 130, "interrupted"),
    ],
)
def test_what_the_machine_refuses_is_one_sentence(error, code, sentence, capsys):
    assert exits.run(failing(error)) == code
    assert capsys.readouterr().err.startswith(f"erios: {sentence}")


def test_spark_without_java_says_what_to_install(capsys):
    from pyspark.errors import PySparkRuntimeError

    error = PySparkRuntimeError(errorClass="JAVA_GATEWAY_EXITED", messageParameters={})

    assert exits.run(failing(error)) == 8
    assert "install openjdk-17-jre-headless or set JAVA_HOME" in capsys.readouterr().err


def test_an_unknown_error_is_logged_without_its_message(erios_home, capsys):
    code = exits.run(failing(ValueError(CANARY)))

    (log,) = (erios_home / "logs").iterdir()
    shown = capsys.readouterr().err
    assert code == 70
    assert shown == f"erios: internal error (ValueError); report the code locations in {log}, which hold no values\n"
    assert "Martin" not in log.read_text()
    assert "test_exits.py:" in log.read_text()


def test_an_unknown_error_beside_broken_settings_is_still_one_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ERIOS_HOEM", "x")
    monkeypatch.setenv("ERIOS_HOME", str(tmp_path / "there"))

    assert exits.run(failing(ValueError(CANARY))) == 70
    assert len(list((tmp_path / "there" / "logs").iterdir())) == 1
    assert "Martin" not in capsys.readouterr().err


def test_an_unknown_error_whose_log_cannot_be_written_is_still_one_sentence(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ERIOS_HOME", str(tmp_path / "file"))

    assert exits.run(failing(ValueError(CANARY))) == 70
    assert capsys.readouterr().err == "erios: internal error (ValueError), and its log could not be written\n"


def test_exit_codes_of_commands_pass_through():
    assert [exits.run(failing(SystemExit(code))) for code in (0, 2, None, "text")] == [0, 2, 0, 1]


def is_own_error(value: object, module: str) -> bool:
    if not (isinstance(value, type) and issubclass(value, Exception)):
        return False
    return value.__module__ == module and not value.__name__.startswith("_")


def modules_with_errors(wing: Path) -> Iterator[str]:
    """Names of the modules with a class that is, or comes from, an exception: the others stay unimported."""
    for path in sorted(wing.rglob("*.py")):
        classes = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.ClassDef)]
        if any(EXCEPTION.search(ast.unparse(name)) for node in classes for name in (ast.Name(node.name), *node.bases)):
            yield ".".join(path.relative_to(wing.parent).with_suffix("").parts).removesuffix(".__init__")


def wing_errors() -> list[type[Exception]]:
    """Every public exception class that a wing defines."""
    found: set[Any] = set()
    for wing in (etl, experiments, validation):
        for name in modules_with_errors(Path(wing.__path__[0])):
            for value in vars(importlib.import_module(name)).values():
                if is_own_error(value, name):
                    found.add(value)
    return sorted(found, key=lambda error: error.__qualname__)


def test_every_error_of_a_wing_has_a_family():
    unmapped = [
        error
        for error in wing_errors()
        if f"{error.__module__}.{error.__qualname__}" != "etl.errors.EtlError"
        and not any(f"{parent.__module__}.{parent.__qualname__}" in exits.WINGS for parent in error.__mro__)
    ]

    assert unmapped == []


def test_every_mapped_error_exists():
    names = {f"{error.__module__}.{error.__qualname__}" for error in wing_errors()}

    assert set(exits.WINGS) - names == set()


def test_a_wing_error_keeps_its_sentence_and_takes_the_code_of_its_family():
    from etl.errors import BusyError

    failure = exits.to_error(BusyError("another load holds the warehouse"))

    assert (failure.exit_code, str(failure)) == (7, "another load holds the warehouse")


def test_an_error_of_a_family_is_itself():
    error = KeyringError("no keyring")

    assert exits.to_error(error) is error
