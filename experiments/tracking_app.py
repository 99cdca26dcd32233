"""MLflow's server as this project runs it: with accounts, behind the filter, in a process that calls nobody.

Owns the process. It is given a socket that listens already; its settings are variables of its own
(``server.environment``), nothing of the caller's. MLflow's own work at its start (containers, homes of assistants) is
left out.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Any

from experiments.closed_runs import is_open
from experiments.network_guard import refuse_outgoing_calls
from experiments.recorder import silence
from experiments.tracking_filter import TrackingFilter


def create_app() -> TrackingFilter:
    """The application of one worker process; from here on the process calls nobody."""
    silence()
    from mlflow.server.auth import create_app as create_mlflow
    from sqlalchemy import create_engine

    engine = create_engine(os.environ["_MLFLOW_SERVER_FILE_STORE"])
    make: Any = create_mlflow
    inner = make()
    refuse_outgoing_calls()

    async def may_write(file: str) -> bool:
        return await asyncio.to_thread(is_open, engine, file)

    return TrackingFilter(inner, may_write)


def main(listening: int, workers: int) -> None:
    """Serve on a socket until told to end. No lifespan: MLflow's would start other programs."""
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    config = uvicorn.Config(
        "experiments.tracking_app:create_app",
        factory=True,
        lifespan="off",
        ws="none",
        loop="asyncio",
        workers=workers,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    sockets = [socket.socket(fileno=listening)]
    if workers > 1:
        Multiprocess(config, sockets).run()
    else:
        uvicorn.Server(config).run(sockets)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
