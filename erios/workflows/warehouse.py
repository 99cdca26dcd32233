"""The warehouse for readers: a release of the configured warehouse, by id or the latest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from erios.settings import load_settings

if TYPE_CHECKING:
    from etl.release import Release


def open_release(id: str | None = None) -> Release:
    """The release ``id`` of the configured warehouse, the latest without one.

    Its tables open as Spark frames, DuckDB relations, Polars frames or lists of files. Raises
    ``etl.errors.ReleaseError`` when there is no such release.
    """
    from etl.release import open_release as open_from

    return open_from(load_settings().warehouse, id)
