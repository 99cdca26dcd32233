"""The images of an extract, as arrays: a series with its spacing, and the labels drawn on it.

Owns the reading of an extract's voxel files (zips of DICOM, named by the table ``dicom_series``). Arrays are (z, y, x),
layers in the order of space; nothing is unpickled. It trusts the extract, which was verified before it was opened.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms.transform import Transform
from numpy.typing import NDArray

from experiments.data_split import SHARES, part_of
from experiments.errors import DataError

TABLE, FOLDER = "dicom_series", "images"
_COLUMNS = ("patient_key", "series_uid_key", "labels_of_uid_key", "kind", "voxels_sha256")
_NEAR_MM = 0.5


@dataclass(frozen=True)
class Series:
    """A series of an extract: whose it is, its kind, its file, and the file of the labels drawn on it, if any."""

    patient: str
    key: str
    kind: str
    file: Path
    label_file: Path | None = None

    def read(self) -> Voxels:
        """The arrays; DataError where the file holds none that make a grid."""
        images = sorted(_images(self.file), key=_along)
        planes = [image.pixel_array for image in images]
        values = np.stack(planes) if planes[0].ndim == 2 else np.concatenate(planes)
        slope, zero = float(images[0].get("RescaleSlope", 1)), float(images[0].get("RescaleIntercept", 0))
        values = (values * np.float32(slope) + np.float32(zero)).astype(np.float32)
        labels = _labels(self.label_file, images, values.shape) if self.label_file else None
        return Voxels(values, _spacing(images), labels)


@dataclass(frozen=True)
class Voxels:
    """``values`` (z, y, x) in the modality's unit (HU for CT), ``spacing`` in mm (z, y, x; z is 0 for one layer),
    ``labels`` (z, y, x): the number of the segment, 0 where none is."""

    values: NDArray[np.float32]
    spacing: tuple[float, float, float]
    labels: NDArray[np.uint8] | None = None


def load_series(dataset_dir: str, kind: str = "volume") -> list[Series]:
    """The extract's series of a kind (``volume``, ``radiograph``) that have images, ordered by their keys.

    Raises DataError for an extract without them. A series has one label file: the first by its digest, if several.
    """
    rows = _rows(Path(dataset_dir))
    drawn = {row["labels_of_uid_key"]: row["voxels_sha256"] for row in rows[::-1] if row["kind"] == "labels"}
    of_kind = [row for row in rows if row["kind"] == kind]
    if not of_kind:
        raise DataError(f"{dataset_dir} holds no images of kind {kind}: ask for dicom_series.voxels_sha256 in it")
    of_kind.sort(key=lambda row: str(row["series_uid_key"]))
    return [_series(dataset_dir, row, drawn.get(row["series_uid_key"])) for row in of_kind]


def part_of_series(
    series: list[Series], name: str, seed: int, shares: Mapping[str, float] = SHARES
) -> list[dict[str, Series]]:
    """The series of the patients of one part, as MONAI's datasets take them; DataError if there is none."""
    chosen = [{"series": each} for each in series if part_of(each.patient, seed, shares) == name]
    if not chosen:
        raise DataError(f"the {name} part of the extract has no images: it holds too few patients")
    return chosen


def with_labels(series: list[Series]) -> list[Series]:
    """Those on which labels are drawn; DataError if there is none."""
    drawn = [each for each in series if each.label_file is not None]
    if not drawn:
        raise DataError("no series of the extract has labels drawn on it")
    return drawn


class ReadSeries(Transform):
    """``{"series": Series}`` → ``{"image": (1, z, y, x), "label": (1, z, y, x)}``, float32 tensors.

    The label is 1 where any segment is, 0 elsewhere.
    """

    def __call__(self, item: Mapping[str, Series]) -> dict[str, Any]:
        import torch

        voxels = item["series"].read()
        drawn = np.zeros(voxels.values.shape, np.float32) if voxels.labels is None else voxels.labels > 0
        label = torch.from_numpy(drawn.astype(np.float32))
        return {"image": torch.from_numpy(voxels.values)[None], "label": label[None]}


