"""Opening a release needs none of the machinery that makes one."""

import subprocess
import sys

NOT_FOR_READERS = ("etl.views", "etl.ingest", "etl.merge", "fhirpathpy", "antlr4", "fhir", "pyspark")


def test_importing_a_release_loads_neither_compiler_nor_load():
    program = f"import sys, etl.warehouse.release; print([name for name in {NOT_FOR_READERS} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
