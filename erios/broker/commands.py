"""Which commands the broker runs for others, and with what arguments.

Owns the list. The broker's account reads everything, so that an argument that names a path would let its user read
and write what is not theirs: none may. Files of the person come as open files, never by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from erios.errors import UsageError

ALLOWED = frozenset(
    {
        ("train",),
        *(("runs", name) for name in ("list", "show", "compare", "stop", "follow", "reproduce", "promote")),
        *(("extract", name) for name in ("list", "show")),
        *(("study", name) for name in ("list", "show")),
        *(("workspace", name) for name in ("open", "list", "close")),
        *(("airlock", name) for name in ("list", "show", "submit", "remove", "withdraw", "release", "verify")),
        ("tracking", "login"),
    }
)
"""Commands by their words: what a data scientist does in a day."""
WITH_BUNDLE, WITH_CREDENTIALS = ("train",), ("tracking", "login")
"""With the first a bundle's files may come; the second writes a file of the person's home."""
_FREE = ("--set", "--reason")
"""Options whose value is a text; it stands behind a ``=``."""
_WORD = re.compile(r"[\w@#:=+,%-][\w@#:=+,.%-]*", re.ASCII)
_TEXT = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]{0,4000}")


def command_of(arguments: Sequence[str]) -> tuple[str, ...] | None:
    """The words of the command that the broker runs; None if it is none of its own."""
    return next((tuple(arguments[:n]) for n in (1, 2) if tuple(arguments[:n]) in ALLOWED), None)


def check_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    """The command of an argument list that may be run; UsageError names what may not."""
    command = command_of(arguments)
    if command is None:
        raise UsageError(f"the broker runs {', '.join(' '.join(words) for words in sorted(ALLOWED))}; nothing else")
    for argument in arguments[len(command) :]:
        _check(argument)
    return command


def _check(argument: str) -> None:
    name, equals, value = argument.partition("=")
    form, text = (_TEXT, value) if equals and name in _FREE else (_WORD, argument)
    if argument == "--" or not form.fullmatch(text):
        raise UsageError(f"the broker takes no path and no '{_printable(argument)}': say names and numbers")


def join_texts(arguments: Sequence[str]) -> list[str]:
    """``--set NAME=VALUE`` as ``--set=NAME=VALUE``: what may hold a path is one word with its option.

    As two words the second could become an argument of its own, where an option before them takes the first.
    """
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in _FREE:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _printable(argument: str) -> str:
    return re.sub(r"[^\w@#:=+,./% -]", "?", argument[:40])
