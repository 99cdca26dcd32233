"""Text in pixels: whatever the header says, no name stays legible, and anatomy is left alone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from etl.dicom.archive import members, series_writer
from etl.dicom.burned_in_text import TextSearch
from etl.dicom.errors import SeriesRefusedError
from etl.dicom.series import SeriesReader, SeriesResult, to_bytes
from etl.synthetic.burned_in import MODALITIES, STYLES, Written, written
from etl.synthetic.phantoms import abdomen, chest, head
from etl.synthetic.planted_images import Series, planted_series
from tests.imaging import KEY, Imaging


def hidden(image: Written) -> np.ndarray:
    """Where a search of the image alone would blacken it: everywhere if it is held back."""
    search = TextSearch(thorough=True)
    try:
        search.add(image.values)
    except SeriesRefusedError:
        return np.ones(image.values.shape, bool)
    mark = search.end().of(0, image.values.shape)
    return np.zeros(image.values.shape, bool) if mark is None else mark[0]


SLOWER = [pytest.param(*case, marks=pytest.mark.slow) for case in (("MR", "tilted"), ("CT", "small"))]


@pytest.mark.parametrize(("modality", "style"), [("PT", "bright"), ("NM", "plate"), *SLOWER])
def test_a_name_in_the_pixels_is_hidden(modality: str, style: str) -> None:
    image = written(np.random.default_rng(5), modality, style)

    assert image.strokes.any()
    assert not image.is_legible(hidden(image))


def test_anatomy_without_text_is_left_alone() -> None:
    rng = np.random.default_rng(3)
    planes = [abdomen(rng).values[20], head(rng).values[8], chest(rng).values, MODALITIES["MR"](rng)]

    for plane in planes:
        search = TextSearch(thorough=True)
        assert not search.add(plane)


def read(folder: Path, volume: np.ndarray, spacing: Any = (5, 1, 1)) -> tuple[SeriesResult, list[np.ndarray]]:
    """A series as the load reads it, and the pixels that it keeps."""
    images = planted_series(Series("8002214457", "1.2.3", "1.2.3.4", "KERVADEC^A", "CT"), volume, spacing)
    with series_writer(folder / "series", compress=False) as out:
        for image in images:
            out.add(to_bytes(image))
    result = SeriesReader(Imaging(folder).rules, KEY, folder / "voxels").to_fhir(folder / "series")
    files = (folder / "voxels").glob("*.zip") if result.text else ()
    return result, [dcmread(io.BytesIO(one)).pixel_array for path in files for one in members(path)]


@pytest.mark.slow
@pytest.mark.parametrize("places", [(1,), (0, 1, 2)])
def test_a_name_on_one_or_all_slices_is_blackened_there_and_nowhere_else(
    tmp_path: Path, places: tuple[int, ...]
) -> None:
    plain = written(np.random.default_rng(9), "PT", "none").values
    named = written(np.random.default_rng(9), "PT", "plate")
    volume = np.stack([named.values if number in places else plain for number in range(3)])

    result, kept = read(tmp_path, volume)

    assert result.reason is None
    assert f'"images-blackened", "valueInteger": {len(places)}'.encode() in result.text
    for number, pixels in enumerate(kept):
        if number in places:
            assert not named.is_legible(pixels != named.values)
        changed = pixels != volume[number]
        assert changed.mean() < 0.2
        assert number in places or len(places) == 1 or not changed.any()


def test_labels_that_spell_a_name_are_held_back() -> None:
    image = written(np.random.default_rng(5), "SC", "bright")
    search = TextSearch(thorough=False)

    assert search.add(image.strokes.astype(np.uint8))


@pytest.mark.long
def test_the_full_set_of_burned_in_names_leaves_none_legible(figure) -> None:
    legible, kept, untouched = [], [], 0
    for number, modality in enumerate(MODALITIES):
        for style in STYLES:
            image = written(np.random.default_rng([number, STYLES.index(style)]), modality, style)
            if image.is_legible(hidden(image)):
                legible.append((modality, style))
        plain = hidden(written(np.random.default_rng([number, 99]), modality, "none"))
        kept.append(1 - plain.mean())
        untouched += not plain.any()
    total = len(MODALITIES) * len(STYLES)
    figure("legible names that pass", f"{len(legible)} of {total} over {len(MODALITIES)} modalities")
    figure("images without text left untouched", f"{untouched} of {len(MODALITIES)}")
    figure("pixels of images without text that stay", f"{np.mean(kept):.1%}")
    assert legible == []
