"""Heads are told by their form, whatever the file calls the part of the body; what has no head is let through."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from erios.extracts.risk.figures import wilson
from etl.dicom.deidentification import may_show_face
from etl.dicom.head_detection import HeadSearch, has_head
from etl.dicom.head_shape import at_five_millimetres
from etl.synthetic.phantoms import Phantom, abdomen, head
from etl.synthetic.planted_images import Series, planted_series
from tests.heads.volumes import BODIES, Volume, head_volume, other_volume
from tests.imaging import profile
from tests.unit.etl.dicom.test_burned_in_text import read


def shows(volume: Volume, *, strict: bool = False) -> bool:
    return has_head(at_five_millimetres(volume.values, volume.spacing), strict=strict)


@pytest.mark.parametrize(("draw", "face"), [(head, True), (abdomen, False)])
@pytest.mark.parametrize("way", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_a_head_is_seen_whichever_way_it_is_sliced(draw, face: bool, way: tuple[int, ...]) -> None:
    phantom: Phantom = draw(np.random.default_rng(1))
    axes = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], float)[list(way)]
    volume = phantom.values.transpose(way).astype(np.int32) + 1024
    spacing = [phantom.spacing[axis] for axis in way]
    images = planted_series(Series("1", "1.2", "1.2.3", "A", "CT"), volume, (spacing[0], spacing[1], spacing[2]))
    for number, image in enumerate(images):
        image.ImageOrientationPatient = [*axes[2], *axes[1]]
        normal = np.cross(axes[2], axes[1])
        image.ImagePositionPatient = list(normal * (number * spacing[0] * (normal @ axes[0])))
    order = sorted(range(len(images)), key=lambda n: np.cross(axes[2], axes[1]) @ images[n].ImagePositionPatient)
    search = HeadSearch([images[n] for n in order])
    for number in order:
        search.add(images[number].pixel_array, images[number])

    assert search.is_head(strict=True) is face


@pytest.mark.parametrize("name", list(BODIES))
def test_a_generated_head_is_held_and_another_body_is_not(name: str) -> None:
    assert shows(head_volume(np.random.default_rng([41, len(name)])))
    assert not shows(other_volume(np.random.default_rng([43, len(name)]), name))


@pytest.mark.parametrize(("trunk", "number"), [(40, 5), (320, 1), (320, 6)])
def test_a_head_above_shoulders_and_trunk_is_held(trunk: int, number: int) -> None:
    assert shows(head_volume(np.random.default_rng([48, trunk, number]), trunk))


@pytest.mark.parametrize(("draw", "face"), [(head, True), (abdomen, False)])
@pytest.mark.parametrize(("padding", "intercept"), [(-3024, -3100), (-2000, 0), (3000, 0)])
def test_what_fills_the_corners_of_a_picture_hides_no_head(draw, face: bool, padding: int, intercept: int) -> None:
    phantom: Phantom = draw(np.random.default_rng(2))
    down, right = (np.linspace(-1, 1, size) for size in phantom.values.shape[1:])
    volume = np.where(down[:, None] ** 2 + right**2 > 1, padding, phantom.values.astype(np.int32)) + 3100
    depth, height, width = phantom.spacing
    images = planted_series(Series("1", "1.2", "1.2.3", "A", "CT"), volume, (depth, height, width))
    search = HeadSearch(images)
    for image in images:
        image.RescaleIntercept = intercept
        search.add(image.pixel_array, image)

    assert search.is_head(strict=False) is face


def test_a_head_called_chest_does_not_pass(tmp_path: Path) -> None:
    phantom = head(np.random.default_rng(2))
    result, kept = read(tmp_path, phantom.values.astype(np.int32) + 1024, spacing=phantom.spacing)

    assert result.reason is None
    assert kept
    assert b'{"url": "face-present", "valueBoolean": true}' in result.text


def test_a_radiograph_of_a_skull_counts_by_its_words() -> None:
    (image,) = planted_series(Series("1", "1.2", "1.2.3", "A", "DX", "SKULL"), np.zeros((1, 8, 8)))

    assert may_show_face(image, "radiograph", profile())


@pytest.mark.long
def test_the_full_set_of_heads_lets_none_pass(figure) -> None:
    heads = [shows(head_volume(np.random.default_rng([1001, number]))) for number in range(80)]
    tall = [shows(head_volume(np.random.default_rng([1003, number]), 8.0 * number)) for number in range(40)]
    drawn = [
        (name, other_volume(np.random.default_rng([1002, number]), name)) for name in BODIES for number in range(12)
    ]
    others = Counter(name for name, volume in drawn if shows(volume))
    count = 12 * len(BODIES)
    for what, held in (("generated heads that pass", heads), ("heads with shoulders and trunk that pass", tall)):
        passed = held.count(False)
        figure(what, f"{passed} of {len(held)} (at most {wilson(passed, len(held))[2]:.1%})")
    figure("volumes without a head that are held", f"{others.total()} of {count}: {dict(others)}")
    assert all(heads)
    assert all(tall)
    assert others.total() <= 0.05 * count
