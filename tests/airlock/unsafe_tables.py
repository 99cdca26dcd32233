"""Tables that must not leave, drawn by kind."""

from __future__ import annotations

from random import Random

from tests.airlock.planted import (
    COUNTS,
    NAMES,
    Planted,
    counts,
    delimited,
    encoded,
    hexadecimal,
    labelled,
)


def small_cell(random: Random) -> Planted:
    """One count under the threshold, in any form."""
    header, labels = labelled(random)
    few = random.randrange(1, 11)
    forms = [str(few), f"{few}.0", f" {few} ", f"~{few}", f"{few} *", f"n={few}", f"({few})", f"{few:02d}", f"+{few}"]
    values = [str(value) for value in counts(random, 4)]
    values[random.randrange(4)] = random.choice(forms)
    rows = [[header, random.choice(COUNTS)], *map(list, zip(labels, values, strict=True))]
    name, content = encoded(random, rows)
    return Planted(name, content)


def small_cell_transposed(random: Random) -> Planted:
    """The same, on its side, with a mean below."""
    _, labels = labelled(random)
    values = [str(value) for value in counts(random, 4)]
    values[random.randrange(4)] = str(random.randrange(1, 11))
    means = [f"{random.uniform(40, 70):.1f}" for _ in labels]
    return Planted("table.csv", delimited([["", *labels], ["n", *values], ["âge moyen", *means]], ";").encode())


