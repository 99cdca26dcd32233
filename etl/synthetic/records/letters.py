"""DocumentReferences with French letters that name the patient, relatives, doctors, dates and phone numbers."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha1

from etl.synthetic.clock import MINUTES_A_DAY, clock_french, day_french, instant, local_day
from etl.synthetic.code_tables import DIAGNOSES, DRUGS, LOINC, PROCEDURES
from etl.synthetic.fhir import HOUSE, RPPS, Json, concept, frozen, logical, period, reference
from etl.synthetic.hospital import NAME, WARDS
from etl.synthetic.patient_course import Stay, illness_code
from etl.synthetic.records.patient_record import PatientRecord, Visit

_SUMMARY = frozen(concept(LOINC, "34105-7", "Hospital Discharge summary", "Compte rendu d'hospitalisation"))
_CONSULT = frozen(concept(LOINC, "11488-4", "Consult note", "Compte rendu de consultation"))
_SHOWN = {
    "hb": "hémoglobine {:.1f} g/dL",
    "wbc": "leucocytes {:.1f} G/L",
    "crp": "CRP {:.0f} mg/L",
    "na": "natrémie {:.0f} mmol/L",
    "creat": "créatinine {:.0f} µmol/L",
    "hba1c": "HbA1c {:.1f} %",
    "ntprobnp": "NT-proBNP {:.0f} pg/mL",
}


def letter(record: PatientRecord, visit: Visit) -> Iterator[Json]:
    """The letter of a finished contact, written when it ends."""
    if visit.stay.end is None:
        return
    text = "\n".join((_opening(record, visit), _summary(record, visit), _closing(record, visit))).encode()
    minute = record.clip(visit.last + record.rng.randrange(10, 600))
    resource = record.head("DocumentReference", record.new_id(), minute)
    resource |= {
        "identifier": [{"system": f"{HOUSE}/document", "value": f"CR{visit.number}"}],
        "status": "current",
        "docStatus": "final",
        "type": _SUMMARY if visit.stay.in_bed else _CONSULT,
        "subject": record.who(),
        "date": instant(minute),
        "author": [visit.doctor.link],
        "custodian": reference("Organization", record.hospital.legal),
        "content": [{"attachment": _attachment(visit, text, minute)}],
        "context": {"encounter": [visit.link], "period": period(visit.stay.start, visit.stay.end)},
    }
    _add_signer(record, visit, resource)
    yield resource


def _add_signer(record: PatientRecord, visit: Visit, resource: Json) -> None:
    """One letter in twenty is signed by a doctor of elsewhere, who travels inside it."""
    chance = record.rng.random()
    if chance < 0.05:
        doctor = record.town_doctor
        resource["contained"] = [
            {
                "resourceType": "Practitioner",
                "id": "redacteur",
                "identifier": [{"system": RPPS, "value": doctor.rpps}],
                "name": [{"family": doctor.family, "given": [doctor.given]}],
                "telecom": [{"system": "phone", "value": doctor.phone}],
            }
        ]
        resource["author"] = [{"reference": "#redacteur"}]
    elif chance < 0.2:
        resource["authenticator"] = logical("Practitioner", RPPS, visit.doctor.rpps)


def _attachment(visit: Visit, text: bytes, minute: int) -> Json:
    title = "Compte rendu d'hospitalisation" if visit.stay.in_bed else "Compte rendu de consultation"
    return {
        "contentType": "text/plain; charset=utf-8",
        "language": "fr-FR",
        "data": b64encode(text).decode(),
        "size": len(text),
        "hash": b64encode(sha1(text, usedforsecurity=False).digest()).decode(),
        "title": f"{title} {visit.number}",
        "creation": instant(minute),
    }


def _opening(record: PatientRecord, visit: Visit) -> str:
    person, doctor, town = record.person, visit.doctor, record.town_doctor
    civility = "Madame" if person.is_female else "Monsieur"
    born = "née" if person.is_female else "né"
    return (
        f"{NAME} - {WARDS[visit.ward]}\n{doctor.called} - Tél. {doctor.phone} - RPPS {doctor.rpps}\n"
        f"Le {day_french(local_day(visit.last))}\n\nÀ l'attention du {town.called}\n\nCher confrère,\n\n"
        f"{civility} {person.givens[0]} {(person.usual_family or person.family).upper()}, {born} "
        f"{person.family.upper()} le {day_french(person.birth_day)} (IPP {person.ipp}, INS {person.nir}), "
        f"domicilié{'e' if person.is_female else ''} {person.line}, {person.town.postcode} "
        f"{person.town.name}, "
        f"tél. {person.phones[0][1]}, {_came(visit.stay)}."
    )


def _came(stay: Stay) -> str:
    start = f"{day_french(local_day(stay.start))} à {clock_french(stay.start)}"
    if stay.in_bed:
        assert stay.end is not None
        return f"a séjourné dans notre service du {start} au {day_french(local_day(stay.end))}"
    return f"a été vu(e) le {start}"


def _summary(record: PatientRecord, visit: Visit) -> str:
    stay, course = visit.stay, record.course
    day = stay.start // MINUTES_A_DAY
    past = [DIAGNOSES[illness_code(course, key)].lower() for key, since in course.illnesses.items() if since <= day]
    lines = [
        f"\nMotif : {DIAGNOSES[stay.reason.code].lower()}.",
        f"Antécédents : {', '.join(past) if past else 'aucun notable'}.",
    ]
    if stay.acts:
        lines.append(f"Actes : {'; '.join(PROCEDURES[act] for act in stay.acts)}.")
    if stay.laboratory:
        lines.append(f"Biologie d'entrée : {_results(stay)}.")
    if stay.drugs:
        lines.append(f"Traitement : {', '.join(DRUGS[key].label for key in stay.drugs)}.")
    return "\n".join(lines)


def _results(stay: Stay) -> str:
    values = stay.laboratory[0].values
    shown = [form.format(values[key]) for key, form in _SHOWN.items() if key in values]
    return ", ".join(shown) if shown else "sans particularité"


def _closing(record: PatientRecord, visit: Visit) -> str:
    stay, person = visit.stay, record.person
    lines = [""]
    contact = person.contact
    if contact is not None:
        who = f"{contact.given} {contact.family} ({contact.relation_label}, {contact.phone})"
        lines.append(f"La famille a été tenue informée : {who}.")
    if stay.died:
        lines.append("L'évolution a malheureusement été défavorable : décès dans le service.")
    elif stay.in_bed:
        again = day_french(local_day(visit.last) + record.rng.randrange(14, 45))
        colleague = record.rng.choice(record.hospital.doctors[visit.ward])
        lines.append(f"{person.called} sera revu(e) en consultation le {again} par le {colleague.called}.")
    lines.append(f"\nBien confraternellement,\n{visit.doctor.called}")
    return "\n".join(lines)
