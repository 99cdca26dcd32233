"""Golden pairs of the privacy rules."""

import hashlib
import hmac

import duckdb
import pytest

from etl.errors import PrivacyError
from etl.privacy import RULES, PseudonymKey, bind_key, check_rule, pseudonym


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


@pytest.mark.parametrize(
    ("postcode", "kept"),
    [
        ("20000", "2A"),
        ("20199", "2A"),
        ("01000", "01"),
        ("00999", None),
        ("96999", "96"),
        ("97000", "970"),
        ("3504", None),
        ("350422", None),
        ("3504x", None),
    ],
)
def test_a_postcode_keeps_its_departement_and_no_more(postcode, kept):
    assert _rule("postcode:departement", postcode) == kept


@pytest.mark.parametrize(
    ("rule", "kind", "kept"),
    [
        ("date:day", "TIMESTAMP", "2024-05-06 00:00:00"),
        ("date:month", "TIMESTAMP", "2024-05-01 00:00:00"),
        ("date:month", "DATE", "2024-05-01"),
        ("date:year", "DATE", "2024-01-01"),
    ],
)
def test_a_typed_date_is_cut_to_the_first_instant_of_its_unit(rule, kind, kept):
    assert _rule(rule, "2024-05-06 10:11:12", kind) == kept


SECRETS = {32: bytes(range(32)), 64: bytes(range(64)), 65: bytes(range(65))}
"""By length: shorter than a block of the digest, as long, and longer."""
GOLDEN = {
    32: "91113bedf73fca4cd1cedb183aef86e7",
    64: "d61dd7a0fd1377bb7de80b3ef96fcd94",
    65: "1dd04002125c5229f6ad5def8772f855",
}


@pytest.mark.parametrize("length", SECRETS)
def test_a_pseudonym_is_the_same_for_ever_in_python_and_in_sql(length):
    key = PseudonymKey("k1", SECRETS[length])
    with duckdb.connect() as connection:
        bind_key(connection, key)
        in_sql = connection.execute("SELECT pseudonym('Patient/42')").fetchall()[0][0]

    assert pseudonym(key, "Patient/42") == in_sql == GOLDEN[length]
    assert hmac.new(key.secret, b"Patient/42", "sha256").hexdigest().startswith(in_sql)


def test_a_rule_of_pseudonyms_and_one_that_keeps_are_what_they_say():
    assert RULES["pseudonym"].sql("x", "VARCHAR") == "pseudonym(x)"
    assert RULES["keep"].sql("x", "INTEGER") == "x"
    closed = ("code", "display", "unit", "code-system", "word", "drop-unless-extract")
    assert {RULES[rule].sql("x", "VARCHAR") for rule in closed} == {"CAST(NULL AS VARCHAR)"}
    assert RULES["note"].sql("x", "BIGINT") == "CAST(NULL AS BIGINT)"


def test_a_content_hash_depends_on_text_and_key():
    def content(secret, text):
        with duckdb.connect() as connection:
            bind_key(connection, PseudonymKey("k1", secret))
            (found,) = connection.execute("SELECT content_hash(?), hash(?)::VARCHAR", [text, text]).fetchall()
        return found

    value, plain = content(SECRETS[32], "a record")
    key = hmac.digest(SECRETS[32], b"content hash", "sha256").ljust(64, b"\0")
    assert value == int(hashlib.sha256(key + plain.encode()).hexdigest()[:15], 16)
    assert content(SECRETS[32], "another record")[0] != value != content(SECRETS[64], "a record")[0]


def test_a_secret_of_31_bytes_is_too_short_and_one_of_32_is_not():
    assert PseudonymKey("k1", b"a" * 32).key_id == "k1"
    with pytest.raises(PrivacyError, match="at least 32 secret bytes"):
        PseudonymKey("k1", b"a" * 31)


def test_a_known_rule_passes_the_check():
    assert check_rule("patient", "family", "note") == "note"
    with pytest.raises(PrivacyError, match=r"patient\.family has no erios/privacy tag; choose one of keep, "):
        check_rule("patient", "family", None)
    with pytest.raises(PrivacyError, match="unknown privacy rule 'forget'"):
        check_rule("patient", "family", "forget")
