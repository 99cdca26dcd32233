"""Commands that go to the broker, where the settings name one and its account is another one."""

from __future__ import annotations

import sys

from erios.broker.commands import command_of


def is_for_broker() -> bool:
    """This process's command line is one that the broker runs for whoever calls it."""
    asks_for_help = {"-h", "--help"} & set(sys.argv[1:])
    if asks_for_help or command_of(sys.argv[1:]) is None:
        return False
    from erios.broker.client import is_brokered
    from erios.errors import EriosError
    from erios.settings import load_settings

    try:
        return is_brokered(sys.argv[1:], load_settings().broker)
    except EriosError:
        return False  # the command itself says what is wrong with the settings


def pass_to_broker(**_names: str) -> None:
    """Let the broker run it, and end with its exit code."""
    from erios.broker.client import forward
    from erios.settings import load_settings

    path = load_settings().broker
    if path is not None:
        answer = forward(sys.argv[1:], path)
        if answer.sentence and answer.code:
            print(f"erios: {answer.sentence}", file=sys.stderr)
        elif answer.sentence:
            print(answer.sentence)
        raise SystemExit(answer.code)
