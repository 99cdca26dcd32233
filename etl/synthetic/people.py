"""Invented identities: names, birth, address, contacts, INS-NIR and IPP of a person.

Two people of a hospital never have the same INS-NIR or IPP (up to ``len(PLACES) * 999`` people). Names are random
combinations of the lists in `people_tables`.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from etl.synthetic.clock import DAYS_A_YEAR, day_of, day_text
from etl.synthetic.people_tables import (
    ABROAD,
    FAMILY_NAMES,
    FEMALE_NAMES,
    HOME_TOWN,
    LANDLINE_PREFIXES,
    MAIL_HOSTS,
    MALE_NAMES,
    MOBILE_PREFIX,
    PARTICLES,
    STREET_KINDS,
    STREET_NAMES,
    TOWNS,
    Town,
)

PLACES = TOWNS + ABROAD
_NUMBERS_PRIME = 999_999_937
_CORSICA_SPLIT = day_of(1976, 1, 1)
_MAIL_LETTERS = str.maketrans("àâäçéèêëîïôöùûüÿœ' ", "aaaceeeeiioouuuyo-.")


@dataclass(frozen=True, slots=True)
class Contact:
    """A relative: name, relation code of HL7 v3 RoleCode with its French label, phone."""

    family: str
    given: str
    relation: str
    relation_label: str
    phone: str


@dataclass(frozen=True, slots=True)
class Person:
    """One invented patient's identity. Days count from 1970-01-01."""

    index: int
    is_female: bool
    birth_day: int
    birth_text: str
    birth_place: Town
    family: str
    usual_family: str
    givens: tuple[str, ...]
    nir: str
    ipp: str
    line: str
    town: Town
    phones: tuple[tuple[str, str], ...]
    email: str
    contact: Contact | None

    def age_at(self, day: int) -> float:
        """Age in years on a day."""
        return (day - self.birth_day) / DAYS_A_YEAR

    @property
    def called(self) -> str:
        """First and usual family name, as letters write it."""
        return f"{self.givens[0]} {self.usual_family or self.family}"


def nir_key(number: str) -> str:
    """Two-digit key of a 13-character NIR: 97 minus its remainder by 97; 2A counts as 19 and 2B as 18 (INSEE)."""
    digits = number.replace("2A", "19").replace("2B", "18")
    return f"{97 - int(digits) % 97:02d}"


def spread_number(order: int, seed: int) -> int:
    """A 9-digit number, different for every order under a billion, without visible sequence."""
    return (order * 48_271 + seed * 7_919 + 104_729) % _NUMBERS_PRIME


def draw_family(rng: Random) -> str:
    """A family name: one in twelve double-barrelled, one in sixteen with a particle."""
    name = rng.choice(FAMILY_NAMES)
    kind = rng.random()
    if kind < 0.08:
        return f"{name}-{rng.choice(FAMILY_NAMES)}"
    if kind < 0.14:
        return rng.choice(PARTICLES) + name
    return name


def draw_given(rng: Random, is_female: bool) -> str:
    """A first name for a sex."""
    return rng.choice(FEMALE_NAMES if is_female else MALE_NAMES)


def draw_phone(rng: Random, is_mobile: bool) -> str:
    """A phone number of the ranges reserved for fiction, written in one of the usual manners."""
    prefix = MOBILE_PREFIX if is_mobile else rng.choice(LANDLINE_PREFIXES)
    digits = f"{prefix}{rng.randrange(10_000):04d}"
    manner = rng.random()
    if manner < 0.2:
        return digits
    pairs = [digits[start : start + 2] for start in range(0, 10, 2)]
    if manner < 0.35:
        return "+33 " + pairs[0][1] + " " + " ".join(pairs[1:])
    return (" " if manner < 0.8 else ".").join(pairs)


def draw_line(rng: Random) -> str:
    """The street line of an address."""
    repeat = " bis" if rng.random() < 0.06 else ""
    return f"{rng.randint(1, 180)}{repeat} {rng.choice(STREET_KINDS)} {rng.choice(STREET_NAMES)}"


