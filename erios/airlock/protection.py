"""A table mended: small cells hidden, and as many more as it takes for the checks to hold nothing.

Owns which cell is hidden for another's sake: the smallest that shares a total with it, as in the handbook of
Eurostat's centre of excellence on statistical disclosure control. It must never change a figure: a cell is hidden or
stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from erios.airlock.findings import Finding, Verdict
from erios.airlock.grids import Grid
from erios.airlock.margins import equations_of
from erios.airlock.table_checks import check_tables
from erios.airlock.tables import Place, Table, tables_of
from erios.settings_sections import AirlockSettings

HIDDEN = "*"
_SMALL = frozenset(("small-cell", "zero", "narrow-bound"))
_BY_HIDING = frozenset(
    (
        "share",
        "nested",
        "everyone",
        "differencing",
        "statistic-of-hidden",
        "extreme",
        "quantile",
        "dominance",
        "contribution",
    )
)
_MOST_ROUNDS = 200


def protect_table(
    grid: Grid, columns: Mapping[str, str], earlier: Sequence[Table], settings: AirlockSettings
) -> Grid | None:
    """The grid with cells hidden until nothing is held; None where hiding cells mends it not."""
    cells = [list(row) for row in grid]
    for _ in range(_MOST_ROUNDS):
        tables = tables_of(tuple(map(tuple, cells)), columns)
        held = [each for each in check_tables(tables, earlier, (), settings) if each.verdict == Verdict.HELD]
        if not held:
            return tuple(map(tuple, cells))
        hidden = _hidden_next(held, tables, settings)
        if not hidden:
            return None
        for (row, column), text in hidden.items():
            cells[row][column] = text
    return None


def _hidden_next(held: Sequence[Finding], tables: Sequence[Table], settings: AirlockSettings) -> dict[Place, str]:
    """What to hide now: small cells first, then what tells them, then one companion at a time; nothing where it is
    no use."""
    if any(finding.cell is None for finding in held):
        return {}
    places = [(finding.check, finding.cell) for finding in held if finding.cell is not None]
    small = {place: f"<{settings.threshold}" for check, place in places if check in _SMALL}
    telling = {place: HIDDEN for check, place in places if check in _BY_HIDING}
    if small or telling:
        return small or {place: text for place, text in telling.items() if _is_shown(tables, place)}
    companions = [_companion(tables, place) for check, place in places if check == "hidden-total"]
    return {place: HIDDEN for place in companions[:1] if place is not None}


def _is_shown(tables: Sequence[Table], place: Place) -> bool:
    """Whether a cell is hidden already: to hide it again mends nothing."""
    return any(place[0] in table.rows and table.text(*place) != HIDDEN for table in tables)


def _companion(tables: Sequence[Table], place: Place) -> Place | None:
    """The smallest count shown beside the only hidden one of a total, which gives that away, else beside the cell
    itself; the cell where it is a total."""
    table = next(each for each in tables if place in each.counts)
    counts = table.counts
    if not counts[place].hidden:
        return place
    totals = [(each.total, each.parts) for each in equations_of(table)]
    pinned = [parts for total, parts in totals if not counts[total].hidden and _hidden(table, parts) == 1]
    own = [parts for _, parts in totals if place in parts]
    for lines in (pinned, own):
        beside = {part: counts[part].low for parts in lines for part in parts if not counts[part].hidden}
        if beside:
            return min(beside, key=lambda part: beside[part])
    return None


def _hidden(table: Table, parts: Sequence[Place]) -> int:
    return sum(table.counts[part].hidden for part in parts)
