"""The file of what rules ask: its form, and a sentence for each way in which it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from erios.errors import UsageError
from erios.governance.compliance import Status, met, not_applicable, not_met, read_frameworks

CHECKS = ("audit-chain",)
TEXT = """
[[framework]]
name = "GDPR"
source = "https://example.org"
title = "Le règlement"
[framework.themes]
security = "Sécurité"

[[framework.requirement]]
id = "art-32"
theme = "security"
text = "Journaliser"
how = "Une chaîne"
check = "audit-chain"

[[framework.requirement]]
id = "art-39"
theme = "security"
text = "Former"
how = "Un plan"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "compliance.toml").write_text(TEXT, encoding="utf-8")
    return tmp_path / "compliance.toml"


def test_a_framework_is_read_with_its_requirements(file: Path) -> None:
    (framework,) = read_frameworks(file, CHECKS)

    assert (framework.name, framework.source) == ("GDPR", "https://example.org")
    assert (framework.title, framework.themes) == ("Le règlement", {"security": "Sécurité"})
    logging, training = framework.requirements
    assert (logging.id, logging.theme, logging.check) == ("art-32", "security", "audit-chain")
    assert (training.id, training.check) == ("art-39", "")
    assert (logging.text, logging.how) == ("Journaliser", "Une chaîne")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('theme = "security"', 'theme = "safety"', "requirement art-32: unknown theme 'safety'; known are security"),
        ('"audit-chain"', '"audit"', "requirement art-32: unknown check 'audit'; known are audit-chain"),
        ('how = "Une chaîne"', 'how = "Une chaîne"\nwho = "me"', "requirement art-32: unknown who"),
        ('id = "art-32"', "", "'id' is missing"),
        ("[[framework]]", "[[framework", "cannot be read"),
        ('source = "https://example.org"', "", "'source' is missing"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(file: Path, old: str, new: str, sentence: str) -> None:
    file.write_text(TEXT.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(UsageError, match=sentence):
        read_frameworks(file, CHECKS)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read"):
        read_frameworks(tmp_path / "none.toml", CHECKS)


@pytest.mark.parametrize(
    ("make", "status"),
    [(met, Status.MET), (not_met, Status.NOT_MET), (not_applicable, Status.NOT_APPLICABLE)],
)
def test_a_finding_has_its_status_and_its_sentence_with_values(make, status: Status) -> None:
    finding = make("vu {count} fois", count=3)

    assert finding.status is status
    assert str(finding) == "vu 3 fois"
