"""What goes wrong in this wing, each as one sentence without a row's value."""


class SuiteError(Exception):
    """A suite that cannot be run: the file, the offending name, what is allowed, the next step."""
