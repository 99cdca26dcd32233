"""Pseudonyms: DuckDB's macro, plain HMAC and ``pseudonym`` agree; stable, apart by type and key, collision-free."""

from __future__ import annotations

import hashlib
import hmac

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.errors import PrivacyError
from etl.privacy import PseudonymKey, bind_key, pseudonym
from tests.figures import Record

SECRETS = st.binary(min_size=32, max_size=200)
IDS = st.text(min_size=1, max_size=80).filter(lambda text: "\0" not in text and text.isprintable())


def _in_duckdb(key: PseudonymKey, text: str) -> str:
    with duckdb.connect() as connection:
        bind_key(connection, key)
        return str(connection.execute("SELECT pseudonym(?)", [text]).fetchall()[0][0])


@given(secret=SECRETS, text=IDS)
def test_the_macro_is_plain_hmac_and_the_python_function(secret, text):
    slow = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()[:32]
    key = PseudonymKey("k1", secret)
    assert (_in_duckdb(key, text), pseudonym(key, text)) == (slow, slow)


def test_a_pseudonym_is_the_same_for_ever():
    key = PseudonymKey("k1", bytes(range(32)))
    assert pseudonym(key, "Patient/42") == "91113bedf73fca4cd1cedb183aef86e7"


@given(id=IDS)
def test_pseudonyms_differ_by_resource_type_and_by_key(id):
    first, second = PseudonymKey("k1", b"a" * 32), PseudonymKey("k2", b"b" * 32)
    found = {pseudonym(key, f"{kind}/{id}") for key in (first, second) for kind in ("Patient", "Encounter")}
    assert len(found) == 4


def test_a_short_secret_is_refused():
    with pytest.raises(PrivacyError, match="at least 32 secret bytes"):
        PseudonymKey("k1", b"a" * 31)


def test_the_secret_is_not_in_the_repr():
    assert repr(PseudonymKey("k1", b"s" * 32)) == "PseudonymKey(key_id='k1')"


@pytest.mark.parametrize("keys", [200_000, pytest.param(10_000_000, marks=pytest.mark.long)])
def test_every_key_has_a_pseudonym_of_its_own(keys: int, figure: Record) -> None:
    with duckdb.connect(config={"threads": 2, "memory_limit": "3GB"}) as connection:
        bind_key(connection, PseudonymKey("k1", b"c" * 32))
        sql = """SELECT count(DISTINCT ('0x' || left(p, 16))::UBIGINT)
                 FROM (SELECT pseudonym('Patient/' || i) AS p FROM range(?) t(i))"""
        assert connection.execute(sql, [keys]).fetchone() == (keys,)
    figure("keys without a collision", f"{keys:,}")
