"""Physiology of a person: the baseline of every measured quantity, and its value during an illness.

Depends on age, sex and illnesses only, never on an identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp
from random import Random

from etl.synthetic.analytes import LABORATORY, VITALS, Analyte
from etl.synthetic.archetypes import CANCERS, Change

ANALYTES: dict[str, Analyte] = {**LABORATORY, **VITALS}

_SLOW = frozenset({"hb", "albumin", "weight", "hba1c"})
_STEADY = frozenset({"na", "k", "hb", "albumin", "temperature", "spo2", "systolic", "diastolic", "height", "weight"})
_KIDNEY_RATE = {3: (45.0, 7.0), 4: (22.0, 4.0), 5: (9.0, 2.0)}


def ckd_epi(creatinine: float, age: float, is_female: bool) -> float:
    """Filtration rate, mL/min/1.73 m², from µmol/L of creatinine (CKD-EPI 2009, without ethnicity; Levey 2009)."""
    kappa, alpha, factor = (0.7, -0.329, 1.018) if is_female else (0.9, -0.411, 1.0)
    ratio: float = creatinine / 88.4 / kappa
    rate: float = 141.0 * min(ratio, 1.0) ** alpha * max(ratio, 1.0) ** -1.209 * 0.993**age * factor
    return rate


def creatinine_of(rate: float, age: float, is_female: bool) -> float:
    """Creatinine in µmol/L that gives a filtration rate: `ckd_epi` turned round."""
    kappa, alpha, factor = (0.7, -0.329, 1.018) if is_female else (0.9, -0.411, 1.0)
    at_kappa = 141.0 * 0.993**age * factor
    power = -1.209 if rate < at_kappa else alpha
    value: float = 88.4 * kappa * (rate / at_kappa) ** (1.0 / power)
    return value


def _height(age: float, is_female: bool, z: float) -> float:
    adult = (163.0 if is_female else 176.0) + z * 6.5
    if age >= 17:
        return adult
    grown: float = 0.30 + 0.70 * min(1.0, (age / 17.0) ** 0.55)
    return adult * grown


@dataclass(slots=True)
class Body:
    """Baselines of one person; `z_height` and `adult_bmi` let children grow."""

    is_female: bool
    z_height: float
    adult_bmi: float
    base: dict[str, float]

    def baseline(self, key: str, age: float) -> float:
        """Expected value of a quantity for this person, well, at an age in years."""
        if key in ("height", "weight", "bmi"):
            return self._size(key, age)
        if age < 17 and key in _CHILD:
            return _CHILD[key](age)
        return self.base[key]

    def _size(self, key: str, age: float) -> float:
        height = _height(age, self.is_female, self.z_height)
        bmi = self.adult_bmi if age >= 17 else 15.5 + (self.adult_bmi - 15.5) * (age / 17.0) ** 2
        return {"height": height, "bmi": bmi, "weight": bmi * (height / 100) ** 2}[key]

    def measure(self, rng: Random, key: str, age: float, changes: Mapping[str, Change], strength: float) -> float:
        """A measured value: baseline, the illness at `strength` (0 well, 1 typical worst), noise, physical bounds."""
        analyte = ANALYTES[key]
        value = self.baseline(key, age)
        change = changes.get(key)
        if change is not None and strength:
            value = value * change.times**strength + change.plus * strength
        share = 0.0 if key in _STEADY else 0.02
        value += rng.gauss(0.0, 1.0) * (analyte.noise + share * value)
        least, most = analyte.possible
        return min(most, max(least, value))


_CHILD: dict[str, Callable[[float], float]] = {
    "heart_rate": lambda age: 135.0 - 3.6 * age,
    "respiratory_rate": lambda age: 36.0 - 1.2 * age,
    "systolic": lambda age: 82.0 + 1.9 * age,
    "diastolic": lambda age: 48.0 + 1.1 * age,
    "creat": lambda age: 20.0 + 2.3 * age,
    "hb": lambda age: 11.6 + 0.11 * age,
}


def strength_at(key: str, severity: float, days: float, halving: float) -> float:
    """How much of an illness is left after some days of treatment, for a quantity that follows it fast or slowly."""
    pace = 25.0 if key in _SLOW else halving
    return severity * exp(-days / pace)


def draw_body(rng: Random, age: float, is_female: bool, ill: Mapping[str, int], stage: int) -> Body:
    """Baselines that agree with age, sex and long illnesses; `stage` is the kidney disease's, 0 if none."""

    def near(mean: float, spread: float) -> float:
        return rng.gauss(mean, spread)

    old = max(0.0, age - 60.0)
    diabetes, failing = "diabetes" in ill, "heart_failure" in ill
    cancer = bool(CANCERS & ill.keys())
    well = 118.0 - 0.62 * max(0.0, age - 20.0)
    rate = max(4.0, near(*_KIDNEY_RATE[stage])) if stage else max(62.0, near(well, 9.0))
    a1c = max(6.0, near(7.6, 1.1)) if diabetes else min(5.9, near(5.35, 0.25))
    systolic = near(118.0 + 0.2 * max(0.0, age - 40.0) + (14.0 if "hypertension" in ill else 0.0), 9.0)
    bmi = near(34.5, 3.0) if "obesity" in ill else min(29.9, max(16.5, near(24.0, 2.8)))
    peptide = exp(near(3.6 + 0.035 * old, 0.5))
    peptide *= (8.0 if failing else 1.0) * (4.0 if "fibrillation" in ill else 1.0) * (1.8 if stage else 1.0)
    anaemia = (0.8 * (stage - 2) if stage else 0.0) + (1.1 if cancer else 0.0) + (0.4 if failing else 0.0)
    base = {
        "hb": near((13.4 if is_female else 14.9) - 0.02 * old - anaemia, 0.8),
        "wbc": max(3.5, near(6.8, 1.4)),
        "plt": near(250.0, 48.0),
        "crp": exp(near(0.5, 0.6)) + (4.0 if cancer else 0.0),
        "na": near(140.0 - (2.0 if failing else 0.0), 1.4),
        "k": near(4.15 + (0.35 if stage else 0.0), 0.22),
        "creat": creatinine_of(rate, age, is_female),
        "egfr": rate,
        "urea": max(2.2, near(5.2, 0.8) * (95.0 / rate) ** 0.75),
        "glucose": max(3.6, near(1.59 * a1c - 2.9, 0.8)),
        "hba1c": a1c,
        "ntprobnp": peptide,
        "troponin": exp(near(1.7, 0.3)) * (2.5 if stage else 1.0) * (1.6 if failing else 1.0),
        "lactate": near(1.1, 0.2),
        "alt": exp(near(3.1, 0.3)),
        "albumin": near(42.0 - 0.08 * old - (4.0 if cancer else 0.0), 2.4),
        "inr": near(1.04, 0.05),
        "tsh": exp(near(1.5 if "thyroid" in ill else 0.55, 0.4)),
        "ldl": max(0.8, near(4.4 if "dyslipidaemia" in ill else 3.0, 0.6) * (0.72 if "coronary" in ill else 1.0)),
        "psa": exp(near(2.2 if "prostate_cancer" in ill else 0.1, 0.6)),
        "systolic": systolic,
        "diastolic": near(systolic * 0.58 + 4.0, 5.0),
        "heart_rate": near(73.0 + (9.0 if "fibrillation" in ill else 0.0) + (4.0 if failing else 0.0), 7.0),
        "respiratory_rate": near(15.0 + (3.0 if "copd" in ill else 0.0), 1.5),
        "temperature": near(36.8, 0.15),
        "spo2": near(97.6 - (4.0 if "copd" in ill else 0.0), 0.8),
    }
    return Body(is_female, rng.gauss(0.0, 1.0), bmi, base)
