"""The true risk of an unplanned readmission within thirty days of a discharge, which a model may learn.

The formula is published in `docs/synthetic-hospital.md`; a change of one changes the other. All of its inputs are in
the export (ages, long illnesses, stays, last results of the stay).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

WINDOW_DAYS = 30


@dataclass(frozen=True, slots=True)
class Discharge:
    """What the risk looks at when a stay ends: years, counts, days, g/dL and mmol/L.

    `stays_last_year` counts the stays in bed that began in the 365 days before, this one included.
    """

    age: float
    comorbidities: int
    days: float
    stays_last_year: int
    unplanned: bool
    haemoglobin: float
    sodium: float


def readmission_risk(discharge: Discharge) -> float:
    """Probability, between 0 and 1, of an unplanned stay starting within thirty days."""
    score = (
        -3.65
        + 0.02 * (discharge.age - 60)
        + 0.35 * min(discharge.comorbidities, 6)
        + 0.04 * min(discharge.days, 30)
        + 0.40 * min(discharge.stays_last_year - 1, 4)
        + (0.55 if discharge.unplanned else 0.0)
        + 0.18 * max(0.0, 12.0 - discharge.haemoglobin)
        + 0.09 * max(0.0, 136.0 - discharge.sodium)
    )
    return 1.0 / (1.0 + exp(-score))
