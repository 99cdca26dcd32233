"""The demonstration hospital: a French university hospital in FHIR R4, generated from a seed.

`generate` writes an export; `identifying_values` and `read_planted` give tests the identifying values and the planted
faults in it; `readmission_risk` and `simulate` give the true risk of readmission. No real data are read, and no load
imports this package.
"""

from __future__ import annotations

from etl.synthetic.code_lists import write_code_lists
from etl.synthetic.export import Counts, export_day, generate, read_planted
from etl.synthetic.ground_truth import identifying_values
from etl.synthetic.patient_course import Course, Stay, simulate
from etl.synthetic.people import nir_key
from etl.synthetic.planted_faults import Planted
from etl.synthetic.readmission_risk import Discharge, readmission_risk

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
    "write_code_lists",
]
