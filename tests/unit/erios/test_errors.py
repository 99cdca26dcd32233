"""The families of errors and their exit codes."""

from erios.errors import FAMILIES, EriosError


def test_each_family_has_its_own_exit_code():
    assert {family.__name__: family.exit_code for family in FAMILIES} == {
        "TrainingFailed": 1,
        "UsageError": 2,
        "InputError": 3,
        "KeyringError": 4,
        "ValidationBlocked": 5,
        "StorageError": 6,
        "BusyError": 7,
        "MachineError": 8,
        "RefusedError": 9,
        "InternalError": 70,
    }


def test_every_family_is_listed():
    assert set(EriosError.__subclasses__()) == set(FAMILIES)
