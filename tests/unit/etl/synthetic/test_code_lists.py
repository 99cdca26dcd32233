"""The code lists of the generated hospital: read as a publisher's file, they have the codes that its records use."""

from etl.synthetic import write_code_lists
from etl.synthetic.code_tables import DRUGS, SNOMED, UCD
from etl.terminology.publisher_files import read_publisher_file


def test_the_lists_are_read_as_a_publishers_file(tmp_path):
    lists = {each.system: each for each in read_publisher_file(write_code_lists(tmp_path / "lists.ndjson"))}
    assert len(lists) == 6
    assert {c.code for c in lists[UCD].concepts} == {drug.ucd for drug in DRUGS.values() if drug.ucd}
    assert ("26643006", "Oral route") in {(c.code, c.display) for c in lists[SNOMED].concepts}
