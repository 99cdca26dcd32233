"""Validation: Great Expectations suites over staged Parquet files decide whether a release may be published.

Results and Data Docs never show a row's value: keys (pseudonyms), counts and sentences only. Importing this package
switches the telemetry of Great Expectations off, before that is imported.
"""

import os

os.environ["GX_ANALYTICS_ENABLED"] = "false"

from validation.errors import SuiteError
from validation.gate import check_tables, prepare
from validation.report import CheckResult, Severity, StagedTable, ValidationReport, failed_count

__all__ = [
    "CheckResult",
    "Severity",
    "StagedTable",
    "SuiteError",
    "ValidationReport",
    "check_tables",
    "failed_count",
    "prepare",
]
