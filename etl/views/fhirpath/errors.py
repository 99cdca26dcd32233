"""Errors of FHIRPath expressions."""


class PathError(Exception):
    """An expression that cannot be compiled: what is wrong; the compiler adds the view and the JSON path."""


class UnknownElementError(PathError):
    """A step to an element that the type does not have."""
