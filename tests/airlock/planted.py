"""What the drawn files of the airlock's tests are made of: tables, pictures, notebooks, models, prose, code."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from erios.airlock.check import Context, Released

Draw = Callable[[Random], "Planted"]


@dataclass(frozen=True)
class Planted:
    """A file with what is given beside it."""

    name: str
    content: bytes
    data: dict[str, bytes] = field(default_factory=dict)
    earlier: tuple[bytes, ...] = ()

    def write(self, folder: Path) -> tuple[Path, Context]:
        """The file, and the context of its check."""
        path = folder / self.name
        path.write_bytes(self.content)
        attached = [folder / name for name in self.data]
        for each in attached:
            each.write_bytes(self.data[each.name])
        released = [Released(f"{number}.csv", content) for number, content in enumerate(self.earlier)]
        return path, Context(earlier=released, attachments=attached)


LABELS = (
    ("sexe", ("Femmes", "Hommes", "Non renseigné", "Autre")),
    ("age_class", ("18-39", "40-59", "60-79", "80 et plus")),
    ("service", ("Cardiologie", "Pneumologie", "Neurologie", "Gériatrie")),
    ("diagnosis", ("Diabetes", "Hypertension", "Asthma", "Heart failure")),
    ("stade", ("I", "II", "III", "IV")),
)
COUNTS = ("n", "N", "effectif", "Effectifs", "nb_patients", "count", "Nombre de patients")


def counts(random: Random, size: int, least: int = 30, most: int = 900) -> list[int]:
    """Counts that no check holds: far from the threshold and from each other."""
    drawn: list[int] = []
    while len(drawn) < size:
        value = random.randrange(least, most)
        if all(abs(value - other) > 25 for other in drawn):
            drawn.append(value)
    return drawn


def labelled(random: Random, size: int = 4) -> tuple[str, list[str]]:
    """A header and as many labels."""
    header, labels = random.choice(LABELS)
    return header, list(labels[:size])


def number(random: Random, value: float, comma: bool) -> str:
    """A figure as somebody writes it."""
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return text.replace(".", ",") if comma else text


def delimited(rows: list[list[str]], separator: str) -> str:
    """Rows of cells; those with the separator in quotes."""
    quoted = [[f'"{cell}"' if separator in cell else cell for cell in row] for row in rows]
    return "\n".join(separator.join(row) for row in quoted) + "\n"


def encoded(random: Random, rows: list[list[str]]) -> tuple[str, bytes]:
    """A table in one of the ways that tables leave: separators, a byte order mark, line ends, JSON."""
    way = random.randrange(6)
    if way == 5:
        return "table.json", json.dumps([dict(zip(rows[0], row, strict=True)) for row in rows[1:]]).encode()
    text = delimited(rows, ",;\t;,"[way])
    if way == 3:
        text = "\ufeff" + text
    return ("table.tsv" if way == 2 else "table.csv"), text.replace("\n", "\r\n" if way == 4 else "\n").encode()


def hexadecimal(random: Random, size: int = 32) -> str:
    """A pseudonym."""
    return "".join(random.choice("0123456789abcdef") for _ in range(size))


NAMES = ("M. Lefort", "Mme Duval", "Dr Caron", "Camille Roussel", "ROUSSEL Camille", "patient Brunel")


def drawn(random: Random, mode: str = "RGB") -> Image.Image:
    """A bar chart."""
    image = Image.new(mode, (160, 120), "white")
    pencil = ImageDraw.Draw(image)
    for bar in range(6):
        pencil.rectangle((10 + 25 * bar, 110 - random.randrange(20, 90), 25 + 25 * bar, 110), fill="navy")
    return image


def png(image: Image.Image, **options: object) -> bytes:
    """A picture's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bars(random: Random, least: int = 30) -> bytes:
    """The table behind a picture."""
    return delimited(
        [["service", "n"], *([f"S{n}", str(v)] for n, v in enumerate(counts(random, 6, least)))], ","
    ).encode()


def notebook(cells: list[tuple[str, str]], **more: object) -> dict[str, object]:
    """A notebook of (kind, source)."""
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    made: list[dict[str, object]] = [
        {
            "cell_type": kind,
            "metadata": {},
            "source": source,
            **({"outputs": [], "execution_count": None} if kind == "code" else {}),
        }
        for kind, source in cells
    ]
    return {"cells": made, "metadata": {**kernel, **more}, "nbformat": 4, "nbformat_minor": 5}


def safetensors(random: Random, metadata: dict[str, str] | None = None) -> bytes:
    """A model of one layer."""
    weights = np.array([random.gauss(0, 1) for _ in range(12)], dtype=np.float32).tobytes()
    header: dict[str, object] = {"layer.weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}}
    if metadata:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + weights


def predictions(random: Random, leak: float, people_: int = 450, exposed: float = 1.0, shadows: int = 0) -> bytes:
    """What a model answers; ``leak``: how much surer it is of its ``exposed`` members."""
    rows = [["member", "label", "p1", *(f"shadow_{n}" for n in range(shadows)), *(f"in_{n}" for n in range(shadows))]]
    for place in range(2 * people_):
        member, label = place % 2, random.randrange(2)
        hard = random.gauss(0.8, 1.2)
        lift = leak if member and random.random() < exposed else 0.0
        sure = 1 / (1 + np.exp(-(hard + lift + random.gauss(0, 0.3))))
        seen = [random.randrange(2) for _ in range(shadows)]
        shadow = [1 / (1 + np.exp(-(hard + leak * each + random.gauss(0, 0.3)))) for each in seen]
        score = sure if label else 1 - sure
        rows.append([str(member), str(label), f"{score:.5f}", *(f"{each:.5f}" for each in shadow), *map(str, seen)])
    return delimited(rows, ",").encode()


HARMLESS = (
    "# Analyse principale\n\nLes patients de 18 ans et plus ont été inclus entre janvier 2019 et décembre 2023.",
    "The model was validated by 5-fold cross-validation; the area under the curve is 0.81 (0.78 to 0.84).",
    "Méthodes : régression de Cox, ajustée sur l'âge et le sexe, avec la méthode de Kaplan-Meier pour les courbes.",
    "Counts below 11 are shown as <11; percentages are rounded to 1 decimal. See Figure 2 and Table 3.",
    "Le service de cardiologie compte 412 patients, dont 185 femmes. L'effectif des plus jeunes est inférieur à 11.",
    "Sensitivity analyses with 3 definitions of readmission (7, 30 and 90 days) gave similar results.",
    "Limites : étude monocentrique ; données manquantes imputées 20 fois ; patients de 90 ans et plus regroupés.",
)


CODE = (
    "import duckdb\n\nrows = duckdb.sql('SELECT sex, count(*) AS n FROM patient GROUP BY sex HAVING count(*) >= 11')\n",
    "from sklearn.linear_model import LogisticRegression\n\nmodel = LogisticRegression(C=0.5, max_iter=9)\nfolds = 5\n",
    "SEED = 7\nEPOCHS = 40\nLEARNING_RATE = 0.001\n\n\ndef split(rows):\n    return rows[:80], rows[80:]\n",
    "period = ('2019-01-01', '2023-12-31')\ncodes = ['I21', 'I22', 'E11']\n",
)
