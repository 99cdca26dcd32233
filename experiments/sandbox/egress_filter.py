"""The administrator's filter of outgoing connections, without which ranks on several machines do not train.

Owns the probe. Such ranks use the machine's own network, so that the filter is the wall: before a training begins, this
machine must fail to reach each address that the cluster's profile names. A connection that is refused was not filtered:
somebody answered.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from experiments.cluster.cluster_profile import ADDRESS

PATIENCE = 2.0
"""Seconds in which an address that can be reached answers."""
_FILTERED = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM, errno.EACCES, errno.ETIMEDOUT)


def obstacle(unreachable: Sequence[str]) -> str:
    """Why ranks on several machines may not train here, in one sentence; empty if each address is out of reach."""
    if not unreachable:
        return (
            "the ranks of this run are on several machines, and a training has no network: ask for one node, or name in"
            " the cluster's profile (unreachable) what the centre's filter of outgoing connections keeps from a job"
        )
    for address in unreachable:
        if is_reached(address):
            return f"this machine reaches {address}, which the filter of outgoing connections must keep from a training"
    return ""


def is_reached(address: str) -> bool:
    """Somebody answers there, if only to refuse; an answer that says nothing clear counts as one."""
    match = ADDRESS.fullmatch(address)
    if match is None:
        return True
    try:
        with socket.create_connection((match["host"].strip("[]"), int(match["port"])), PATIENCE):
            return True
    except TimeoutError:
        return False
    except (OSError, OverflowError) as error:
        return getattr(error, "errno", None) not in _FILTERED