def count_with_share(random: Random) -> Planted:
    """Table 1 of a paper: "5 (4.2 %)" in one cell of many."""
    sizes = counts(random, 2, 100, 400)
    rows = [["Variable", *(f"Groupe {name} (n={size})" for name, size in zip("AB", sizes, strict=True))]]
    for label in ("Femmes, n (%)", "Diabète, n (%)", "HTA, n (%)"):
        parts = [random.randrange(size // 4, size // 2) for size in sizes]
        rows.append([label, *(f"{part} ({100 * part / size:.1f})" for part, size in zip(parts, sizes, strict=True))])
    few = random.randrange(1, 10)
    rows.append(["Décès, n (%)", f"{few} ({100 * few / sizes[0]:.1f})", f"{sizes[1] // 3} (33.3)"])
    random.shuffle(rows[1:])
    return Planted("table1.csv", delimited(rows, ";").encode())


def share_of_size(random: Random) -> Planted:
    """A share and its denominator: the count is not written, and is known."""
    header, labels = labelled(random)
    sizes = counts(random, 4, 60, 500)
    shares = [100 * random.randrange(size // 5, size // 2) / size for size in sizes]
    few = random.randrange(1, 9)
    shares[1] = 100 * few / sizes[1]
    comma = random.random() < 0.5
    places = random.choice((1, 2))
    cells = [f"{share:.{places}f}".replace(".", "," if comma else ".") for share in shares]
    rows = [[header, "n", random.choice(("pct", "taux de décès (%)", "% readmitted"))]]
    rows += [[a, str(b), c] for a, b, c in zip(labels, sizes, cells, strict=True)]
    return Planted("table.csv", delimited(rows, ";").encode())


def share_of_title(random: Random) -> Planted:
    """A denominator in the title alone."""
    size, few = random.randrange(80, 300), random.randrange(1, 9)
    parts = [few, *(random.randrange(20, size // 3) for _ in range(3))]
    rows = [[label, f"{100 * part / size:.1f}"] for label, part in zip(labelled(random)[1], parts, strict=True)]
    return Planted(
        "table.csv", f"Tableau 2 (N = {size})\n{delimited([['catégorie', 'pourcentage'], *rows], ';')}".encode()
    )


def ratio(random: Random) -> Planted:
    """3/27 in a cell."""
    cells = [
        f"{random.randrange(1, 10)}/{random.randrange(27, 90)}" if not row else f"{40 + row}/{200 + row}"
        for row in range(4)
    ]
    rows = [["service", "décès"], *map(list, zip(labelled(random)[1], cells, strict=True))]
    return Planted("table.csv", delimited(rows, ",").encode())


def hidden_in_total(random: Random) -> Planted:
    """One cell hidden, its total shown, first or last, under any name."""
    header, labels = labelled(random)
    values = counts(random, 4)
    few = random.randrange(0, 11)
    hidden = random.choice((f"<{11}", "*", "c", "", "moins de 11", "masqué"))
    cells = [[label, str(value)] for label, value in zip(labels, values, strict=True)]
    cells[random.randrange(4)][1] = hidden
    shown = sum(int(cell) for _, cell in cells if cell.isdigit())
    total = [random.choice(("Total", "Ensemble", "Tous", "All", "Overall")), str(shown + few)]
    rows = [[header, random.choice(COUNTS)], *([total, *cells] if random.random() < 0.5 else [*cells, total])]
    return Planted("table.csv", delimited(rows, random.choice(";,")).encode())


def hidden_in_margins(random: Random) -> Planted:
    """Hidden cells in two directions, which the margins solve."""
    cells = [[random.randrange(40, 300) for _ in range(3)] for _ in range(4)]
    row, column = random.randrange(4), random.randrange(3)
    cells[row][column] = random.randrange(1, 11)
    totals = [sum(line) for line in cells]
    columns = [sum(line[place] for line in cells) for place in range(3)]
    text = [[str(value) for value in line] for line in cells]
    text[row][column] = "<11"
    rows = [[label, *line, str(total)] for label, line, total in zip(labelled(random)[1], text, totals, strict=True)]
    head = ["service", "oui", "non", "inconnu", random.choice(("Total", "Ensemble"))]
    last = ["Total", *map(str, columns), str(sum(totals))]
    if random.random() < 0.5:
        rows[row][-1] = "*"
    return Planted("table.csv", delimited([head, *rows, last], ";").encode())


def hidden_pair(random: Random) -> Planted:
    """Two hidden cells that make fewer than the threshold together."""
    first, second = random.randrange(0, 5), random.randrange(1, 5)
    big = counts(random, 2)
    rows = [["grade", "n"], ["I", str(big[0])], ["II", "<11"], ["III", str(big[1])], ["IV", "<11"]]
    rows.append(["Total", str(sum(big) + first + second)])
    return Planted("table.csv", delimited(rows, ",").encode())


def left_out(random: Random) -> Planted:
    """A line that is not in the table, and stands in its total."""
    values = counts(random, 3)
    rows = [["sexe", "effectif"], *([a, str(b)] for a, b in zip("FMX", values, strict=True))]
    rows.append(["Total", str(sum(values) + random.randrange(1, 11))])
    return Planted("table.csv", delimited(rows, ";").encode())


def nested(random: Random) -> Planted:
    """All but a few have it; or all."""
    sizes = counts(random, 4, 60, 400)
    parts = [size - random.randrange(20, 40) for size in sizes]
    parts[2] = sizes[2] - random.randrange(0, 10)
    rows = [["service", random.choice(("n", "patients", "inclus")), random.choice(("guéris", "deaths", "événements"))]]
    rows += [[a, str(b), str(c)] for a, b, c in zip(labelled(random)[1], sizes, parts, strict=True)]
    return Planted("table.csv", delimited(rows, ";").encode())


def flow(random: Random) -> Planted:
    """A flow of inclusion in which few leave at one step."""
    first = random.randrange(300, 900)
    second = first - random.randrange(1, 11)
    third = second - random.randrange(40, 90)
    rows = [
        ["étape", "n"],
        ["Patients éligibles", str(first)],
        ["Patients inclus", str(second)],
        ["Patients analysés", str(third)],
    ]
    return Planted("flow.csv", delimited(rows, ",").encode())


def differencing(random: Random) -> Planted:
    """The same table with a few patients less, or with another limit, or its total alone."""
    header, labels = labelled(random)
    values = counts(random, 4)
    few = random.randrange(1, 11)
    way = random.randrange(4)
    before = [["", "n"], *([a, str(b)] for a, b in zip(labels, values, strict=True))]
    if way == 0:
        changed = [values[0] - few, *values[1:]]
        now = [[header, "n"], *([a, str(b)] for a, b in zip(labels, changed, strict=True))]
    elif way == 1:
        parts = counts(random, 2, 100, 200)
        now = [["groupe", "n"], ["exposés", str(sum(values) - parts[0] - few)], ["autres", str(parts[0])]]
    elif way == 2:
        before = [["population", "n"], ["âge ≥ 65 ans", str(values[0])]]
        now = [["population", "n"], ["âge ≥ 66 ans", str(values[0] - few)]]
    else:
        before = [
            [header, "n"],
            *([a, str(b)] for a, b in zip(labels, values, strict=True)),
            ["Total", str(sum(values))],
        ]
        now = [["", *labels], ["n", *map(str, [*values[:3], values[3] + few])]]
    return Planted("table.csv", delimited(now, ";").encode(), earlier=(delimited(before, ",").encode(),))


def hidden_elsewhere(random: Random) -> Planted:
    """Two tables that hide different cells of the same patients."""
    values = counts(random, 3)
    few = random.randrange(1, 11)
    before = [["sexe", "n"], ["F", str(values[0])], ["M", str(values[1])], ["X", "<11"]]
    now = [["site", "n"], ["A", str(values[2])], ["B", str(values[0] + values[1] + few - values[2])]]
    if int(now[2][1]) < 40:
        return hidden_elsewhere(random)
    return Planted("table.csv", delimited(now, ",").encode(), earlier=(delimited(before, ",").encode(),))


def dominated(random: Random) -> Planted:
    """A sum that one patient makes."""
    rows = [["service", "n", "cout_total", "largest contribution", "second largest"]]
    for place, label in enumerate(labelled(random)[1]):
        total = random.randrange(100_000, 900_000)
        largest = int(total * (0.93 if place == 1 else 0.05))
        rows.append([label, str(random.randrange(40, 90)), str(total), str(largest), str(int(total * 0.03))])
    return Planted("costs.csv", delimited(rows, ";").encode())


def extremes(random: Random) -> Planted:
    """Least and largest values, a median of few, a mean of a hidden group."""
    sizes = counts(random, 4)
    way = random.randrange(3)
    heads = (["n", "age_min", "age_max"], ["n", "médiane"], ["n", "moyenne"])[way]
    rows = [["service", *heads]]
    for place, (label, size) in enumerate(zip(labelled(random)[1], sizes, strict=True)):
        value = f"{random.uniform(40, 70):.1f}"
        shown = "<11" if way == 2 and place == 2 else str(random.randrange(11, 20) if way == 1 and place == 2 else size)
        rows.append(
            [label, shown, *([str(random.randrange(18, 25)), str(random.randrange(88, 97))] if way == 0 else [value])]
        )
    return Planted("table.csv", delimited(rows, ",").encode())


def people(random: Random) -> Planted:
    """One row a person, with or without an identifier."""
    heads = random.choice((["age", "sexe", "imc"], ["patient_id", "hba1c_mean"], ["y_true", "y_score"], ["ipp", "n"]))
    rows = [heads]
    for _ in range(random.randrange(25, 60)):
        row = {
            "age": str(random.randrange(18, 95)),
            "sexe": random.choice("FM"),
            "imc": f"{random.uniform(18, 40):.1f}",
            "patient_id": f"P{random.randrange(10**4)}",
            "hba1c_mean": f"{random.uniform(5, 9):.1f}",
            "y_true": str(random.randrange(2)),
            "y_score": f"{random.random():.3f}",
            "ipp": str(random.randrange(10**5)),
            "n": str(random.randrange(20, 90)),
        }
        rows.append([row[head] for head in heads])
    return Planted("table.csv", delimited(rows, ",").encode())


def label_of_a_person(random: Random) -> Planted:
    """A name, date, pseudonym, number or address among labels or in a note."""
    telling = [
        random.choice(NAMES),
        f"{random.randrange(2015, 2025)}-{random.randrange(1, 12):02d}-{random.randrange(2, 28):02d}",
        hexadecimal(random),
        f"0{random.randrange(6, 8)} {random.randrange(10, 99)} 34 56 {random.randrange(10, 99)}",
        f"contact{random.randrange(99)}@chu.example.org",
        f"1 {random.randrange(30, 99)} 05 75 116 {random.randrange(100, 999)} 42",
        "Note : 3 patients exclus",
        f"dont un homme de {random.randrange(91, 104)} ans",
    ]
    rows = [[label, str(value)] for label, value in zip(labelled(random)[1], counts(random, 4), strict=True)]
    place = random.randrange(4)
    rows[place][0] = random.choice(telling)
    return Planted("table.csv", delimited([["groupe", "n"], *rows], ";").encode())


def disguised(random: Random) -> Planted:
    """Formulas, letters that nobody sees, figures that carry something else."""
    rows = [[label, str(value)] for label, value in zip(labelled(random)[1], counts(random, 4), strict=True)]
    trick = random.randrange(4)
    if trick == 0:
        rows[1][1] = f"=A1+{random.randrange(100)}"
    elif trick == 1:
        rows[1][0] += "".join(random.choice("\u200b\u200c\u200d\u2060") for _ in range(8))
    elif trick == 2:
        return Planted(
            "table.csv", ("g,n,mean\n" + f"A,120,54.{random.randrange(10**9, 10**10)}\nB,300,61.2\n").encode()
        )
    else:
        rows = [[label, value + " \t" * random.randrange(2, 5)] for label, value in rows]
    return Planted("table.csv", delimited([["groupe", "n"], *rows], ",").encode())
