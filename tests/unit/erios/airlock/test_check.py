"""The airlock's checks of one file, end to end."""

from __future__ import annotations

from erios.airlock.check import check_file
from erios.airlock.findings import Form, Report, Verdict
from erios.translation import using


def test_check_file_small_count_is_held_at_its_cell(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("sex,n\nF,120\nM,7\n", encoding="utf-8")

    report = check_file(file)

    finding = report.findings[0]
    assert (report.form, report.held) == (Form.TABLE, True)
    assert (finding.check, finding.verdict, finding.cell) == ("small-cell", Verdict.HELD, (2, 1))
    assert finding.where == "row 3, column 2"
    with using("fr"):
        assert finding.message == "l'effectif est inférieur à 11"


def test_report_is_the_same_after_it_was_stored(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("sex,n\nF,120\nM,7\n", encoding="utf-8")
    report = check_file(file)

    assert Report.from_json(report.as_json()) == report
