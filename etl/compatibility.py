"""Compatibility of the warehouse with today's views, key and buckets, checked before a load starts.

A refusal names the command that mends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from etl.errors import ReleaseError
from etl.load_config import LoadPlan
from etl.warehouse.delta import check_schema
from etl.warehouse.release import latest


def check_enough(plan: LoadPlan, tables: Sequence[str]) -> None:
    known = {table.name for table in plan.tables}
    if unknown := [name for name in tables if name not in known]:
        raise ReleaseError(f"no table '{unknown[0]}'; tables: {', '.join(sorted(known))}")
    others = tuple(table for table in plan.tables if table.name not in tables)
    check_base(replace(plan, tables=others))


def check_base(plan: LoadPlan) -> None:
    """Refuse before anything starts what would need the warehouse rebuilt: other columns, another key."""
    for table in plan.tables:
        check_schema(plan.zones.warehouse, table.name, table.column_types())
    base = latest(plan.zones.warehouse)
    if base and (changed := [table.name for table in plan.tables if base.views.get(table.name) != table.digest]):
        raise ReleaseError(
            f"the view of {', '.join(changed)} is new or changed since release {base.id}: run `erios etl rebuild"
            f"{''.join(f' --table {name}' for name in changed)}` (readers keep the old release until then)"
        )
    if base and base.key_id != plan.key_id:
        raise ReleaseError(
            f"the warehouse was built with key {base.key_id}, the keyring's current key is {plan.key_id}:"
            " run `erios etl rebuild`, and readers keep the old release until it ends"
        )
    if base and base.buckets != plan.buckets:
        raise ReleaseError(
            f"the warehouse was built with {base.buckets} buckets, the setting load.buckets says {plan.buckets}:"
            " set it back, or run `erios etl rebuild`"
        )
