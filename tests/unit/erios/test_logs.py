"""A fault's log: where it happened, never what it said."""

from erios.logs import describe_fault, write_fault

CANARY = "Élodie Martin 2 69 05 49 588 157 80"


def fail() -> Exception:
    patient = CANARY
    try:
        try:
            raise KeyError(patient)
        except KeyError as cause:
            raise ValueError(f"cannot read {patient}") from cause
    except ValueError as error:
        return error


def test_types_and_locations_are_kept_and_no_message():
    text = describe_fault(fail())

    assert text.splitlines()[0] == "builtins.ValueError"
    assert "builtins.KeyError" in text
    assert text.count("test_logs.py:") == 2
    assert CANARY not in text
    assert "Martin" not in text


def test_the_log_is_its_owners_alone(tmp_path):
    path = write_fault(tmp_path / "logs", fail())

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.read_text() == describe_fault(fail())


def test_a_log_line_holds_no_argument_and_no_message() -> None:
    import logging
    import sys

    from erios.logs import PlacesFormatter

    try:
        raise ValueError("Étrange")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "page %s failed", ("/Étrange",), sys.exc_info())
    line = PlacesFormatter().format(record)
    assert "Étrange" not in line
    assert "page %s failed" in line
    assert "builtins.ValueError" in line
