"""Errors of validation: one sentence each, without a row's value."""


class SuiteError(Exception):
    """A suite that cannot be run: the file, the wrong name, what is allowed, the next step."""
