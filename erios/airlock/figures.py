"""Figures: PNG alone, with nothing in it but the picture.

Owns the reading of PNG's chunks (ISO/IEC 15948): each is known and whole, the picture's data end where the picture
does, and nothing follows. What the picture shows people judge, with the data behind it, which are checked as a table.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from erios.airlock.findings import Finding, Verdict
from erios.settings_sections import AirlockSettings

MAGIC = b"\x89PNG\r\n\x1a\n"
_KEPT = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"pHYs", b"sRGB", b"gAMA"))
_SIZES = {b"IHDR": 13, b"IEND": 0, b"pHYs": 9, b"sRGB": 1, b"gAMA": 4}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_MAKER = re.compile(rb"Software\x00Matplotlib version\d{1,2}\.\d{1,2}\.\d{1,2}(?:\.post\d)?, https://matplotlib\.org/")
"""The one text that may stay: what matplotlib writes by itself, word for word."""
_GAMMAS = (45455, 100000)


class BrokenError(Exception):
    """No PNG, or one that is not as the standard has it."""


@dataclass(frozen=True)
class Chunk:
    """One chunk of a PNG."""

    name: bytes
    data: bytes


def chunks_of(content: bytes) -> tuple[list[Chunk], bytes]:
    """The chunks up to IEND, and what follows it; BrokenError where one is cut off or its checksum is wrong."""
    place, chunks = len(MAGIC), []
    while place + 12 <= len(content):
        length, name = struct.unpack(">I4s", content[place : place + 8])
        data = content[place + 8 : place + 8 + length]
        checksum = content[place + 8 + length : place + 12 + length]
        if len(checksum) != 4 or zlib.crc32(name + data) != int.from_bytes(checksum, "big"):
            raise BrokenError
        chunks.append(Chunk(name, data))
        place += 12 + length
        if name == b"IEND":
            return chunks, content[place:]
    raise BrokenError


def check_figure(content: bytes, settings: AirlockSettings) -> Iterator[Finding]:
    """What is in a PNG beside the picture."""
    try:
        chunks, rest = chunks_of(content)
        yield from _chunks(chunks)
        if rest:
            yield Finding("png-tail", values={"bytes": len(rest)})
        yield from _picture(chunks, settings)
    except (BrokenError, struct.error, zlib.error):
        yield Finding("unreadable")


def _chunks(chunks: list[Chunk]) -> Iterator[Finding]:
    if chunks[0].name != b"IHDR":
        raise BrokenError
    for number, chunk in enumerate(chunks):
        known = chunk.name in _KEPT or (chunk.name == b"tEXt" and _MAKER.fullmatch(chunk.data))
        fitting = _SIZES.get(chunk.name, len(chunk.data)) == len(chunk.data)
        twice = chunk.name != b"IDAT" and sum(chunk.name == other.name for other in chunks[:number])
        if not known or not fitting or twice or not _is_plain(chunk):
            yield Finding(
                "png-metadata", values={"chunk": chunk.name.decode("ascii", "replace"), "bytes": len(chunk.data)}
            )


def _is_plain(chunk: Chunk) -> bool:
    """No figures where nothing needs them: a gamma is one of two, a resolution is round."""
    if chunk.name == b"gAMA":
        return int.from_bytes(chunk.data, "big") in _GAMMAS
    if chunk.name == b"pHYs":
        across, down, unit = struct.unpack(">IIB", chunk.data)
        return across == down and across < 100_000 and unit in (0, 1)
    return True


def _picture(chunks: list[Chunk], settings: AirlockSettings) -> Iterator[Finding]:
    width, height, depth, colour, packing, filtering, interlaced = struct.unpack(">IIBBBBB", chunks[0].data)
    if depth not in _DEPTHS.get(colour, ()) or packing or filtering or not width or not height:
        raise BrokenError
    if max(width, height) > settings.figure_pixels:
        yield Finding("picture-size", values={"limit": settings.figure_pixels})
        return
    if interlaced:
        yield Finding("png-interlaced")
        return
    row = (width * depth * _CHANNELS[colour] + 7) // 8 + 1
    unpacked = _unpack(b"".join(chunk.data for chunk in chunks if chunk.name == b"IDAT"), row * height)
    palette = next((chunk.data for chunk in chunks if chunk.name == b"PLTE"), b"")
    if len(palette) > 3 * 2 ** min(depth, 8) or (palette and colour in (0, 4)):
        yield Finding("png-metadata", values={"chunk": "PLTE", "bytes": len(palette)})
    if unpacked is None:
        yield Finding("png-data")
    elif (
        colour in (4, 6)
        and depth == 8
        and _hides_pixels(content_rows(unpacked, row, _CHANNELS[colour]), _CHANNELS[colour])
    ):
        yield Finding("hidden-pixels")


def _unpack(data: bytes, size: int) -> bytes | None:
    """The picture's rows; None where the stream is longer or shorter than the picture, or something follows it."""
    stream = zlib.decompressobj()
    unpacked = stream.decompress(data, size + 1)
    whole = len(unpacked) == size and stream.eof and not stream.unused_data
    return unpacked if whole else None


def content_rows(unpacked: bytes, row: int, step: int) -> list[bytearray]:
    """Rows of pixels with PNG's five filters undone; BrokenError for another."""
    rows: list[bytearray] = []
    above = bytearray(row - 1)
    for start in range(0, len(unpacked), row):
        line = bytearray(unpacked[start + 1 : start + row])
        _undo(unpacked[start], line, above, step)
        rows.append(line)
        above = line
    return rows


def _undo(kind: int, line: bytearray, above: bytearray, step: int) -> None:
    if kind > 4:
        raise BrokenError
    for place in range(len(line)) if kind else ():
        left = line[place - step] if place >= step else 0
        up, corner = above[place], above[place - step] if place >= step else 0
        line[place] = (line[place] + _predicted(kind, left, up, corner)) & 255


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind < 4:
        return (left, up, (left + up) // 2)[kind - 1]
    near = left + up - corner
    return min((left, up, corner), key=lambda value: abs(near - value))


def _hides_pixels(rows: list[bytearray], channels: int) -> bool:
    """Colours under full transparency: a picture that nobody sees."""
    colours: set[bytes] = set()
    for line in rows:
        for place in range(channels - 1, len(line), channels):
            if line[place] == 0:
                colours.add(bytes(line[place - channels + 1 : place]))
                if len(colours) > 2:
                    return True
    return False


def clean_figure(content: bytes) -> bytes:
    """The same picture with nothing beside it; BrokenError where there is none."""
    chunks, _ = chunks_of(content)
    kept = [chunk for chunk in chunks if chunk.name in _KEPT - {b"gAMA", b"pHYs"}]
    return MAGIC + b"".join(
        struct.pack(">I", len(chunk.data))
        + chunk.name
        + chunk.data
        + struct.pack(">I", zlib.crc32(chunk.name + chunk.data))
        for chunk in kept
    )


def note_picture() -> Finding:
    """What no check sees."""
    return Finding("picture", Verdict.NOTE)
