"""A handler that stands in a training's way where a test says so (``conftest.Gate``): a script of a bundle.

Nothing here is a test.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


class GateKeeper:
    """Waits at the end of each iteration that has been closed in ``folder``."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def attach(self, engine: Any) -> None:
        from ignite.engine import Events

        engine.add_event_handler(Events.ITERATION_COMPLETED, self._stand)

    def _stand(self, engine: Any) -> None:
        here = engine.state.iteration
        while (self.folder / f"closed-{here}").exists():
            if engine.state.rank == 0:
                (self.folder / ".waits").write_text(str(os.getpid()))
                (self.folder / ".waits").replace(self.folder / f"waits-{here}")
            time.sleep(0.02)
