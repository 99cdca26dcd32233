"""What a training inside the sandbox may say to the process that watches it, and what it is answered.

Owns the forms and their limits. Every message is one line of JSON; what is not exactly one of these forms ends the run.
"""

from __future__ import annotations

import posixpath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from experiments.errors import SandboxError

MOST_BYTES = 1_000_000
"""Of one message."""


def _is_normal(name: str) -> str:
    """ValueError for what MLflow takes for a path that leads elsewhere."""
    if posixpath.normpath(name) != name:
        raise ValueError("not in normal form")
    return name


Name = Annotated[str, Field(pattern=r"^\w[\w ./:\-]{0,199}\Z"), AfterValidator(_is_normal)]
Number = Annotated[float, Field(allow_inf_nan=True)]
Sentence = Annotated[str, Field(max_length=1000)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings", regex_engine="python-re")


class Metrics(_Message):
    """Figures of one step."""

    kind: Literal["metrics"] = "metrics"
    values: Annotated[dict[Name, Number], Field(max_length=2000)]
    step: Annotated[int, Field(ge=0, lt=2**53)]


class Params(_Message):
    """Settings of the bundle, as text."""

    kind: Literal["params"] = "params"
    values: Annotated[dict[Name, Annotated[str, Field(max_length=6000)]], Field(max_length=1000)]


class File(_Message):
    """A file that stands in the output folder now: the configuration, the evaluation's table, a picture."""

    kind: Literal["file"] = "file"
    name: Annotated[str, Field(pattern=r"^(config\.json|evaluation\.json|pictures/\w[\w .\-]{0,79}\.png)\Z")]


class Verify(_Message):
    """May the run go on? The process outside checks every right, and answers."""

    kind: Literal["verify"] = "verify"


class Trained(_Message):
    """All epochs are trained; ``weights``: the digest that all ranks agree on."""

    kind: Literal["trained"] = "trained"
    weights: Annotated[str, Field(pattern=r"^[0-9a-f]{64}\Z")]


class Model(_Message):
    """The exported network stands in the output folder, with an example of its input and the answer to it."""

    kind: Literal["model"] = "model"
    metadata: Annotated[dict[Name, Annotated[str, Field(max_length=2000)]], Field(max_length=20)]


class Ended(_Message):
    """The last message. ``preempted``, ``stopped`` and ``forbidden`` repeat what it was told."""

    kind: Literal["ended"] = "ended"
    how: Literal["done", "failed", "preempted", "stopped", "forbidden"]
    reason: Sentence = ""


class Stop(_Message):
    """To the training: leave, after a checkpoint where the run may go on."""

    kind: Literal["stop"] = "stop"
    how: Literal["failed", "preempted", "stopped", "forbidden"]
    reason: Sentence


class Verified(_Message):
    """To the training: the answer to ``Verify``; with a reason, it may not go on."""

    kind: Literal["verified"] = "verified"
    how: Literal["", "stopped", "forbidden"] = ""
    reason: Sentence = ""


class Begin(_Message):
    """To the training, first of all: what it is to do, and its rank."""

    kind: Literal["begin"] = "begin"
    spec: dict[str, Any]
    rank: dict[str, Any]


FromInside = Metrics | Params | File | Verify | Trained | Model | Ended
FromOutside = Stop | Verified | Begin
_INSIDE: TypeAdapter[FromInside] = TypeAdapter(Annotated[FromInside, Field(discriminator="kind")])
_OUTSIDE: TypeAdapter[FromOutside] = TypeAdapter(Annotated[FromOutside, Field(discriminator="kind")])


def from_inside(line: bytes) -> FromInside:
    """A message of the training; SandboxError names the first field that is wrong, and repeats no value."""
    try:
        return _INSIDE.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise SandboxError(f"the training broke the protocol ({first['type']})") from None


def from_outside(line: bytes) -> FromOutside:
    """A message to the training."""
    return _OUTSIDE.validate_json(line)


def shortened(text: str) -> str:
    """A sentence that fits into a message: printable, on one line."""
    return "".join(char if char.isprintable() else " " for char in text)[:1000]
