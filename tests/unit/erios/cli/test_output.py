"""Where commands print: answers on standard output, what happens meanwhile on standard error."""

from erios.cli.output import answer, print_table, screen, write_json


def test_json_goes_to_standard_output_with_its_accents(capsys):
    write_json({"name": "Élodie"})

    assert capsys.readouterr() == ('{\n  "name": "Élodie"\n}\n', "")


def test_the_screen_is_standard_error(capsys):
    screen().print("a sentence")

    assert capsys.readouterr() == ("", "a sentence\n")


def test_an_answer_is_standard_output_unless_json_has_it(capsys):
    answer().print("a sentence")
    answer(beside_json=True).print("another")

    assert capsys.readouterr() == ("a sentence\n", "another\n")


def test_brackets_are_text(capsys):
    screen().print("VARCHAR[] and [bold]words[/bold]")

    assert capsys.readouterr().err == "VARCHAR[] and [bold]words[/bold]\n"


def test_a_table_puts_figures_to_the_right(capsys):
    print_table("Two", ("name", "type", "rows"), [("patient", "VARCHAR[]", "1,000"), ("note", "DATE", "7")], numbers=1)

    shown = capsys.readouterr()
    assert shown.err == ""
    assert "│ patient │ VARCHAR[] │ 1,000 │" in shown.out
    assert "│ note    │ DATE      │     7 │" in shown.out
