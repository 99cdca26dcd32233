"""Code lists from the files that publishers give.

FHIR CodeSystem and ValueSet (JSON, NDJSON, Bundles of them), ClaML (XML: WHO, ATIH), LOINC's ``Loinc.csv``, ATIH's
``LIBCIM10MULTI.TXT``, and delimited text with a heading (NCCP, CCAM, UCD and lists of one's own). What a file is, is
read from its content. Errors name the file and the line, never a value.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from etl.errors import InputError
from etl.terminology.code_lists import CodeList, Concept, one_per_system

CIM10, LOINC = "http://hl7.org/fhir/sid/icd-10", "http://loinc.org"
_LARGEST = 1 << 30
_CODE_HEADINGS = (
    "code",
    "loinc_num",
    "code_nccp",
    "code nccp",
    "nccp",
    "code_ucd",
    "ucd",
    "ucd13",
    "code_cip",
    "cip13",
    "code_ccam",
    "code ccam",
    "acte",
    "code acte",
    "code_atc",
    "conceptid",
    "notation",
    "identifiant",
)
_LABEL_HEADINGS = (
    "display",
    "libelle",
    "libellé",
    "label",
    "long_common_name",
    "libelle_long",
    "libellé long",
    "texte",
    "libelle long",
    "libellé fr",
    "libelle_fr",
    "nom",
    "term",
    "designation",
    "désignation",
    "intitule",
    "intitulé",
    "libelle_court",
    "libellé court",
    "name",
    "libelle court",
)


def read_publisher_file(path: Path, system: str = "", version: str = "") -> list[CodeList]:
    """The lists of a file, one a system. ``system`` and ``version`` fill in what the file does not say.

    Raises InputError for a file that is none of the forms, or that leaves its system open where none is given.
    """
    text = _text(path)
    start = text.lstrip()[:1]
    if start == "{" or start == "[":
        lists = [_completed(each, system, version) for each in _checked_fhir(path, text)]
    elif start == "<":
        lists = [_claml(path, text, system, version)]
    else:
        lists = [_delimited(path, text, system, version)]
    if any(not each.system for each in lists):
        raise InputError(f"{path.name} does not say its code system: give it with --system URL")
    return one_per_system(lists)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path.name} is larger than {_LARGEST >> 30} GB; load its parts")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path.name}: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _windows_text(path, data)


def _windows_text(path: Path, data: bytes) -> str:
    """Text as Windows writes it in Western Europe; an archive is none, since it holds zero bytes."""
    try:
        if b"\0" not in data:
            return data.decode("cp1252")
    except UnicodeDecodeError:
        pass
    raise InputError(f"{path.name} is neither UTF-8 nor Windows-1252 text; unpack it if it is an archive")


def _completed(code_list: CodeList, system: str, version: str) -> CodeList:
    return CodeList(code_list.system or system, code_list.version or version, code_list.concepts)


def _checked_fhir(path: Path, text: str) -> list[CodeList]:
    try:
        return list(_fhir(path, text))
    except (AttributeError, TypeError, KeyError, RecursionError):
        raise InputError(f"{path.name} is JSON, but a part of it is not what FHIR has in that place") from None


def _fhir(path: Path, text: str) -> Iterator[CodeList]:
    for resource in _resources(path, text):
        match resource.get("resourceType"):
            case "CodeSystem":
                concepts = tuple(_concepts(resource.get("concept", ())))
                yield CodeList(resource.get("url", ""), str(resource.get("version", "")), concepts)
            case "ValueSet":
                yield from _value_set(resource)
            case "Bundle":
                inner = (entry.get("resource", {}) for entry in resource.get("entry", ()))
                for each in inner:
                    yield from _fhir(path, json.dumps(each))
            case _:
                raise InputError(f"{path.name} holds a resource that is no CodeSystem, ValueSet or Bundle of them")


def _resources(path: Path, text: str) -> Iterator[Mapping[str, Any]]:
    """One document, or one a line."""
    try:
        whole = json.loads(text)
        yield from whole if isinstance(whole, list) else [whole]
        return
    except ValueError:
        pass
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError:
                raise InputError(f"{path.name}, line {number}: not JSON") from None


def _concepts(entries: Sequence[Mapping[str, Any]]) -> Iterator[Concept]:
    """The concepts and those below them."""
    waiting = list(reversed(entries))
    while waiting:
        entry = waiting.pop()
        words = tuple(str(d["value"]) for d in entry.get("designation", ()) if d.get("value"))
        if entry.get("code") and not entry.get("abstract"):
            yield Concept(str(entry["code"]), entry.get("display"), words)
        waiting += reversed([*entry.get("concept", ()), *entry.get("contains", ())])


def _value_set(resource: Mapping[str, Any]) -> Iterator[CodeList]:
    version = str(resource.get("version", ""))
    for include in resource.get("compose", {}).get("include", ()):
        yield CodeList(include.get("system", ""), version, tuple(_concepts(include.get("concept", ()))))
    waiting = list(resource.get("expansion", {}).get("contains", ()))
    while waiting:
        entry = waiting.pop()
        waiting += entry.get("contains", ())
        if entry.get("code"):
            yield CodeList(entry.get("system", ""), version, (Concept(str(entry["code"]), entry.get("display")),))


def _claml(path: Path, text: str, system: str, version: str) -> CodeList:
    """The classes of a ClaML file that are categories, with their preferred label."""
    if "<!ENTITY" in text:
        raise InputError(f"{path.name} defines XML entities; ClaML has none")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"{path.name} is not XML: line {error.position[0]}") from None
    if root.tag.rpartition("}")[2] != "ClaML":
        raise InputError(f"{path.name} is XML but not ClaML")
    title = root.find("{*}Title")
    found = title.get("version", "") if title is not None else ""
    concepts = tuple(
        Concept(each.get("code", ""), _preferred(each)) for each in root.findall("{*}Class") if each.get("code")
    )
    name = (title.get("name", "") if title is not None else "").upper()
    is_icd = "ICD-10" in name or "CIM" in name
    return CodeList(system or (CIM10 if is_icd else ""), version or found, concepts)


def _preferred(element: ElementTree.Element) -> str | None:
    for rubric in element.findall("{*}Rubric"):
        label = rubric.find("{*}Label")
        if rubric.get("kind") == "preferred" and label is not None:
            return " ".join("".join(label.itertext()).split())
    return None


def _delimited(path: Path, text: str, system: str, version: str) -> CodeList:
    """Delimited text: LOINC and others by their heading, ATIH's CIM-10 without one."""
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t|", key=first.count)
    if not first.count(delimiter):
        raise InputError(f"{path.name} is no code list: no JSON, no XML, and no columns in its first line")
    table = _table(path, text, delimiter)
    heading = [cell.strip().lower() for cell in table[0]]
    code = next((heading.index(name) for name in _CODE_HEADINGS if name in heading), None)
    if code is None and delimiter == "|" and len(heading) >= 5:
        return CodeList(system or CIM10, version, tuple(_codes(table, 0, len(heading) - 1)))
    label = next((heading.index(name) for name in _LABEL_HEADINGS if name in heading), None)
    if code is None:
        raise InputError(
            f"{path.name} has no heading for its codes; name the column code, and display that of the labels"
        )
    url = system or (LOINC if heading[code] == "loinc_num" else "")
    return CodeList(url, version, tuple(_codes(table[1:], code, label)))


def _table(path: Path, text: str, delimiter: str) -> list[list[str]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return list(lines)
    except csv.Error:
        raise InputError(f"{path.name}, line {lines.line_num}: a field has no end, or is too long") from None


def _codes(table: Sequence[Sequence[str]], code: int, label: int | None) -> Iterator[Concept]:
    for row in table:
        if len(row) > code and row[code].strip():
            display = row[label].strip() if label is not None and len(row) > label else ""
            yield Concept(row[code].strip(), display or None)
