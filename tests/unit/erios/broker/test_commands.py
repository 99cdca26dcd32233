"""What the broker runs for others: a short list, and no argument that its account would take for a path."""

from __future__ import annotations

import pytest

from erios.broker.commands import check_arguments, command_of, join_texts
from erios.errors import UsageError


@pytest.mark.parametrize(
    "line",
    [
        "train readmission --extract E2031-007-X01 --cluster chu --nodes 2 --set=epochs=20",
        "train --set=path=/nowhere/at/all --resume=E2031-007-R001",
        "runs list --json",
        "runs stop E2031-007-R001 --reason=wrong",
        "extract list",
        "tracking login",
        "workspace open E2031-007-X01",
        "workspace close E2031-007-W0001 --reason=done",
        "airlock remove E2031-007-S01 table1.csv",
    ],
)
def test_the_day_of_a_data_scientist_is_run(line):
    assert check_arguments(line.split()) == command_of(line.split())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "etl load /srv/exports",
        "extract release E1 --reason=x",
        "keys list",
        "workspace serve --port 8010",
        "airlock export E2031-007-S01 results",
        "airlock add E2031-007-S01 table1.csv --context c --controls d",
        "runs",
        "--version",
        "train /srv/identity --extract E1",
        "train ../identity --extract E1",
        "train . --extract E1",
        "train ~erios --extract E1",
        "train --extract=../../x readmission",
        "train --extract --set /srv/identity --extract E1",
        "train --extract --reason /srv/identity",
        "train -- /srv/identity",
        "train -- readmission",
        "runs show --reason=a\x1b[2J",
        "runs show a\x00b",
    ],
)
def test_what_reaches_for_more_is_refused(line):
    with pytest.raises(UsageError):
        check_arguments(line.split(" "))


def test_a_text_is_one_word_with_its_option():
    line = ["train", "b", "--set", "path=/a b", "--seed", "3", "--reason", "--set"]
    assert join_texts(line) == ["train", "b", "--set=path=/a b", "--seed", "3", "--reason=--set"]
