"""The roof of the workbench: it composes the wings (etl, validation) for the people who use them.

Importing it switches off the telemetry of every dependency before that dependency can be imported; it must
never import one of them itself.
"""

import os

SILENCED = {
    "GX_ANALYTICS_ENABLED": "false",  # Great Expectations: usage events
    "MLFLOW_DISABLE_TELEMETRY": "true",  # MLflow: usage events, client and server
    "HF_HUB_OFFLINE": "1",  # Hugging Face libraries: no look-up of models
    "DO_NOT_TRACK": "1",  # the shared convention of many command lines
}
"""Environment variables that keep dependencies from calling out (docs/design.md §7)."""

os.environ.update(SILENCED)
