"""Pictures, other forms, prose, code, notebooks and models that must not leave, drawn by kind."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from random import Random

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.airlock.planted import (
    CODE,
    HARMLESS,
    NAMES,
    Planted,
    bars,
    chunk,
    delimited,
    drawn,
    hexadecimal,
    notebook,
    png,
    predictions,
    safetensors,
)


def figure_with_more(random: Random) -> Planted:
    """A picture with a key, a name or a table in a chunk, after its end, in its data or under transparency."""
    secret = hexadecimal(random).encode()
    content = png(drawn(random))
    end = content.index(b"IEND") - 4
    text = PngInfo()
    text.add_text("Comment", secret.decode())
    packed = PngInfo()
    packed.add_itxt("Author", random.choice(NAMES), zip=True)
    veiled = drawn(random, "RGBA")
    veiled.putpixel((3, 3), (1, 2, 3, 0))
    veiled.putpixel((4, 3), (200, 2, 3, 0))
    veiled.putpixel((5, 3), (20, 99, 3, 0))
    ways = (
        lambda: png(drawn(random), pnginfo=text),
        lambda: png(drawn(random), pnginfo=packed),
        lambda: png(drawn(random), exif=Image.Exif().tobytes() + secret),
        lambda: content + secret,
        lambda: content[:end] + chunk(b"pvTx", secret) + content[end:],
        lambda: content[:end] + chunk(b"tIME", struct.pack(">HBBBBB", 2024, 3, 12, 10, 11, 12)) + content[end:],
        lambda: content[:end] + chunk(b"IDAT", zlib.compress(secret)) + content[end:],
        lambda: png(veiled),
        lambda: content[:33] + chunk(b"acTL", struct.pack(">II", 2, 0)) + content[33:],
        lambda: content[:-4] + b"\0\0\0\0",
    )
    return Planted("figure.png", random.choice(ways)(), {"data.csv": bars(random)})


def figure_of_few(random: Random) -> Planted:
    """A picture whose data have a small bar, are people, or are not given."""
    way = random.randrange(3)
    few = delimited([["service", "n"], ["A", "120"], ["B", str(random.randrange(1, 10))]], ",").encode()
    points = delimited(
        [["age", "imc"], *([str(random.randrange(18, 90)), f"{random.uniform(18, 40):.1f}"] for _ in range(30))], ","
    )
    data: dict[str, bytes] = [{"data.csv": few}, {"data.csv": points.encode()}, {}][way]
    return Planted("figure.png", png(drawn(random)), data)


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def other_form(random: Random) -> Planted:
    """What runs, unpacks or hides: pickles, archives, office files, markup, arrays, other pictures and letters."""
    table = delimited([["g", "n"], ["A", str(random.randrange(50, 900))]], ",")
    arrays = io.BytesIO()
    np.save(arrays, np.arange(random.randrange(9, 99)))
    photo = io.BytesIO()
    drawn(random).save(photo, "JPEG")
    ways = (
        ("model.pkl", pickle.dumps({"rows": [random.random() for _ in range(9)]})),
        ("model.pt2", pickle.dumps([random.random()])),
        ("data.zip", zipped({"table.csv": table.encode()})),
        ("table.xlsx", zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"})),
        ("report.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n"),
        ("plot.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><text>3</text></svg>'),
        ("page.html", b"<!doctype html><script>1</script>"),
        ("array.npy", arrays.getvalue()),
        ("photo.jpg", photo.getvalue()),
        ("table.csv", table.encode("utf-16")),
        ("figure.png", table.encode()),
        ("table.csv", zlib.compress(table.encode())),
        ("table.parquet", b"PAR1" + bytes(range(64)) + b"PAR1"),
        ("notes.md", b"Results\n\n<svg onload='x()'></svg>\n"),
        ("nested.json", json.dumps({"a": {"b": {"c": [{"n": random.randrange(1, 9)}]}}}).encode()),
    )
    return Planted(*random.choice(ways))


TELLING = (
    "On observe {few} décès dans le groupe traité.",
    "Only {few} patients had a relapse.",
    "Parmi les 27 patients, {few} sur 27 sont décédés.",
    "Une patiente de 34 ans, suivie depuis 2019, présente une forme rare.",
    "The outlier is a 97-year-old woman.",
    "Le patient le plus âgé a 98 ans.",
    "Le cas de {name} a été exclu.",
    "Voir le dossier {hash}.",
    "Admis le 12 mars 2021 pour douleur.",
    "Sous-groupe analysé (n = {few}).",
    "La mortalité est de 4,2 % des 120 patients.",
    "Trois patients ont été perdus de vue.",
    "| groupe | n |\n|---|---|\n| A | 120 |\n| B | {few} |",
    "groupe ; n\nA ; 120\nB ; {few}",
    "Un seul patient a présenté cet effet.",
    "Rappeler au 06 12 34 56 {two}.",
    "Deaths: {few}",
    "payload: {blob}",
    "Résultat\u200b\u200c\u200b\u200c caché dans le titre.",
    "Domicilié 12 rue des Lilas.",
)


def telling_text(random: Random) -> Planted:
    """Prose with one sentence that it must not have."""
    sentence = random.choice(TELLING).format(
        few=random.randrange(2, 10),
        name=random.choice(NAMES),
        hash=hexadecimal(random),
        two=random.randrange(10, 99),
        blob="".join(random.choice("ABCDEFabcdef0123456789+/") for _ in range(160)),
    )
    return Planted("notes.md", f"{random.choice(HARMLESS)}\n\n{sentence}\n\n{random.choice(HARMLESS)}\n".encode())


TELLING_CODE = (
    "row = table.filter(patient_key == '{hash}')",
    "known = ['{hash}', '{other}']",
    "ages = [{numbers}]",
    "# vu avec {name}",
    "counts = {{'group': ['A', 'B'], 'n': [120, {few}]}}",
    "deaths = {few}",
    "excluded = encounter.filter(ipp == 80012345)",
    "data = '{blob}'",
    "admitted = '2021-03-12'",
    "TABLE = '''\ngroup;n\nA;120\nB;{few}\n'''",
)


def telling_code(random: Random) -> Planted:
    """A program with data in it."""
    line = random.choice(TELLING_CODE).format(
        hash=hexadecimal(random),
        other=hexadecimal(random),
        numbers=", ".join(str(random.randrange(18, 95)) for _ in range(40)),
        name=random.choice(NAMES[:3]),
        few=random.randrange(2, 10),
        blob="".join(random.choice("ABCDEFabcdef0123456789+/") for _ in range(160)),
    )
    return Planted("analysis.py", f"{random.choice(CODE)}\n{line}\n".encode())


def telling_notebook(random: Random) -> Planted:
    """Outputs, attachments, metadata, names and data in a notebook."""
    made: dict[str, object] = notebook([("markdown", random.choice(HARMLESS)), ("code", random.choice(CODE))])
    cells: list[dict[str, object]] = made["cells"]  # type: ignore[assignment]
    way = random.randrange(6)
    if way == 0:
        cells[1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": f"n = {random.randrange(1, 9)}"}]
    elif way == 1:
        cells[0]["attachments"] = {"x.png": {"image/png": "iVBORw0KGgo="}}
    elif way == 2:
        made["metadata"] = {"widgets": {"state": hexadecimal(random)}}
    elif way == 3:
        cells[0]["source"] = f"Discuté avec {random.choice(NAMES)}."
    elif way == 4:
        cells[1]["source"] = f"frame[frame.patient_key == '{hexadecimal(random)}']"
    else:
        cells[1]["metadata"] = {"note": random.choice(NAMES)}
    return Planted("analysis.ipynb", json.dumps(made).encode())


def exposed_model(random: Random) -> Planted:
    """A model that knows its patients, one that few of them are sure to be in, one with something else in it."""
    way = random.randrange(6)
    fair = predictions(random, 0.0)
    if way == 0:
        return Planted("model.safetensors", safetensors(random), {"predictions.csv": predictions(random, 2.0)})
    if way == 1:
        return Planted(
            "model.safetensors", safetensors(random), {"predictions.csv": predictions(random, 6.0, exposed=0.12)}
        )
    if way == 2:
        return Planted(
            "model.safetensors", safetensors(random), {"predictions.csv": predictions(random, 0.6, shadows=16)}
        )
    if way == 3:
        return Planted(
            "model.safetensors", safetensors(random, {"trained_on": hexadecimal(random)}), {"predictions.csv": fair}
        )
    if way == 4:
        return Planted(
            "model.safetensors", safetensors(random) + hexadecimal(random).encode(), {"predictions.csv": fair}
        )
    return Planted("model.safetensors", safetensors(random))
