"""FHIR R4 data types that all resources share: codings, quantities, references, meta, identifiers.

Nothing is random, and no clinical rule is here. Constant values are serialised once (`Fragment`), so that a resource
costs one dictionary and one `orjson.dumps`.
"""

from __future__ import annotations

from typing import Any

from orjson import Fragment, dumps

from etl.synthetic.clock import instant
from etl.synthetic.code_tables import UCUM, UNIT_TEXTS

Json = dict[str, Any]

HOUSE = "https://chu-demonstration.example.org/fhir/namingsystem"
FR_CORE = "https://hl7.fr/ig/fhir/core/StructureDefinition"
FR_CODES = "https://hl7.fr/ig/fhir/core/CodeSystem"
HL7 = "http://hl7.org/fhir/StructureDefinition"
TERMS = "http://terminology.hl7.org/CodeSystem"

INS_NIR = "urn:oid:1.2.250.1.213.1.4.8"
RPPS = "https://rpps.esante.gouv.fr"
FINESS = "https://finess.esante.gouv.fr"
COMMUNE = "https://mos.esante.gouv.fr/NOS/TRE_R13-CommuneOM/FHIR/TRE-R13-CommuneOM"
IPP = f"{HOUSE}/ipp"
STAY_NUMBER = f"{HOUSE}/iep"
SAMPLE_NUMBER = f"{HOUSE}/echantillon"


def coding(system: str, code: str, display: str = "") -> Json:
    """A Coding."""
    return {"system": system, "code": code, "display": display} if display else {"system": system, "code": code}


def concept(system: str, code: str, display: str = "", text: str = "") -> Json:
    """A CodeableConcept of one coding."""
    result: Json = {"coding": [coding(system, code, display)]}
    if text:
        result["text"] = text
    return result


def frozen(value: object) -> Fragment:
    """A constant piece, serialised once."""
    return Fragment(dumps(value))


def unit_text(unit: str) -> str:
    """How a UCUM code is written on a French screen."""
    return UNIT_TEXTS.get(unit, unit)


def quantity(value: float, digits: int, unit: str) -> Fragment:
    """A Quantity whose decimals are written out (`7.10`, not `7.1`): the precision of the laboratory."""
    return Fragment(
        f'{{"value":{value:.{digits}f},"unit":"{unit_text(unit)}","system":"{UCUM}","code":"{unit}"}}'.encode()
    )


def reference(kind: str, identity: str) -> Json:
    """A literal relative reference."""
    return {"reference": f"{kind}/{identity}"}


def logical(kind: str, system: str, value: str) -> Json:
    """A reference by business identifier."""
    return {"type": kind, "identifier": {"system": system, "value": value}}


def extension(url: str, kind: str, value: object) -> Json:
    """An Extension with a `value[x]`."""
    return {"url": url, f"value{kind}": value}


def meta(minute: int, version: int, fraction: int, profile: str = "") -> Json:
    """Resource.meta; `fraction` is a number under 60,000: the milliseconds within the minute."""
    seconds, thousandths = divmod(fraction, 1000)
    result: Json = {
        "versionId": str(version),
        "lastUpdated": instant(minute, f"{seconds:02d}.{thousandths:03d}"),
    }
    if profile:
        result["profile"] = [profile]
    return result


def period(start: int, end: int | None) -> Json:
    """A Period of minutes; open while it lasts."""
    if end is None:
        return {"start": instant(start)}
    return {"start": instant(start), "end": instant(end)}
