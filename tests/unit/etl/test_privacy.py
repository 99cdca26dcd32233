"""Golden pairs of the privacy rules."""

import duckdb
import pytest

from etl.errors import PrivacyError
from etl.privacy import RULES, check_rule


def _rule(name, value, kind="VARCHAR"):
    expression = RULES[name].sql("x", kind)
    return duckdb.execute(f"SELECT ({expression})::VARCHAR FROM (SELECT CAST(? AS {kind}) AS x)", [value]).fetchall()[
        0
    ][0]


@pytest.mark.parametrize(
    ("rule", "value", "kept"),
    [
        ("keep", "I10", "I10"),
        ("date:day", "2024-05-06T10:11:12+02:00", "2024-05-06"),
        ("date:month", "2024-05-06", "2024-05"),
        ("date:month", "2024", "2024"),
        ("date:month", "2024-05-06T10:11:12+02:00", "2024-05"),
        ("date:year", "2024-05-06", "2024"),
        ("postcode:departement", "35042", "35"),
        ("postcode:departement", "20090", "2A"),
        ("postcode:departement", "20200", "2B"),
        ("postcode:departement", "97410", "974"),
        ("postcode:departement", "SW1A 1AA", None),
        ("postcode:departement", "00100", None),
        ("note", "Mme Martin a toussé", None),
    ],
)
def test_a_rule_keeps_only_what_it_may(rule, value, kept):
    assert _rule(rule, value) == kept


@pytest.mark.parametrize(
    ("rule", "kind", "cut"),
    [
        ("date:day", "TIMESTAMP", "2024-05-06 00:00:00"),
        ("date:month", "DATE", "2024-05-01"),
        ("date:month", "TIMESTAMP", "2024-05-01 00:00:00"),
        ("date:year", "DATE", "2024-01-01"),
    ],
)
def test_a_typed_date_is_cut_to_the_first_of_its_unit(rule, kind, cut):
    assert _rule(rule, "2024-05-06 10:11:12", kind) == cut


@pytest.mark.parametrize("rule", [None, "forget"])
def test_a_column_without_a_known_rule_is_refused_by_name(rule):
    with pytest.raises(PrivacyError, match=r"patient\.family.*pseudonym"):
        check_rule("patient", "family", rule)
