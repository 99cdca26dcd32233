"""What holds for every seed and person of the demonstration hospital."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.synthetic import export_day, nir_key, simulate
from etl.synthetic.clock import instant, local_day
from etl.synthetic.hospital import build_hospital
from etl.synthetic.patient_course import streams
from etl.synthetic.planted_faults import FAULTS, plant_fault
from etl.synthetic.records import records_of
from tests.sampling import examples

SEEDS = st.integers(0, 10**6)
INDEXES = st.integers(0, 10**6)


@given(st.from_regex(r"[12][0-9]{4}(2A|2B|[0-9]{2})[0-9]{6}", fullmatch=True))
def test_nir_and_key_sum_to_a_multiple_of_97(number):
    digits = int(number.replace("2A", "19").replace("2B", "18"))
    assert (digits + int(nir_key(number))) % 97 == 0


@given(st.integers(14_200_000, 42_000_000))
def test_instants_name_their_minute_whatever_the_zone(minute):
    moment = datetime.fromisoformat(instant(minute))
    assert moment == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    assert moment.date().toordinal() - 719163 == local_day(minute)


@settings(max_examples=examples(25), deadline=None)
@given(SEEDS, INDEXES)
def test_a_course_depends_on_its_seed_and_index_alone(seed, index):
    today = export_day(seed)
    assert simulate(seed, index, today) == simulate(seed, index, today)


@settings(max_examples=examples(15), deadline=None)
@given(SEEDS, INDEXES)
def test_every_record_serialises_and_points_to_its_patient(seed, index):
    rngs, today = streams(seed, index), export_day(seed)
    records = list(records_of(simulate(seed, index, today), build_hospital(seed, today), rngs.records))
    assert records[0]["resourceType"] == "Patient"
    for record in records[1:]:
        link = record.get("subject") or record["patient"]
        assert link["reference"] == f"Patient/{records[0]['id']}"
        assert orjson.loads(orjson.dumps(record))["id"] == record["id"]


@settings(max_examples=examples(15), deadline=None)
@given(SEEDS, st.randoms(use_true_random=False))
def test_a_spoilt_line_differs_unless_it_is_the_double(seed, random):
    rngs, today = streams(seed, 1), export_day(seed)
    course = simulate(seed, 1, today)
    for record in records_of(course, build_hospital(seed, today), rngs.records):
        line = orjson.dumps(record)
        fault, spoilt = plant_fault(Random(random.random()), orjson.loads(line), line, course.person.is_female)
        assert fault in FAULTS
        assert (spoilt == line) == (fault.name == "duplicate-line")
        assert b"\n" not in spoilt
