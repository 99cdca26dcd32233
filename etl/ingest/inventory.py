"""What an export holds that no view reads: elements, extensions and whole resource types, with counts.

Owns the comparison of an export with the structures that the compiled views read, so that what the
warehouse is not keeping is a decision somebody sees. It reports names of elements and URLs of extensions and
never a value; names that cannot be element names are counted together, because they may be values put in the
wrong place. Memory holds one line (or one Bundle) and one counter per distinct path.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import orjson

from etl.errors import InputError
from etl.ingest.discovery import find_sources
from etl.views import CompiledView, ViewError, compile_view, load_view, merge_structures

Kind = Literal["element", "extension", "resource"]
Progress = Callable[[str, int, int], None]

ALWAYS_READ: Mapping[str, Any] = {
    "resourceType": "VARCHAR",
    "id": "VARCHAR",
    "meta": {"versionId": "VARCHAR", "lastUpdated": "VARCHAR"},
}
"""What the load reads of every resource, whatever its views say: key, version and time of change."""
STRANGE = "(not an element name)"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]{1,400}|[A-Za-z][A-Za-z0-9_.-]{0,63}")
_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'")
_EXTENSIONS = ("extension", "modifierExtension")
_MOST_NAMES = 1000
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class InventoryRow:
    """One path that no view reads: ``Patient.contact.name.family``, arrays collapsed.

    ``kind`` is ``element`` (a primitive), ``extension`` (``extension`` is then its URL and ``path`` the element
    that has it) or ``resource`` (a type that no view reads at all). ``count`` is how often it occurs,
    ``resources`` in how many resources.
    """

    path: str
    type: str
    kind: Kind
    extension: str | None
    count: int
    resources: int


@dataclass(frozen=True)
class Inventory:
    """The unread places of an export, sorted by type and path; ``resources`` counts what was looked at."""

    rows: tuple[InventoryRow, ...]
    resources: Mapping[str, int]
    unreadable: int

    def to_dict(self) -> dict[str, Any]:
        """JSON form: ``{"resources": {TYPE: n}, "unreadable": n, "rows": [{path, type, kind, …}]}``."""
        rows = [asdict(row) for row in self.rows]
        return {"resources": dict(self.resources), "unreadable": self.unreadable, "rows": rows}


def take_inventory(path: Path, views_dir: Path, *, progress: Progress | None = None) -> Inventory:
    """Compare the export at ``path`` with what the views in ``views_dir`` read.

    Raises InputError for an export that cannot be read and ViewError for a view that cannot be compiled.
    """
    sources, _ = find_sources([Path(path)])
    files = [source.path for source in sources if not (source.deletions or source.images)]
    survey = _Survey(_types_read(views_dir))
    total, done = sum(file.stat().st_size for file in files), 0
    for file in files:
        for text in _texts(file):
            survey.look_at(text)
        done += file.stat().st_size
        if progress:
            progress("inventory", done, total)
    return survey.result()


class _Node:
    """One element of one type: what the views read below it, and how often something unread stood there.

    A holder is a list of extensions: its children are keyed by URL, those of any other node, by element name.
    """

    __slots__ = ("children", "count", "holder", "kind", "last", "path", "read", "resources", "url")

    def __init__(
        self, path: str, read: Any, *, holder: bool = False, kind: Kind = "element", url: str | None = None
    ) -> None:
        self.path = path
        self.read = read
        self.holder = holder
        self.kind = kind
        self.url = url
        self.children: dict[str, _Node | None] = {}
        self.count = 0
        self.resources = 0
        self.last = 0

    def tally(self, record: int) -> None:
        self.count += 1
        if self.last != record:
            self.last = record
            self.resources += 1

    def row(self, resource: str) -> InventoryRow:
        return InventoryRow(self.path, resource, self.kind, self.url, self.count, self.resources)


@dataclass(frozen=True)
class _TypeRead:
    """What the views of one type read: their joint structure, and the extension URLs their paths name."""

    structure: Mapping[str, Any]
    urls: frozenset[str]


@dataclass
class _Survey:
    """The counters of a whole export; a node that the views read as a whole is None."""

    types: Mapping[str, _TypeRead]
    roots: dict[str, _Node] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0
    record: int = 0

    def look_at(self, text: bytes) -> None:
        """Count one JSON text: a resource, or a Bundle of them."""
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            self.unreadable += 1
            return
        pending = [value]
        while pending:
            resource = pending.pop()
            pending.extend(self._inner(resource))
            self._resource(resource)

    def _inner(self, resource: Any) -> Iterator[Any]:
        """Resources inside this one: a Bundle's entries, contained resources."""
        if not isinstance(resource, dict):
            return
        yield from _list(resource.pop("contained", None))
        if resource.get("resourceType") == "Bundle":
            entries = (entry for entry in _list(resource.get("entry")) if isinstance(entry, dict))
            yield from (entry["resource"] for entry in entries if "resource" in entry)

    def _resource(self, resource: Any) -> None:
        name = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self.unreadable += 1
        elif name != "Bundle":
            self.seen[name] = self.seen.get(name, 0) + 1
            if name in self.types:
                self.record += 1
                self._walk(resource, self._root(name), self.types[name].urls)

    def _root(self, name: str) -> _Node:
        if name not in self.roots:
            self.roots[name] = _Node(name, self.types[name].structure)
        return self.roots[name]

    def _walk(self, resource: dict[str, Any], root: _Node, urls: frozenset[str]) -> None:
        """Visit every unread value below a resource; iterative, since exports may be nested to any depth."""
        stack: list[tuple[Any, _Node]] = [(resource, root)]
        while stack:
            value, node = stack.pop()
            if type(value) is dict:
                children = node.children
                for name, inner in value.items():
                    child = children[name] if name in children else _child(node, name)
                    if child is not None:
                        stack.append((inner, child))
            elif type(value) is list:
                stack.extend(self._extensions(value, node, urls) if node.holder else [(v, node) for v in value])
            elif value is not None:
                node.tally(self.record)

    def _extensions(self, values: list[Any], holder: _Node, urls: frozenset[str]) -> Iterator[tuple[Any, _Node]]:
        """Count the unread extensions of a list and hand back those that the views read, to be visited."""
        for value in values:
            url = value.get("url") if isinstance(value, dict) else None
            node = _extension(holder, url if isinstance(url, str) else "", urls)
            if node.kind == "extension":
                node.tally(self.record)
            else:
                yield value, node

    def result(self) -> Inventory:
        rows = [
            InventoryRow(name, name, "resource", None, count, count)
            for name, count in self.seen.items()
            if name not in self.types
        ]
        for name, root in self.roots.items():
            rows += [node.row(name) for node in _counted(root)]
        ordered = sorted(rows, key=lambda row: (row.type, row.path, row.extension or ""))
        return Inventory(tuple(ordered), dict(sorted(self.seen.items())), self.unreadable)


