"""What the tests of images share: a small warehouse without Spark, and a look into every byte that it holds."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pydicom

from etl.dicom.archive import members
from etl.dicom.confidentiality_profile import Profile, read_profile
from etl.dicom.series import DicomRules
from etl.load_config import LoadConfig, Verdict, Zones
from etl.pipeline import LoadReport, load, refresh
from etl.privacy import PseudonymKey
from etl.synthetic.fhir import IPP
from etl.tables import WarehouseTable, load_tables
from etl.terminology.vocabulary import Vocabulary, read_vocabulary
from etl.warehouse.image_files import IMAGES
from etl.warehouse.release import Release, open_release
from tests.inline import InlineRunner

ROOT = Path(__file__).resolve().parents[1]
KEY = PseudonymKey("k1", b"k" * 32)
WANTED = ("dicom_series", "imaging_series", "patient")


@cache
def tables() -> tuple[WarehouseTable, ...]:
    """The tables that images have to do with."""
    return tuple(table for table in load_tables(ROOT / "conf" / "views") if table.name in WANTED)


@cache
def profile() -> Profile:
    """The repository's profile."""
    return read_profile(ROOT / "conf" / "dicom.toml")


@cache
def vocabulary() -> Vocabulary:
    """The repository's code lists and forms: they say that a digest may stand in the warehouse."""
    folder = ROOT / "conf" / "terminology"
    return read_vocabulary(folder / "code_systems.toml", folder, folder / "none")


def open_gate(*_arguments: Any) -> Verdict:
    """Lets everything pass."""
    return Verdict(False, (), {"gate": "open"})


def read_key() -> PseudonymKey:
    """The key of these tests."""
    return KEY


class Imaging:
    """A warehouse in a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.warehouse = home / "warehouse"
        zones = Zones(home / "landing", home / "quarantine", self.warehouse)
        rules = DicomRules(profile(), IPP, (("AUTRE-CHU", "urn:autre-chu:ipp"),))
        self.rules = rules
        self.plan = LoadConfig(
            zones, tables(), read_key, "k1", buckets=4, scratch=home, dicom=rules, vocabulary=vocabulary()
        )

    def load(self, *paths: Path) -> LoadReport:
        """Load exports."""
        return load(list(paths), self.plan, InlineRunner(), open_gate)

    def refresh(self, *objectors: str) -> LoadReport:
        """Publish with these entries in the objection register."""
        self.plan = replace(self.plan, read_objectors=lambda: frozenset(objectors))
        return refresh(self.plan, InlineRunner(), open_gate)

    @property
    def release(self) -> Release:
        return open_release(self.warehouse)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the last release."""
        with duckdb.connect() as sql:
            for name in WANTED:
                self.release.duckdb(name, sql).create_view(name)
            return list(sql.execute(query).fetchall())

    def voxel_files(self) -> list[Path]:
        """Every voxel file in the warehouse."""
        return sorted((self.warehouse / IMAGES).glob("*/*.zip"))

    def images(self) -> list[pydicom.Dataset]:
        """Every image in the warehouse."""
        return [pydicom.dcmread(io.BytesIO(one)) for path in self.voxel_files() for one in members(path)]


def every_text(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The bytes of every file, and what stands compressed in zips and Parquet."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path, str(path).encode() + path.read_bytes()
        if path.suffix == ".zip":
            yield from ((path, content) for content in members(path))
        if path.suffix == ".parquet":
            with duckdb.connect() as sql:
                rows = sql.execute("SELECT t::VARCHAR FROM read_parquet(?) t", [str(path)]).fetchall()
            yield path, "\n".join(str(row[0]) for row in rows).encode()


def found_in(folder: Path, words: Sequence[str]) -> set[str]:
    """Those of the words that stand anywhere below a folder, in UTF-8 or Latin-1."""
    forms = {(word, word.encode(code)) for word in words for code in ("utf-8", "latin-1")}
    found: set[str] = set()
    for _, text in every_text(folder):
        found |= {word for word, form in forms if word not in found and form in text}
    return found


def edit(path: Path, change: Callable[[pydicom.Dataset], None]) -> None:
    """Change a DICOM file in place."""
    image = pydicom.dcmread(path)
    change(image)
    image.save_as(path)
