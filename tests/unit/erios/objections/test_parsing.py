"""What people write of patients: the forms taken, and faults told by line, never by value."""

from datetime import date

import pytest

from erios.errors import InputError, UsageError
from erios.objections import Objection, check_date, parse_reference, read_list

IPP = "Patient?identifier=urn:hospital:ipp|00042"
NIR = "Patient?identifier=urn:oid:1.2.250.1.213.1.4.8|184127512345678"


@pytest.mark.parametrize(
    ("written", "reference"),
    [
        ("123", "Patient/123"),
        (" Patient/a-b.C ", "Patient/a-b.C"),
        ("urn:hospital:ipp|00042", IPP),
        ("Patient?identifier=urn:hospital:ipp|00042", IPP),
        ("https://chu.fr/ipp | 7", "Patient?identifier=https://chu.fr/ipp|7"),
        ("INS-NIR|184127512345678", NIR),
        ("INS-NIA|1", "Patient?identifier=urn:oid:1.2.250.1.213.1.4.9|1"),
        ("|7", "Patient?identifier=|7"),
    ],
)
def test_both_forms_of_a_patient_are_taken(written, reference):
    assert parse_reference(written) == reference
    assert parse_reference(reference) == reference


@pytest.mark.parametrize("written", ["", "a b", "Patient/", "Group/1", "x" * 65, "Dupont|1", "IPP|7", "urn:x|", "1,2"])
def test_what_is_no_patient_is_refused_without_showing_it(written):
    with pytest.raises(UsageError, match=r"write a patient as ID, Patient/ID or SYSTEM\|VALUE") as caught:
        parse_reference(written)
    assert "Dupont" not in str(caught.value)


def test_a_list_of_one_a_line():
    assert read_list("\ufeff1\r\n\r\nPatient/2\nurn:hospital:ipp|00042\n", "l") == [
        Objection("Patient/1"),
        Objection("Patient/2"),
        Objection(IPP),
    ]


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_csv_list_with_reasons_and_dates_in_any_order(separator):
    text = 'Date,"patient",reason\n2026-01-31,1,"letter, signed"\n\n,Patient/2,\n'.replace(",", separator)

    reason = f"letter{separator} signed"
    assert read_list(text, "l") == [Objection("Patient/1", reason, "2026-01-31"), Objection("Patient/2")]


def test_all_bad_lines_are_named_and_none_is_shown():
    text = "patient,date\nDupont Jean,\n1,2026-01-31\n2,31/01/2026\n3\n4,2999-01-01\n"

    with pytest.raises(InputError, match=r"^lines 2, 4, 5, 6 of list\.csv: write .* nothing was imported$") as caught:
        read_list(text, "list.csv")
    assert "Dupont" not in str(caught.value)


def test_many_bad_lines_are_counted():
    with pytest.raises(InputError, match=r"^lines 1, 2, .*, 20 and 5 more of l:"):
        read_list("no patient\n" * 25, "l")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("", "l names no patient"), ("patient\n", "no patient"), ("patient,name\n1,X\n", "1 columns")],
)
def test_a_list_that_is_none_is_refused(text, sentence):
    with pytest.raises(InputError, match=sentence):
        read_list(text, "l")


def test_a_date_is_a_past_day_or_today():
    today = lambda: date(2026, 1, 31)  # noqa: E731

    assert [check_date(text, today) for text in ("", "2026-01-31", " 2025-12-01 ")] == ["", "2026-01-31", "2025-12-01"]
    for text in ("2026-02-01", "2026-02-30", "20260101", "yesterday"):
        with pytest.raises(UsageError, match="a date is written as 2026-01-31"):
            check_date(text, today)
