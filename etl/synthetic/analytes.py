"""Measured quantities: LOINC code, unit, reference range, noise and bounds of each.

Values are drawn by `etl.synthetic.physiology` from the baselines of a person.
"""

from __future__ import annotations

from typing import NamedTuple

Limits = tuple[float | None, float | None]
"""Lower and upper limit; None: there is none."""


class Analyte(NamedTuple):
    """One measured quantity. `noise` is the day-to-day spread; `possible` bounds what is physically possible."""

    loinc: str
    display: str
    label: str
    unit: str
    digits: int
    noise: float
    possible: tuple[float, float]
    normal: Limits = (None, None)
    normal_female: Limits | None = None

    def reference(self, is_female: bool) -> Limits:
        """Lower and upper reference limits for a sex."""
        return self.normal_female if is_female and self.normal_female else self.normal


LABORATORY: dict[str, Analyte] = {
    "hb": Analyte(
        "718-7",
        "Hemoglobin [Mass/volume] in Blood",
        "Hémoglobine",
        "g/dL",
        1,
        0.35,
        (4.0, 20.0),
        (13.0, 17.0),
        (12.0, 16.0),
    ),
    "wbc": Analyte(
        "6690-2",
        "Leukocytes [#/volume] in Blood by Automated count",
        "Leucocytes",
        "10*9/L",
        2,
        0.9,
        (0.5, 60.0),
        (4.0, 10.0),
    ),
    "plt": Analyte(
        "777-3",
        "Platelets [#/volume] in Blood by Automated count",
        "Plaquettes",
        "10*9/L",
        0,
        22,
        (10, 1000),
        (150, 400),
    ),
    "crp": Analyte(
        "1988-5",
        "C reactive protein [Mass/volume] in Serum or Plasma",
        "Protéine C réactive",
        "mg/L",
        1,
        0.8,
        (0.3, 500.0),
        (None, 5.0),
    ),
    "na": Analyte(
        "2951-2", "Sodium [Moles/volume] in Serum or Plasma", "Sodium", "mmol/L", 0, 1.6, (110, 165), (136, 145)
    ),
    "k": Analyte(
        "2823-3", "Potassium [Moles/volume] in Serum or Plasma", "Potassium", "mmol/L", 1, 0.25, (2.0, 8.0), (3.5, 5.0)
    ),
    "creat": Analyte(
        "14682-9",
        "Creatinine [Moles/volume] in Serum or Plasma",
        "Créatinine",
        "umol/L",
        0,
        3.5,
        (10, 1500),
        (60, 110),
        (45, 90),
    ),
    "egfr": Analyte(
        "62238-1",
        "Glomerular filtration rate/1.73 sq M.predicted [Volume Rate/Area] in Serum, Plasma or Blood by"
        " Creatinine-based formula (CKD-EPI)",
        "Débit de filtration glomérulaire estimé (CKD-EPI 2009)",
        "mL/min/{1.73_m2}",
        0,
        0,
        (2, 180),
        (60, None),
    ),
    "urea": Analyte(
        "22664-7", "Urea [Moles/volume] in Serum or Plasma", "Urée", "mmol/L", 1, 0.6, (0.8, 70.0), (2.5, 7.5)
    ),
    "glucose": Analyte(
        "14749-6", "Glucose [Moles/volume] in Serum or Plasma", "Glucose", "mmol/L", 1, 0.7, (1.5, 60.0), (3.9, 6.1)
    ),
    "hba1c": Analyte(
        "4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "Hémoglobine A1c", "%", 1, 0.15, (3.5, 18.0), (4.0, 6.0)
    ),
    "ntprobnp": Analyte(
        "33762-6",
        "Natriuretic peptide.B prohormone N-Terminal [Mass/volume] in Serum or Plasma",
        "NT-proBNP",
        "pg/mL",
        0,
        12,
        (5, 70000),
        (None, 300),
    ),
    "troponin": Analyte(
        "67151-1",
        "Troponin T.cardiac [Mass/volume] in Serum or Plasma by High sensitivity method",
        "Troponine T hypersensible",
        "ng/L",
        0,
        1.5,
        (3, 20000),
        (None, 14),
    ),
    "lactate": Analyte(
        "2524-7", "Lactate [Moles/volume] in Serum or Plasma", "Lactate", "mmol/L", 1, 0.2, (0.3, 30.0), (0.5, 2.2)
    ),
    "alt": Analyte(
        "1742-6",
        "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma",
        "Alanine aminotransférase",
        "U/L",
        0,
        5,
        (4, 5000),
        (None, 45),
        (None, 34),
    ),
    "albumin": Analyte(
        "1751-7", "Albumin [Mass/volume] in Serum or Plasma", "Albumine", "g/L", 0, 1.5, (10, 60), (35, 50)
    ),
    "inr": Analyte(
        "6301-6", "INR in Platelet poor plasma by Coagulation assay", "INR", "{INR}", 2, 0.06, (0.7, 12.0), (0.8, 1.2)
    ),
    "tsh": Analyte(
        "3016-3", "Thyrotropin [Units/volume] in Serum or Plasma", "TSH", "m[IU]/L", 2, 0.3, (0.01, 100.0), (0.4, 4.0)
    ),
    "ldl": Analyte(
        "39469-2",
        "Cholesterol in LDL [Moles/volume] in Serum or Plasma by calculation",
        "Cholestérol LDL",
        "mmol/L",
        2,
        0.3,
        (0.3, 12.0),
        (None, 4.1),
    ),
    "psa": Analyte(
        "2857-1",
        "Prostate specific Ag [Mass/volume] in Serum or Plasma",
        "Antigène prostatique spécifique",
        "ng/mL",
        2,
        0.3,
        (0.01, 3000.0),
        (None, 4.0),
    ),
}

