"""The warehouse for readers: a release of the configured warehouse, by id or the latest; whoever reads is on record.

Owns the door for people and scripts. A table's files must never be handed out before the reading is in the audit chain;
what the release's own file says (names, rows, versions, validation) is no reading.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from erios.audit import append
from erios.operator_login import current_operator
from erios.settings import load_settings
from etl.warehouse.release import Release
from etl.warehouse.release import open_release as open_stored_release

READ = "warehouse.read"
"""The event that the first reading of each table leaves."""


@dataclass(frozen=True)
class RecordedRelease(Release):
    """A release whose tables are read on record: one event a table, by ``reader``, before its files are known."""

    reader: str = field(default="", compare=False)
    recorded: set[str] = field(default_factory=set, compare=False, repr=False)

    def files(self, table: str) -> list[str]:
        paths = super().files(table)
        if table not in self.recorded:
            append(load_settings(), READ, object=table, details={"release": self.id}, actor=self.reader)
            self.recorded.add(table)
        return paths


def open_release(id: str | None = None, *, reader: str | None = None) -> RecordedRelease:
    """The release ``id`` of the configured warehouse, the latest without one, for ``reader`` (default: the operator).

    Its tables open as Spark frames, DuckDB relations, Polars frames or lists of files. Raises
    ``etl.errors.ReleaseError`` when there is no such release; StorageError when the audit chain takes no event, and
    then nothing is read.
    """
    release = open_stored_release(load_settings().warehouse, id)
    values = {field_.name: getattr(release, field_.name) for field_ in fields(Release)}
    return RecordedRelease(**values, reader=reader or current_operator())
