"""A hundred files that must not leave and a hundred that may, drawn with a seed: the airlock's attacker and its
authors.

Each file is drawn anew from a kind: its figures, labels, separators, decimals and language change with the seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from PIL.PngImagePlugin import PngInfo

from tests.airlock.planted import (
    CODE,
    COUNTS,
    HARMLESS,
    Draw,
    Planted,
    bars,
    counts,
    delimited,
    drawn,
    encoded,
    labelled,
    notebook,
    number,
    png,
    predictions,
    safetensors,
)
from tests.airlock.unsafe_files import (
    exposed_model,
    figure_of_few,
    figure_with_more,
    other_form,
    telling_code,
    telling_notebook,
    telling_text,
)
from tests.airlock.unsafe_tables import (
    count_with_share,
    differencing,
    disguised,
    dominated,
    extremes,
    flow,
    hidden_elsewhere,
    hidden_in_margins,
    hidden_in_total,
    hidden_pair,
    label_of_a_person,
    left_out,
    nested,
    people,
    ratio,
    share_of_size,
    share_of_title,
    small_cell,
    small_cell_transposed,
)


def plain_table(random: Random) -> Planted:
    """Counts of many, with shares and totals."""
    header, labels = labelled(random)
    values = counts(random, 4)
    total = sum(values)
    comma = random.random() < 0.5
    rows = [[header, random.choice(COUNTS), "pct"]]
    rows += [[a, str(b), number(random, 100 * b / total, comma)] for a, b in zip(labels, values, strict=True)]
    if random.random() < 0.5:
        rows.append([random.choice(("Total", "Ensemble")), str(total), number(random, 100.0, comma)])
    name, content = encoded(random, rows)
    return Planted(name, content)


def crossed_table(random: Random) -> Planted:
    """Two directions with margins."""
    cells = [[random.randrange(40, 300) for _ in range(3)] for _ in range(4)]
    rows = [[label, *map(str, line), str(sum(line))] for label, line in zip(labelled(random)[1], cells, strict=True)]
    last = ["Total", *(str(sum(line[place] for line in cells)) for place in range(3)), str(sum(map(sum, cells)))]
    return Planted("table.csv", delimited([["service", "oui", "non", "inconnu", "Total"], *rows, last], ";").encode())


def well_hidden(random: Random) -> Planted:
    """Hidden cells that no total gives away."""
    values = counts(random, 3)
    rows = [["grade", "n"], *([a, str(b)] for a, b in zip(("I", "II", "III"), values, strict=True)), ["IV", "<11"]]
    rows[random.randrange(1, 3)][1] = "*"
    if random.random() < 0.5:
        rows.append(["Total", str(sum(values) + random.randrange(0, 11))])
    return Planted("table.csv", delimited(rows, ",").encode())


def measures(random: Random) -> Planted:
    """Means, coefficients, scores of models."""
    way = random.randrange(4)
    if way == 0:
        rows = [["variable", "OR", "IC95 inf", "IC95 sup", "p"]]
        rows += [[name, f"{random.uniform(1, 2):.2f}", "1.01", "2.40", "0.03"] for name in ("Âge", "Sexe", "Diabète")]
    elif way == 1:
        rows = [["fold", "auc", "sensitivity", "specificity"]]
        rows += [[str(fold), *(f"{random.uniform(0.6, 0.9):.3f}" for _ in range(3))] for fold in range(1, 6)]
    elif way == 2:
        rows = [["service", "n", "âge moyen", "écart type"]]
        values = zip(labelled(random)[1], counts(random, 4), strict=True)
        rows += [[a, str(b), f"{random.uniform(40, 70):.1f}", f"{random.uniform(9, 15):.1f}"] for a, b in values]
    else:
        rows = [["epoch", "loss", "val_loss"]]
        rows += [[str(epoch), f"{2 / (epoch + 1):.4f}", f"{2.1 / (epoch + 1):.4f}"] for epoch in range(30)]
    return Planted("measures.csv", delimited(rows, ",").encode())


def table_one(random: Random) -> Planted:
    """Table 1 of a paper."""
    sizes = counts(random, 2, 100, 400)
    rows = [["Variable", *(f"Groupe {name} (n={size})" for name, size in zip("AB", sizes, strict=True))]]
    for label in ("Femmes, n (%)", "Diabète, n (%)", "HTA, n (%)"):
        parts = [random.randrange(size // 4, size // 2) for size in sizes]
        rows.append([label, *(f"{part} ({100 * part / size:.1f})" for part, size in zip(parts, sizes, strict=True))])
    rows.append(["Âge, moyenne (ET)", "54.2 (12.1)", f"{random.uniform(50, 60):.1f} (11.8)"])
    return Planted("table1.csv", delimited(rows, ";").encode())


def by_year(random: Random) -> Planted:
    """Counts a year, or years as columns."""
    values = counts(random, 5)
    years = list(range(2018, 2023))
    if random.random() < 0.5:
        rows = [["annee", "n"], *([str(year), str(value)] for year, value in zip(years, values, strict=True))]
    else:
        rows = [
            ["cause", *map(str, years)],
            ["Respiratoire", *map(str, values)],
            ["Cardiaque", *map(str, counts(random, 5))],
        ]
    return Planted("years.csv", delimited(rows, ",").encode())


def after_another(random: Random) -> Planted:
    """A table that left before, again, or another far from it."""
    labels, values = labelled(random)[1], counts(random, 4)
    before = delimited([["g", "n"], *([a, str(b)] for a, b in zip(labels, values, strict=True))], ",")
    shifted = [value + random.choice((0, 60, 75)) for value in values]
    now = delimited([["g", "n"], *([a, str(b)] for a, b in zip(labels, shifted, strict=True))], ";")
    return Planted("table.csv", now.encode(), earlier=(before.encode(),))


def plain_figure(random: Random) -> Planted:
    """A picture with its data."""
    maker = PngInfo()
    maker.add_text("Software", "Matplotlib version3.11.0, https://matplotlib.org/")
    ways: tuple[dict[str, object], ...] = ({}, {"dpi": (100, 100)}, {"pnginfo": maker})
    return Planted(
        "figure.png",
        png(drawn(random, random.choice(("RGB", "L", "RGBA"))), **random.choice(ways)),
        {"data.csv": bars(random)},
    )


def harmless_text(random: Random) -> Planted:
    """Prose."""
    return Planted("notes.md", "\n\n".join(random.sample(HARMLESS, 3)).encode())


def harmless_code(random: Random) -> Planted:
    """A program."""
    ways = (
        ("analysis.py", "\n".join(random.sample(CODE, 2))),
        (
            "cohort.sql",
            "SELECT sex, count(*) AS n\nFROM patient\nWHERE birth_year < 1990\nGROUP BY sex\nHAVING count(*) >= 11;\n",
        ),
        ("config.toml", f"seed = {random.randrange(99)}\nepochs = 40\nlearning_rate = 0.001\nbatch_size = 8\n"),
        ("model.R", "fit <- glm(outcome ~ age + sex, data = frame, family = binomial)\nsummary(fit)\n"),
        ("params.yaml", "model:\n  depth: 4\n  folds: 5\nfeatures:\n  - age\n  - sex\n"),
    )
    name, text = random.choice(ways)
    return Planted(name, text.encode())


def harmless_notebook(random: Random) -> Planted:
    """Sources alone."""
    return Planted(
        "analysis.ipynb",
        json.dumps(notebook([("markdown", random.choice(HARMLESS)), ("code", random.choice(CODE))])).encode(),
    )


def fair_model(random: Random) -> Planted:
    """A model that tells its patients from nobody."""
    return Planted(
        "model.safetensors", safetensors(random), {"predictions.csv": predictions(random, 0.05, people_=500)}
    )


UNSAFE: dict[Draw, int] = {
    small_cell: 10,
    small_cell_transposed: 2,
    count_with_share: 3,
    share_of_size: 4,
    share_of_title: 2,
    ratio: 2,
    hidden_in_total: 6,
    hidden_in_margins: 5,
    hidden_pair: 2,
    left_out: 2,
    nested: 3,
    flow: 2,
    differencing: 8,
    hidden_elsewhere: 2,
    dominated: 2,
    extremes: 4,
    people: 4,
    label_of_a_person: 6,
    disguised: 4,
    figure_with_more: 8,
    figure_of_few: 3,
    other_form: 10,
    telling_text: 12,
    telling_code: 8,
    telling_notebook: 6,
    exposed_model: 6,
}
"""How many files of each kind must be held."""
SAFE: dict[Draw, int] = {
    plain_table: 16,
    crossed_table: 8,
    well_hidden: 8,
    measures: 10,
    table_one: 4,
    by_year: 6,
    after_another: 8,
    plain_figure: 12,
    harmless_text: 10,
    harmless_code: 10,
    harmless_notebook: 5,
    fair_model: 3,
}
"""How many files of each kind may pass."""


def drawn_files(kinds: dict[Draw, int], seed: int) -> Iterator[tuple[str, Planted]]:
    """(name, file) of each."""
    for kind, times in kinds.items():
        for place in range(times):
            yield f"{kind.__name__}-{place}", kind(Random(f"{seed} {kind.__name__} {place}"))