def sexes_of(dataset_dir: str) -> dict[str, str]:
    """Patient → sex, where the extract has the column ``patient.gender``; nothing otherwise."""
    import duckdb

    source = str(Path(dataset_dir) / "data" / "patient" / "*.parquet").replace("'", "''")
    with duckdb.connect() as connection:
        try:
            rows = connection.execute(f"SELECT patient_key, gender FROM read_parquet('{source}')").fetchall()
        except (duckdb.IOException, duckdb.BinderException):
            return {}
    return {patient: sex or "unknown" for patient, sex in rows}


def _series(dataset_dir: str, row: dict[str, Any], drawn: str | None) -> Series:
    file, labels = _file(dataset_dir, row["voxels_sha256"]), _file(dataset_dir, drawn) if drawn else None
    return Series(row["patient_key"], row["series_uid_key"], row["kind"], file, labels)


def _file(dataset_dir: str, digest: str) -> Path:
    return Path(dataset_dir) / FOLDER / f"{digest}.zip"


def _rows(folder: Path) -> list[dict[str, Any]]:
    """Rows of the table that name a file, by its digest."""
    import duckdb

    source = str(folder / "data" / TABLE / "*.parquet").replace("'", "''")
    query = f"SELECT {', '.join(_COLUMNS)} FROM read_parquet('{source}') WHERE voxels_sha256 IS NOT NULL ORDER BY 5"
    with duckdb.connect() as connection:
        try:
            rows = connection.execute(query).fetchall()
        except (duckdb.IOException, duckdb.BinderException):
            raise DataError(f"the extract needs the table {TABLE} with {', '.join(_COLUMNS)}") from None
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


def _images(file: Path) -> Iterator[Any]:
    from pydicom import dcmread

    try:
        with zipfile.ZipFile(file) as archive:
            for name in sorted(archive.namelist()):
                yield dcmread(io.BytesIO(archive.read(name)))
    except (OSError, zipfile.BadZipFile):
        raise DataError(f"the image {file.name} cannot be read: verify the extract") from None


def _along(image: Any) -> float:
    """How far along its normal an image lies, in mm; 0 where it does not say."""
    if "ImagePositionPatient" not in image or "ImageOrientationPatient" not in image:
        return 0.0
    return _distance(image.ImagePositionPatient, image.ImageOrientationPatient)


def _distance(position: Any, cosines: Any) -> float:
    axes = np.asarray(cosines, dtype=np.float64)
    return float(np.cross(axes[:3], axes[3:]) @ np.asarray(position, dtype=np.float64))


def _spacing(images: list[Any]) -> tuple[float, float, float]:
    pixels = images[0].get("PixelSpacing") or images[0].get("ImagerPixelSpacing") or (1.0, 1.0)
    gaps = np.diff([_along(image) for image in images])
    return (float(np.median(gaps)) if len(gaps) else 0.0, float(pixels[0]), float(pixels[1]))


def _labels(file: Path, images: list[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A segmentation on the grid of its images: each frame where its position says."""
    positions = np.asarray([_along(image) for image in images])
    labels = np.zeros(shape, np.uint8)
    for drawn in _images(file):
        cosines = drawn.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
        frames = np.asarray(drawn.pixel_array).reshape(-1, *shape[1:])
        for frame, groups in zip(frames, drawn.PerFrameFunctionalGroupsSequence, strict=True):
            along = _distance(groups.PlanePositionSequence[0].ImagePositionPatient, cosines)
            layer = int(np.abs(positions - along).argmin())
            if abs(positions[layer] - along) > _NEAR_MM:
                raise DataError(f"the labels in {file.name} lie beside their images")
            segment = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            labels[layer][frame > 0] = segment
    return labels
