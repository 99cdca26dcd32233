"""Accounts add up, and one that does not balance is refused."""

import pytest

from etl.errors import ReconciliationError
from etl.merge.reconciliation import Reconciliation, check_balance, total


def test_an_account_balances_when_every_resource_has_one_end():
    assert Reconciliation(
        resources=6, written=1, superseded=1, duplicates=1, deleted=1, objected=1, quarantined=1
    ).balances()


def test_a_lost_resource_is_an_error_that_names_the_type():
    with pytest.raises(ReconciliationError, match=r"do not balance: Patient .*nothing was published"):
        check_balance({"Encounter": Reconciliation(1, written=1), "Patient": Reconciliation(2, written=1)})


def test_the_total_is_the_sum():
    parts = {"A": Reconciliation(2, 1, written=2), "B": Reconciliation(1, written=0, quarantined=1)}
    assert total(parts).to_dict() == {
        "in": 3,
        "written": 2,
        "superseded": 0,
        "duplicates": 0,
        "deleted": 0,
        "objected": 0,
        "quarantined": 1,
        "contained": 1,
    }
