"""Is it fit to publish? Great Expectations suites over staged Parquet files.

Owns the suites' form, the gate and its Data Docs. It must never show a row's value: keys (pseudonyms), counts
and sentences only. Importing it switches the telemetry of Great Expectations off, before that is imported.
"""

import os

os.environ["GX_ANALYTICS_ENABLED"] = "false"

from validation.errors import SuiteError
from validation.gate import check_tables, prepare
from validation.report import CheckResult, StagedTable, ValidationReport

__all__ = ["CheckResult", "StagedTable", "SuiteError", "ValidationReport", "check_tables", "prepare"]
