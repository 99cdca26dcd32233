"""The operator is who the system says logged in, whatever the environment claims."""

import os
import pwd

import pytest

from erios import operator_login as operators
from erios.operator_login import current_operator

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def login_uid(tmp_path, monkeypatch):
    """Write what the kernel would say of the login."""
    file = tmp_path / "loginuid"
    monkeypatch.setattr(operators, "LOGIN_UID", file)
    return file.write_text


def test_without_a_login_the_owner_of_the_process_counts(login_uid, monkeypatch):
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.setenv("SUDO_USER", "somebody")

    login_uid("4294967295")
    assert current_operator() == ME


def test_a_kernel_without_login_uids_is_no_fault(monkeypatch, tmp_path):
    monkeypatch.setattr(operators, "LOGIN_UID", tmp_path / "missing")

    assert current_operator() == ME


def test_who_logged_in_counts_behind_sudo(login_uid):
    login_uid("1")
    assert current_operator() == pwd.getpwuid(1).pw_name


def test_a_user_without_an_entry_is_named_by_number(login_uid):
    login_uid("987654")
    assert current_operator() == "uid 987654"
