"""Compatibility of the warehouse with today's views, key and buckets, checked before a load starts.

An error names the command that repairs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from etl.errors import ReleaseError
from etl.load_config import LoadConfig
from etl.warehouse.delta import check_schema
from etl.warehouse.release import latest


def check_rebuild_covers(config: LoadConfig, tables: Sequence[str]) -> None:
    """ReleaseError where rebuilding only ``tables`` would leave others that need it too."""
    names = {table.name for table in config.tables}
    if unknown := [name for name in tables if name not in names]:
        raise ReleaseError(f"no table '{unknown[0]}'; tables: {', '.join(sorted(names))}")
    others = tuple(table for table in config.tables if table.name not in tables)
    check_compatible(replace(config, tables=others))


def check_compatible(config: LoadConfig) -> None:
    """ReleaseError where the warehouse must be rebuilt first: other columns or views, another key or bucket count."""
    for table in config.tables:
        check_schema(config.zones.warehouse, table.name, table.column_types())
    base = latest(config.zones.warehouse)
    if base and (changed := [table.name for table in config.tables if base.views.get(table.name) != table.digest]):
        raise ReleaseError(
            f"the view of {', '.join(changed)} is new or changed since release {base.id}: run `erios etl rebuild"
            f"{''.join(f' --table {name}' for name in changed)}` (readers keep the old release until then)"
        )
    if base and base.key_id != config.key_id:
        raise ReleaseError(
            f"the warehouse was built with key {base.key_id}, the keyring's current key is {config.key_id}:"
            " run `erios etl rebuild`, and readers keep the old release until it ends"
        )
    if base and base.buckets != config.buckets:
        raise ReleaseError(
            f"the warehouse was built with {base.buckets} buckets, the setting load.buckets says {config.buckets}:"
            " set it back, or run `erios etl rebuild`"
        )