def _draw_age(rng: Random) -> float:
    kind = rng.random()
    if kind < 0.05:
        return rng.uniform(0.1, 2.0)
    if kind < 0.13:
        return rng.uniform(2.0, 18.0)
    if kind < 0.38:
        return rng.uniform(18.0, 45.0)
    return min(101.0, max(45.0, rng.gauss(69.0, 13.0)))


def _nir(is_female: bool, birth_day: int, month_known: bool, place: Town, order: int) -> str:
    year, month, _ = day_text(birth_day).split("-")
    code = place.insee
    if birth_day < _CORSICA_SPLIT and code[:2] in ("2A", "2B"):
        code = "20" + code[2:]
    number = f"{2 if is_female else 1}{year[2:]}{month if month_known else '20'}{code}{order:03d}"
    return number + nir_key(number)


def _birth_text(rng: Random, birth_day: int) -> str:
    """Mostly a full date; for one in 250 only the year is known, for as many only year and month."""
    kind = rng.random()
    text = day_text(birth_day)
    if kind < 0.004:
        return text[:4]
    return text[:7] if kind < 0.008 else text


def _email(rng: Random, given: str, family: str) -> str:
    local = f"{given}.{family}".lower().translate(_MAIL_LETTERS)
    return f"{local}{rng.randint(1, 99)}@{rng.choice(MAIL_HOSTS)}"


def _contact(rng: Random, family: str, is_child: bool, is_female: bool) -> Contact:
    if is_child:
        mother = rng.random() < 0.6
        code, label = ("MTH", "mère") if mother else ("FTH", "père")
        return Contact(family, draw_given(rng, mother), code, label, draw_phone(rng, True))
    kind = rng.random()
    if kind < 0.5:
        code, label = ("HUSB", "époux") if is_female else ("WIFE", "épouse")
        return Contact(family, draw_given(rng, not is_female), code, label, draw_phone(rng, True))
    daughter = kind < 0.78
    code, label = ("DAUC", "fille") if daughter else ("SONC", "fils")
    return Contact(draw_family(rng), draw_given(rng, daughter), code, label, draw_phone(rng, True))


def draw_person(rng: Random, index: int, seed: int, today: int) -> Person:
    """The `index`-th person of the hospital of `seed`, alive on the day `today` unless their course says else."""
    is_female = rng.random() < 0.53
    age = _draw_age(rng)
    birth_day = today - int(age * DAYS_A_YEAR)
    birth_text = _birth_text(rng, birth_day)
    slot, turn = index % len(PLACES), index // len(PLACES)
    place = PLACES[(slot * 37) % len(PLACES)]
    family = draw_family(rng)
    usual = draw_family(rng) if is_female and age > 25 and rng.random() < 0.45 else ""
    givens = tuple(draw_given(rng, is_female) for _ in range(rng.choice((1, 2, 2, 3))))
    phones = [("mobile", draw_phone(rng, True))] if rng.random() < 0.85 else []
    if rng.random() < 0.4 or not phones:
        phones.append(("home", draw_phone(rng, False)))
    return Person(
        index=index,
        is_female=is_female,
        birth_day=birth_day,
        birth_text=birth_text,
        birth_place=place,
        family=family,
        usual_family=usual,
        givens=givens,
        nir=_nir(is_female, birth_day, len(birth_text) > 4, place, 1 + (turn * 389 + seed) % 999),
        ipp=f"8{spread_number(index, seed):09d}",
        line=draw_line(rng),
        town=HOME_TOWN if rng.random() < 0.35 else rng.choice(TOWNS),
        phones=tuple(phones),
        email=_email(rng, givens[0], usual or family) if age > 16 and rng.random() < 0.6 else "",
        contact=_contact(rng, usual or family, age < 18, is_female) if rng.random() < 0.8 else None,
    )
