"""Bundles and contained resources: one JSON text in, the resources it holds out, with references made canonical.

Owns the rewriting of ``urn:uuid:`` and absolute references through ``fullUrl`` (FHIR R4, Bundle §3.6.1) and of
``#local`` references to contained resources. Texts are cut out of the original bytes, never re-serialised, so
decimals keep every digit. It must never quote what it read in a message.

A contained resource gets the deterministic key ``Type/ParentType/parent-id#local-id``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

_REFERENCE = re.compile(rb'("reference"\s*:\s*")((?:urn:|https?:|#)[^"\\]*)"')
_MAX_DEPTH = 3


@dataclass(frozen=True)
class Document:
    """One resource text: its path (``part``) in the line, its id where the Bundle gives one, and the action.

    ``action`` is ``put`` or ``delete``; ``reason`` is set when the entry cannot be used.
    """

    part: str
    text: bytes
    given_id: str | None = None
    action: str = "put"
    type: str | None = None
    reason: str | None = None


class _Request(msgspec.Struct):
    method: str = ""
    url: str = ""


class _Entry(msgspec.Struct):
    fullUrl: str = ""  # noqa: N815 - FHIR's name
    resource: msgspec.Raw = msgspec.Raw()
    request: _Request | None = None


class _Head(msgspec.Struct):
    resourceType: str = ""  # noqa: N815 - FHIR's name
    id: str = ""


class _Bundle(_Head):
    entry: list[msgspec.Raw] = []


class _Container(_Head):
    contained: list[msgspec.Raw] = []


class _Parts(_Head):
    entry: list[msgspec.Raw] = []
    contained: list[msgspec.Raw] = []


ERASED = b"null"
"""Stands in a landed Bundle, or in a resource's ``contained``, for a part that was erased; such a part is passed
over, and those after it keep their number."""


def expand(text: bytes, *, part: str = "", given_id: str | None = None, depth: int = 0) -> Iterator[Document]:
    """The resources in one JSON text: a Bundle's entries, a resource and those it contains, or itself.

    A text that is not JSON, or whose parts have the wrong kind, comes back whole for the reader to refuse.
    """
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.resourceType == "Bundle" and depth < _MAX_DEPTH:
            yield from _entries(msgspec.json.decode(text, type=_Bundle), part, depth)
        else:
            yield from _with_contained(msgspec.json.decode(text, type=_Container), text, part, given_id)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        yield Document(part, text, given_id)


def standing_alone(doc: Document) -> bytes:
    """A Bundle entry's text as one line for itself; in a Bundle when the id, or the deletion, is said around it.

    An entry that could not be used is in a Bundle too, as it was.
    """
    if doc.reason:
        return _BUNDLE % doc.text
    if doc.action == "delete":
        request = _Request("DELETE", f"{doc.type}/{doc.given_id}")
        return _BUNDLE % msgspec.json.encode({"request": request})
    if doc.given_id and not msgspec.json.decode(doc.text, type=_Head).id:
        return _BUNDLE % b'{"fullUrl":%s,"resource":%s}' % (msgspec.json.encode(f"urn:uuid:{doc.given_id}"), doc.text)
    return doc.text


_BUNDLE = b'{"resourceType":"Bundle","type":"collection","entry":[%s]}'


def _entries(bundle: _Bundle, part: str, depth: int) -> Iterator[Document]:
    texts = [bytes(raw) for raw in bundle.entry]
    entries = [_Entry() if text == ERASED else msgspec.json.decode(text, type=_Entry) for text in texts]
    heads = [_head(entry) for entry in entries]
    links = {
        entry.fullUrl.encode(): f"{head.resourceType}/{head.id}".encode()
        for entry, head in zip(entries, heads, strict=True)
        if entry.fullUrl and head.resourceType and head.id
    }
    for number, (raw, entry, head) in enumerate(zip(texts, entries, heads, strict=True)):
        where = f"{part}.entry[{number}]".lstrip(".")
        if raw == ERASED:
            continue
        if entry.request is not None and entry.request.method.upper() == "DELETE":
            yield _deletion(where, raw, entry.request.url)
        elif not bytes(entry.resource):
            yield Document(where, raw, reason="the Bundle entry holds no resource")
        else:
            text = _rewrite(bytes(entry.resource), links)
            yield from expand(text, part=where, given_id=head.id or None, depth=depth + 1)


def _head(entry: _Entry) -> _Head:
    """Type and id of an entry's resource; an id missing there is taken from ``fullUrl``."""
    if not bytes(entry.resource):
        return _Head()
    try:
        head = msgspec.json.decode(entry.resource, type=_Head)
    except (msgspec.DecodeError, RecursionError):
        return _Head()
    if not head.id and entry.fullUrl:
        head.id = re.split(r"[/:]", entry.fullUrl)[-1]
    return head


def _deletion(where: str, entry: bytes, url: str) -> Document:
    parts = url.split("?", maxsplit=1)[0].strip("/").split("/")
    if "?" in url or len(parts) < 2:
        return Document(where, entry, reason="a DELETE entry must name Type/id")
    return Document(where, b"{}", parts[-1], "delete", parts[-2])


def _with_contained(head: _Container, text: bytes, part: str, given_id: str | None) -> Iterator[Document]:
    if not head.contained:
        yield Document(part, text, given_id)
        return
    parent = f"{head.resourceType}/{given_id or head.id}"
    contained = [(number, bytes(raw)) for number, raw in enumerate(head.contained) if bytes(raw) != ERASED]
    inner = [_contained_head(raw, number) for number, raw in contained]
    links = {f"#{h.id}".encode(): f"{h.resourceType}/{parent}#{h.id}".encode() for h in inner}
    links[b"#"] = parent.encode()
    yield Document(part, _rewrite(text, links), given_id)
    for (number, raw), h in zip(contained, inner, strict=True):
        where = f"{part}.contained[{number}]".lstrip(".")
        yield Document(where, _rewrite(raw, links), f"{parent}#{h.id}")


def without_parts(text: bytes, parts: Collection[str]) -> bytes:
    """The text with ``ERASED`` and blanks over its parts (``entry[2]``, ``entry[0].contained[1]``), as long as it was.

    Nothing else changes: the parts after one keep their numbers, and every digit stays.
    """
    redacted = bytearray(text)
    for part in parts:
        if not any(part.startswith(f"{other}.") for other in parts):
            start, length = _span(text, part)
            redacted[start : start + length] = ERASED.ljust(length)
    return bytes(redacted)


def _span(text: bytes, part: str) -> tuple[int, int]:
    """Offset and length of a part of the text, in bytes."""
    here: bytes | msgspec.Raw = text
    steps = re.findall(r"(\w+)\[(\d+)\]", part)
    for depth, (name, number) in enumerate(steps, start=1):
        here = getattr(msgspec.json.decode(here, type=_Parts), name)[int(number)]
        if name == "entry" and depth < len(steps):
            here = msgspec.json.decode(here, type=_Entry).resource
    return _address(here) - _address(text), len(memoryview(here))


def _address(text: bytes | msgspec.Raw) -> int:
    """msgspec's raw parts are views of the text that was decoded."""
    return int(np.frombuffer(text, np.uint8).ctypes.data)


def _contained_head(raw: bytes, number: int) -> _Head:
    head = msgspec.json.decode(raw, type=_Head)
    return head if head.id else _Head(head.resourceType, str(number))


def _rewrite(text: bytes, links: Mapping[bytes, bytes]) -> bytes:
    if not links:
        return text
    return _REFERENCE.sub(lambda m: m[1] + links.get(m[2], m[2]) + b'"', text)