VITALS: dict[str, Analyte] = {
    "systolic": Analyte(
        "8480-6", "Systolic blood pressure", "Pression artérielle systolique", "mm[Hg]", 0, 8, (50, 260), (100, 140)
    ),
    "diastolic": Analyte(
        "8462-4", "Diastolic blood pressure", "Pression artérielle diastolique", "mm[Hg]", 0, 6, (25, 150), (60, 90)
    ),
    "heart_rate": Analyte("8867-4", "Heart rate", "Fréquence cardiaque", "/min", 0, 7, (25, 230)),
    "respiratory_rate": Analyte("9279-1", "Respiratory rate", "Fréquence respiratoire", "/min", 0, 1.5, (6, 70)),
    "temperature": Analyte("8310-5", "Body temperature", "Température", "Cel", 1, 0.25, (33, 42.0), (36.0, 38.0)),
    "spo2": Analyte(
        "59408-5",
        "Oxygen saturation in Arterial blood by Pulse oximetry",
        "Saturation en oxygène (oxymétrie de pouls)",
        "%",
        0,
        0.9,
        (60, 100),
        (94, 100),
    ),
    "weight": Analyte("29463-7", "Body weight", "Poids", "kg", 1, 0.5, (2.0, 250.0)),
    "height": Analyte("8302-2", "Body height", "Taille", "cm", 0, 0.4, (45, 215)),
    "bmi": Analyte(
        "39156-5", "Body mass index (BMI) [Ratio]", "Indice de masse corporelle", "kg/m2", 1, 0, (9, 80), (18.5, 25.0)
    ),
}

BLOOD_PRESSURE = ("85354-9", "Blood pressure panel with all children optional", "Pression artérielle")

PANELS: dict[str, tuple[str, ...]] = {
    "blood_count": ("hb", "wbc", "plt"),
    "kidney": ("na", "k", "creat", "egfr", "urea"),
    "sugar": ("glucose",),
    "diabetes": ("hba1c", "glucose"),
    "inflammation": ("crp",),
    "heart": ("ntprobnp", "troponin"),
    "shock": ("lactate",),
    "liver": ("alt", "albumin"),
    "clotting": ("inr",),
    "thyroid": ("tsh",),
    "lipids": ("ldl",),
    "prostate": ("psa",),
}
"""Which analytes are ordered together."""