def _child(node: _Node, name: str) -> _Node | None:
    """The node of a named element below ``node``; None when the views read it whole."""
    if not _NAME.fullmatch(name.removeprefix("_")) or len(node.children) >= _MOST_NAMES:
        return _remember(node, STRANGE, f"{node.path}.{STRANGE}", None)
    read = _single(node.read.get(name)) if isinstance(node.read, Mapping) else None
    if isinstance(read, str):
        node.children[name] = None
        return None
    return _remember(node, name, f"{node.path}.{name.removeprefix('_')}", read)


def _remember(node: _Node, name: str, path: str, read: Any) -> _Node:
    child = node.children.get(name) or _Node(path, read, holder=name in _EXTENSIONS)
    node.children[name] = child
    return child


def _extension(holder: _Node, url: str, urls: frozenset[str]) -> _Node:
    """The node of one extension URL: of kind ``extension`` when no view names it on that element."""
    legal = _URL.fullmatch(url) and len(holder.children) < _MOST_NAMES
    shown = url if legal else "(not a URL)"
    node = holder.children.get(shown)
    if node is None and isinstance(holder.read, Mapping) and url in urls:
        node = _Node(f"{holder.path}('{url}')", {**holder.read, "url": "VARCHAR"})
    elif node is None:
        node = _Node(holder.path, None, kind="extension", url=shown)
    holder.children[shown] = node
    return node


def _single(structure: Any) -> Any:
    return structure[0] if isinstance(structure, list | tuple) and structure else structure


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _counted(root: _Node) -> Iterator[_Node]:
    stack = [root]
    while stack:
        node = stack.pop()
        stack.extend(child for child in node.children.values() if child is not None)
        if node.count:
            yield node


def _types_read(views_dir: Path) -> dict[str, _TypeRead]:
    files = sorted(Path(views_dir).glob("*.json"))
    if not files:
        raise ViewError(f"no view (*.json) in {views_dir}")
    definitions = [orjson.loads(file.read_bytes()) for file in files]
    views = [compile_view(load_view(file)) for file in files]
    return {name: _type_read(name, views, definitions) for name in {view.resource for view in views}}


def _type_read(resource: str, views: Sequence[CompiledView], definitions: Iterable[Mapping[str, Any]]) -> _TypeRead:
    structures = [view.structure for view in views if view.resource == resource]
    urls = {text for d in definitions if d["resource"] == resource for text in _literals(d)}
    return _TypeRead(merge_structures([*structures, dict(ALWAYS_READ)]), frozenset(urls))


def _literals(node: Any) -> Iterator[str]:
    """Every string literal of a definition's paths and every constant: its extension URLs are among them."""
    if isinstance(node, Mapping):
        for name, inner in node.items():
            if name in ("path", "forEach", "forEachOrNull", "repeat"):
                yield from _LITERAL.findall(str(inner))
            elif name.startswith("value") and isinstance(inner, str):
                yield inner
            else:
                yield from _literals(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _literals(inner)


def _texts(file: Path) -> Iterator[bytes]:
    """The JSON texts of a file: its lines, or the whole of a document that is spread over lines."""
    try:
        with _open(file) as handle:
            first = handle.readline().removeprefix(_BOM)
            if _is_line(first, file):
                yield from (line for line in _lines(first, handle) if line.strip())
            else:
                yield first + handle.read()
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{file.name} is truncated or damaged gzip; fetch it again") from None
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None


def _open(file: Path) -> IO[bytes]:
    with file.open("rb") as handle:
        compressed = handle.read(2) == b"\x1f\x8b"
    return gzip.open(file) if compressed else file.open("rb")  # type: ignore[return-value]


def _lines(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _is_line(first: bytes, file: Path) -> bool:
    """Is the first line a JSON text of its own? A broken one still closes like an object."""
    if Path(file.name.removesuffix(".gz")).suffix in (".ndjson", ".jsonl"):
        return True
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        return len(first.strip()) > 2 and first.rstrip().endswith(b"}")
    return True
