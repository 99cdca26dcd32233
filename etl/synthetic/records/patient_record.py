"""What the resources of one person share: ids, references to the patient and the stay, the practitioners."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from etl.synthetic.clock import MINUTES_A_DAY
from etl.synthetic.fhir import Json, meta, reference
from etl.synthetic.hospital import Doctor, Hospital, new_id
from etl.synthetic.patient_course import Course, Stay
from etl.synthetic.people import Person, spread_number


@dataclass(slots=True)
class Visit:
    """A stay with the identities its records refer to."""

    stay: Stay
    number: str
    id: str
    link: Json
    ward: str
    doctor: Doctor
    last: int
    diagnoses: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class PatientRecord:
    """The record of one person while it is generated."""

    course: Course
    hospital: Hospital
    rng: Random
    patient_id: str
    subject: Json
    named_subject: Json
    town_doctor: Doctor

    @classmethod
    def open(cls, course: Course, hospital: Hospital, rng: Random) -> PatientRecord:
        """An empty record of a course."""
        identity = new_id(rng)
        subject = reference("Patient", identity)
        named = subject | {"display": course.person.called}
        return cls(course, hospital, rng, identity, subject, named, rng.choice(hospital.town_doctors))

    @property
    def person(self) -> Person:
        """The patient's identity."""
        return self.course.person

    def new_id(self) -> str:
        """A fresh resource id."""
        return new_id(self.rng)

    def who(self) -> Json:
        """The link to the patient; one in thirty shows the name, as some software does."""
        return self.named_subject if self.rng.random() < 0.033 else self.subject

    def head(self, kind: str, identity: str, minute: int, profile: str = "") -> Json:
        """The first elements of a resource, written some minutes after what it describes."""
        rng = self.rng
        version = 1 if rng.random() < 0.85 else rng.randint(2, 4)
        delay = rng.randrange(2, 90)
        return {
            "resourceType": kind,
            "id": identity,
            "meta": meta(self.clip(minute + delay), version, rng.randrange(60_000), profile),
        }

    def visit(self, stay: Stay) -> Visit:
        """Opens the records of a stay."""
        order = self.course.stays.index(stay)
        identity = self.new_id()
        ward = stay.reason.ward
        number = f"2{spread_number(self.person.index * 100 + order, self.hospital.seed):09d}"
        doctor = self.rng.choice(self.hospital.doctors[ward])
        last = stay.end if stay.end is not None else self.today_minute
        return Visit(stay, number, identity, reference("Encounter", identity), ward, doctor, last)

    def clip(self, minute: int) -> int:
        """A minute no later than the export itself."""
        return min(minute, self.today_minute + 100)

    @property
    def today_minute(self) -> int:
        """The minute at which the export is made."""
        return self.hospital.opened - 480 + 3650 * MINUTES_A_DAY
