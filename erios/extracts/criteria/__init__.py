"""Cohort criteria: a documented JSON form (docs/criteria.md), its canonical form, its words and its one query.

Owns the meaning of a criterion. Knows no count and no study; a value reaches SQL only as a bound parameter.
"""

from erios.extracts.criteria.canonical import canonical, canonical_json, digest
from erios.extracts.criteria.compile import cohort_query, leaves_query
from erios.extracts.criteria.kinds import LEAVES, Age, Diagnosis, Laboratory, Procedure, Sex, Stay, Treatment, Within
from erios.extracts.criteria.model import And, Criterion, Leaf, Not, Or, dump, leaves, steps
from erios.extracts.criteria.parse import parse
from erios.extracts.criteria.sql import DUCKDB, SPARK, Dialect, Query
from erios.extracts.criteria.words import describe

__all__ = [
    "DUCKDB",
    "LEAVES",
    "SPARK",
    "Age",
    "And",
    "Criterion",
    "Diagnosis",
    "Dialect",
    "Laboratory",
    "Leaf",
    "Not",
    "Or",
    "Procedure",
    "Query",
    "Sex",
    "Stay",
    "Treatment",
    "Within",
    "canonical",
    "canonical_json",
    "cohort_query",
    "describe",
    "digest",
    "dump",
    "leaves",
    "leaves_query",
    "parse",
    "steps",
]
