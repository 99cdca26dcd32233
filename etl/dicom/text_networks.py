"""The networks that find and read text: files of the package ``rapidocr-onnxruntime``, run by ONNX Runtime.

The package's own code is not imported: it would load OpenCV, which wants libraries of a desktop.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@cache
def network(name: str) -> Any:
    """A network on one core, because a load has a process for each of them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(_folder() / name, options, providers=["CPUExecutionProvider"])


def _folder() -> Path:
    spec = find_spec("rapidocr_onnxruntime")
    assert spec is not None
    assert spec.origin
    return Path(spec.origin).parent / "models"
