"""Paths read twice are named once: the same rows, and nothing named that a lambda binds."""

import duckdb

from etl.views.common_paths import share_paths

STATUS = "struct_extract(r, 'status')"
START = "struct_extract(struct_extract(r, 'period'), 'start')"


def test_a_path_read_twice_is_named_below_and_one_read_once_is_not():
    columns, source = share_paths([f"{START} AS a", f"left({START}, 4) AS b", f"{STATUS} AS c"], "t", {"r"})
    assert columns == ["_p0 AS a", "left(_p0, 4) AS b", f"{STATUS} AS c"]
    assert source == f"(SELECT *, {START} AS _p0 FROM t)"


def test_a_longer_path_is_not_its_beginning():
    coding = "list_extract(struct_extract(r, 'coding'), 1)"
    columns, _ = share_paths([f"struct_extract({coding}, 'code') AS a", f"{coding} AS b", f"{coding} AS c"], "t", {"r"})
    assert columns == [f"struct_extract({coding}, 'code') AS a", "_p0 AS b", "_p0 AS c"]


def test_what_a_lambda_binds_has_no_name_outside():
    item = "struct_extract(_x1, 'value')"
    columns = [f"list_transform({STATUS}, lambda _x1: {item} || {item}) AS a"]
    assert share_paths(columns, "t", {"r"}) == (columns, "t")


def test_a_path_around_another_call_is_left_alone():
    columns = ["struct_extract(list_extract(list_filter(r, lambda x: true), 1), 'a') AS a"] * 2
    assert share_paths(columns, "t", {"r"}) == (columns, "t")


def test_the_rows_stay_the_same():
    columns = [f"{START} AS a", f"coalesce({START}, {STATUS}) AS b", f"{STATUS} AS c"]
    rows = "(SELECT unnest([{'status': 'x', 'period': {'start': '1'}}, {'status': 'y', 'period': NULL}, NULL]) AS r)"
    shared, source = share_paths(columns, rows, {"r"})
    one, other = (
        duckdb.execute(f"SELECT {', '.join(c)} FROM {s}").fetchall() for c, s in ((columns, rows), (shared, source))
    )
    assert one == other == [("1", "1", "x"), (None, "y", "y"), (None, None, None)]
