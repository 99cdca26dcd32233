"""A model whose opening would run code is not kept; the one that our own export writes is."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.errors import SandboxError
from experiments.sandbox.model_file import check_model

Members = dict[str, bytes]


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def pickled(content: object) -> bytes:
    """As `torch.save` writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
        archive.writestr("archive/version", "3")
    return buffer.getvalue()


def members() -> Members:
    weights = {"config": {"0.weight": {"path_name": "weight_0", "is_param": True, "use_pickle": False}}}
    graph = {
        "graph_module": {
            "sizes": [{"as_expr": {"expr_str": "Mod(Symbol('s77', positive=True, integer=True), Integer(8))"}}]
        }
    }
    return {
        "m/data/weights/weight_0": b"\0" * 48,
        "m/data/weights/model_weights_config.json": json.dumps(weights).encode(),
        "m/data/constants/model_constants_config.json": b'{"config": {}}',
        "m/models/model.json": json.dumps(graph).encode(),
        "m/data/sample_inputs/model.pt": b"",
        "m/archive_format": b"pt2",
        "m/archive_version": b"0",
        "m/.data/version": b"3\n",
        "m/byteorder": b"little",
        "m/.data/serialization_id": b"1" * 40,
    }


def written(path: Path, content: Members, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return path


def use_pickle(content: Members) -> None:
    name = "m/data/weights/model_weights_config.json"
    content[name] = content[name].replace(b'"use_pickle": false', b'"use_pickle": true')
    content["m/data/weights/weight_0"] = pickled(Evil())


def custom_object(content: Members) -> None:
    content["m/data/constants/custom_obj_0"] = pickled(Evil())


def sample_inputs(content: Members) -> None:
    content["m/data/sample_inputs/model.pt"] = pickled(Evil())


def expression(content: Members) -> None:
    content["m/models/model.json"] = json.dumps({"a": [{"expr_str": "__import__('os').system('true')"}]}).encode()


def expression_by_attribute(content: Members) -> None:
    content["m/models/model.json"] = json.dumps({"a": [{"expr_str": "s0.__class__"}]}).encode()


def library(content: Members) -> None:
    content["m/data/aotinductor/model/x.so"] = b"\x7fELF"


def leads_out(content: Members) -> None:
    content["../planted"] = b"x"


def test_what_export_writes_is_kept(tmp_path: Path) -> None:
    check_model(written(tmp_path / "model.pt2", members()))


@pytest.mark.parametrize(
    "change",
    [use_pickle, custom_object, sample_inputs, expression, expression_by_attribute, library, leads_out],
    ids=lambda change: change.__name__,
)
def test_a_model_that_would_run_code_is_refused(tmp_path: Path, change: Callable[[Members], None]) -> None:
    content = members()
    change(content)

    with pytest.raises(SandboxError):
        check_model(written(tmp_path / "model.pt2", content))


@pytest.mark.parametrize("content", [b"", b"not a graph at all", pickle.dumps(Evil())], ids=["empty", "text", "pickle"])
def test_what_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(content)

    with pytest.raises(SandboxError, match="no exported graph"):
        check_model(path)


def test_a_packed_archive_could_unpack_to_anything(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="packed"):
        check_model(written(tmp_path / "model.pt2", members(), zipfile.ZIP_DEFLATED))
