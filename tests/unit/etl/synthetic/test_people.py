"""Invented identities: legal numbers, no two alike, French in their spelling."""

from __future__ import annotations

import pytest

from etl.synthetic import export_day, nir_key, simulate
from etl.synthetic.hospital import luhn_digit
from etl.synthetic.people import PLACES
from etl.synthetic.people_tables import FAMILY_NAMES, FEMALE_NAMES, MALE_NAMES, TOWNS


@pytest.fixture(scope="module")
def people():
    return [simulate(5, index, export_day(5)).person for index in range(1500)]


@pytest.mark.parametrize(
    ("number", "key"),
    [
        ("2550814168025", "38"),  # a specimen that is widely printed
        ("180032A004001", f"{97 - 1800319004001 % 97:02d}"),
        ("280122B033999", f"{97 - 2801218033999 % 97:02d}"),
    ],
)
def test_nir_key_follows_the_rule_of_97_and_of_corsica(number, key):
    assert nir_key(number) == key


def test_nir_tells_sex_year_and_place_of_birth(people):
    for person in people:
        assert person.nir[0] == ("2" if person.is_female else "1")
        assert person.nir[1:3] == person.birth_text[2:4]
        assert person.nir[13:] == nir_key(person.nir[:13])
        assert len(person.nir) == 15


def test_corsican_births_carry_20_before_1976_and_2a_or_2b_after(people):
    islanders = [person for person in people if person.birth_place.insee[:2] in ("2A", "2B")]
    for person in islanders:
        wanted = "20" if person.birth_day < 2191 else person.birth_place.insee[:2]
        assert person.nir[5:7] == wanted
    assert len({person.nir[5:7] for person in islanders}) >= 2


def test_no_two_people_share_a_number(people):
    assert len({person.nir for person in people}) == len(people)
    assert len({person.ipp for person in people}) == len(people)


def test_names_have_accents_hyphens_apostrophes_and_particles(people):
    families = " ".join(person.family for person in people)
    assert all(sign in families for sign in ("é", "ç", "-", "'", "de ", "d'"))
    assert any("-" in person.givens[0] for person in people)


def test_people_live_overseas_and_in_corsica_too(people):
    departments = {person.town.postcode[:3] for person in people}
    assert {"971", "972", "973", "974", "976"} <= departments
    assert {"200", "202"} & departments


def test_phones_are_of_the_ranges_kept_for_fiction(people):
    for person in people:
        for _, phone in person.phones:
            digits = "".join(filter(str.isdigit, phone.replace("+33", "0")))
            assert digits[:6] in {"063998", "019900", "026191", "035301", "046571", "053649"}
            assert len(digits) == 10


def test_mail_hosts_are_reserved_for_examples(people):
    assert {person.email.split("@")[1] for person in people if person.email} == {
        "example.org",
        "example.com",
        "example.net",
    }


def test_the_lists_hold_no_double_and_every_town_agrees_with_its_department():
    for names in (FEMALE_NAMES, MALE_NAMES, FAMILY_NAMES, PLACES):
        assert len(set(names)) == len(names)
    for town in TOWNS:
        department = town.insee[:2].replace("2A", "20").replace("2B", "20")
        assert town.postcode[:2] == department
        assert len(town.insee) == len(town.postcode) == 5


def test_luhn_digit_of_a_known_number():
    assert luhn_digit("7992739871") == "3"
