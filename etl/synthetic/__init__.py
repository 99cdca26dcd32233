"""The demonstration hospital: a French university hospital in FHIR R4, invented from a seed.

Owns the generator (`generate`), the truth that leak tests need (`identifying_values`), the list of planted
faults (`read_planted`) and the true readmission risk (`readmission_risk`, `simulate`). It must never read
real data, nor be imported by a load.
"""

from __future__ import annotations

from etl.synthetic.course import Course, Stay, simulate
from etl.synthetic.export import Counts, export_day, generate, read_planted
from etl.synthetic.faults import Planted
from etl.synthetic.people import nir_key
from etl.synthetic.risk import Discharge, readmission_risk
from etl.synthetic.truth import identifying_values

__all__ = [
    "Counts",
    "Course",
    "Discharge",
    "Planted",
    "Stay",
    "export_day",
    "generate",
    "identifying_values",
    "nir_key",
    "read_planted",
    "readmission_risk",
    "simulate",
]
