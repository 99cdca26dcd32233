"""DuckDB over Parquet and plain loops give the same risk of any tables: classes, diversity, losses, attacks."""

from __future__ import annotations

import random
import tomllib
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erios.extracts.risk import RiskReport, assess, load_knowledge
from erios.extracts.risk.attacker_knowledge import Quasi
from erios.extracts.risk.extract_tables import Extract, open_folder
from erios.extracts.risk.figures import expected_inverse
from erios.extracts.risk.generalisation_search import proposals
from erios.extracts.risk.metrics import risk_of
from erios.extracts.risk.patient_facts import Pair, make_pairs, sources
from erios.extracts.risk.quasi_identifiers import Dimension, Level, make_persons
from erios.extracts.risk.report import ClassSize, Risk
from erios.extracts.risk.singling_out import attacks
from tests.property import slow_risk as slow
from tests.sampling import examples

NAMES = ["birth", "gender", "place", "stays", "first_diagnosis"]
TEXT = pa.string()
SCHEMAS = {
    "patient": {
        **dict.fromkeys(["patient_key", "birth_date", "gender", "departement", "marital_status"], TEXT),
        "score": pa.int32(),
    },
    "encounter": {"patient_key": TEXT, "class": TEXT},
    "condition": dict.fromkeys(["patient_key", "code_icd10", "recorded_date"], TEXT),
}
KNOWLEDGE = """
suppression_limit = 0.0
[hierarchies]
birth = ["year", "years:10", "suppress"]
gender = ["suppress"]
place = ["map:region", "suppress"]
diagnosis = ["prefix:1", "suppress"]
count = ["steps:0,1,2,3", "suppress"]
[maps.region]
AURA = ["69", "38"]
IDF = ["75", "92"]
[[quasi]]
name = "birth"
table = "patient"
columns = ["birth_date"]
hierarchy = "birth"
fr = "b"
en = "b"
[[quasi]]
name = "gender"
table = "patient"
columns = ["gender"]
hierarchy = "gender"
fr = "g"
en = "g"
[[quasi]]
name = "place"
table = "patient"
columns = ["departement"]
hierarchy = "place"
fr = "p"
en = "p"
[[quasi]]
name = "stays"
table = "encounter"
columns = []
how = "count"
hierarchy = "count"
fr = "s"
en = "s"
[[quasi]]
name = "first_diagnosis"
table = "condition"
columns = ["code_icd10"]
how = "first"
order = ["recorded_date"]
hierarchy = "diagnosis"
fr = "f"
en = "f"
[[sensitive]]
name = "diagnoses"
table = "condition"
columns = ["code_icd10"]
kind = "set"
fr = "d"
en = "d"
[[sensitive]]
name = "marital_status"
table = "patient"
columns = ["marital_status"]
fr = "m"
en = "m"
[[sensitive]]
name = "score"
table = "patient"
columns = ["score"]
kind = "number"
fr = "n"
en = "n"
"""
KEYS = st.sampled_from([f"p{n:02}" for n in range(12)])


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


PATIENTS = st.lists(
    st.fixed_dictionaries(
        {
            "patient_key": KEYS,
            "birth_date": one_of("1980", "1981-05", "1990-01-02", "1980-1989", None),
            "gender": one_of("female", "0", None),
            "departement": one_of("69", "38", "75", "20", None),
            "marital_status": one_of("M", "S", None),
            "score": one_of(1, 2, 2, 10, None),
        }
    ),
    unique_by=lambda row: row["patient_key"],
    max_size=12,
)
STAYS = st.lists(st.fixed_dictionaries({"patient_key": KEYS, "class": one_of("IMP", "AMB")}), max_size=15)
CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {
            "patient_key": KEYS,
            "code_icd10": one_of("E11.9", "E10", "I10", "Z00", None),
            "recorded_date": one_of("2020-01-01", "2021", None),
        }
    ),
    max_size=15,
)
TABLES = st.fixed_dictionaries({"patient": PATIENTS, "encounter": STAYS, "condition": CONDITIONS})


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory):
    file = tmp_path_factory.mktemp("conf") / "risk.toml"
    file.write_text(KNOWLEDGE)
    assert tomllib.loads(KNOWLEDGE)["maps"]["region"].keys() == set(slow.REGIONS.values())
    return load_knowledge(file)


def write(folder: Path, tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    for name, rows in tables.items():
        (folder / name).mkdir()
        schema = pa.schema(list(SCHEMAS[name].items()))
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / name / "part-0.parquet")
    return {name: list(SCHEMAS[name]) for name in tables}


def assert_figures(risk: Risk, expected: dict[str, Any]) -> None:
    told = {name: -1 if (value := getattr(risk, name)) is None else value for name in expected}
    assert told == pytest.approx({name: -1 if value is None else value for name, value in expected.items()}, rel=1e-6)


def check_classes(report: RiskReport, values: dict[str, Any]) -> None:
    sizes = slow.histogram(values)
    assert {one.size: one.classes for one in report.histogram} == sizes
    assert_figures(report.risk, slow.figures(sizes, report.threshold, report.population))


def check_contributions(report: RiskReport, values: dict[str, Any]) -> None:
    for n, one in enumerate(report.contributions):
        alone = slow.histogram({key: value[n : n + 1] for key, value in values.items()})
        without = slow.histogram({key: value[:n] + value[n + 1 :] for key, value in values.items()})
        assert (one.alone.k, one.alone.classes) == (min(alone, default=None), sum(alone.values()))
        assert (one.without.k, one.without.classes) == (min(without, default=None), sum(without.values()))


def check_losses(report: RiskReport, values: dict[str, Any]) -> None:
    for n, one in enumerate(report.quasi):
        column = [value[n] for value in values.values()]
        levels = range(len(slow.HIERARCHIES[one.name]) + 1)
        ncps = [pytest.approx(slow.ncp(column, one.name, level)) for level in levels]
        entropies = [pytest.approx(slow.entropy_loss(column, one.name, level), abs=1e-9) for level in levels]
        assert all(level.ncp in ncps and level.entropy_loss in entropies for level in one.levels)
        assert one.levels[-1].ncp == ncps[-1]


def check_proposals(report: RiskReport, values: dict[str, Any]) -> None:
    best = slow.least_loss(values, NAMES, report.threshold)
    needed = report.risk.under_threshold > 0
    assert report.search.complete
    assert [one.loss for one in report.proposals][:1] == ([pytest.approx(best)] if needed and best is not None else [])
    assert all(one.after.k is not None and one.after.k >= report.threshold for one in report.proposals)


def sets_of(tables: dict[str, list[dict[str, Any]]], name: str) -> dict[str, frozenset[Any]]:
    if name == "diagnoses":
        found = {key: slow.rows_of(tables, "condition", key) for key in slow.patients(tables)}
        codes = {key: {row["code_icd10"] for row in rows} - {None} for key, rows in found.items()}
        return {key: frozenset(value or {None}) for key, value in codes.items()}
    column = {row["patient_key"]: row[name] for row in tables["patient"]}
    return {key: frozenset([column.get(key)]) for key in slow.patients(tables)}


def check_sensitive(report: RiskReport, values: dict[str, Any], tables: dict[str, list[dict[str, Any]]]) -> None:
    assert len(report.sensitive) == (3 if values else 0)
    for one in report.sensitive:
        besides = [NAMES.index(name) for name in one.besides]
        assert one.besides == (("first_diagnosis",) if one.name == "diagnoses" else ())
        kept = {key: tuple(v for n, v in enumerate(value) if n not in besides) for key, value in values.items()}
        groups, sets = list(slow.classes(kept).values()), sets_of(tables, one.name)
        expected = slow.diversity(groups, sets) | slow.closeness(groups, sets, ordered=one.kind == "number")
        assert {name: getattr(one, name) for name in expected} == pytest.approx(expected), one.name


@settings(max_examples=examples(10))
@given(TABLES, st.integers(2, 5), st.sampled_from([None, 5, 40]))
def test_every_metric_equals_the_slow_one(knowledge, tables, threshold, population):
    with TemporaryDirectory() as folder:
        names = write(Path(folder), tables)
        report = assess(Path(folder), names, knowledge, threshold=threshold, seed=1, population=population, targets=1)
    values = slow.known_values(tables, NAMES)

    assert report.patients == len(values)
    check_classes(report, values)
    check_contributions(report, values)
    check_losses(report, values)
    check_proposals(report, values)
    check_sensitive(report, values, tables)


def facts_of(tables: dict[str, list[dict[str, Any]]], named: list[tuple[str, str]]) -> dict[str, set[Any]]:
    """Every patient's facts: (source, value), as strings."""
    found: dict[str, set[Any]] = {key: set() for key in slow.patients(tables)}
    for n, (table, column) in enumerate(named):
        for key in found:
            rows = slow.rows_of(tables, table, key)
            if column == "count rows":
                values = [str(len(rows))] if rows else []
            else:
                values = [str(row[column]) for row in rows if row[column] is not None]
            found[key] |= {(n, value) for value in values}
    return found


@settings(max_examples=examples(10))
@given(TABLES, st.integers(1, 4))
def test_singling_out_equals_the_slow_one_for_the_same_facts(knowledge, tables, threshold):
    with TemporaryDirectory() as folder, open_folder(Path(folder), write(Path(folder), tables), 256, None) as extract:
        patients = make_persons(extract)
        found = sources(extract, knowledge)
        pairs = make_pairs(extract, found)
        told = attacks(extract, pairs, patients, targets=50, threshold=threshold, seed=3, memory_mb=256)
        chosen = [row for n, pair in enumerate(pairs) for row in chosen_of(extract, n, pair)] if patients else []
    facts = facts_of(tables, [(source.table, source.column) for source in found])
    check_attacks(told, facts, chosen, threshold)


def chosen_of(extract: Extract, source: int, pair: Pair) -> list[Any]:
    """Key, source, value and place in the random order of what an attacker may know of one source."""
    words = f"fact JOIN {pair.words} USING (c) WHERE source = {source}"
    chosen = f"choice JOIN person USING (pid) JOIN (SELECT f, source, v FROM {words}) USING (f)"
    return extract.rows(f"SELECT patient_key, source, v, drawn FROM {chosen}")


def check_attacks(told: Any, facts: dict[str, set[Any]], chosen: list[Any], threshold: int) -> None:
    assert len(told) == (20 if facts else 0)
    for attack in told:
        fits = []
        for key, own in facts.items():
            theirs = sorted((drawn, (source, v)) for who, source, v, drawn in chosen if who == key)
            assert {fact for _, fact in theirs} <= own
            if attack.attacker == "random":
                known = [fact for drawn, fact in theirs if drawn <= attack.known]
                assert len(known) == min(attack.known, len(own))
            else:
                rare = sorted(own, key=lambda fact: (slow.fitting([fact], facts), fact))[:10]
                known = slow.worst_facts(rare, facts, attack.known)
            fits.append(slow.fitting(known, facts))
        assert attack.reidentified == pytest.approx(sum(1 / n for n in fits) / len(fits))
        assert (attack.targets, attack.singled, attack.under) == (
            len(facts),
            sum(n == 1 for n in fits),
            sum(n < threshold for n in fits),
        )


@given(st.dictionaries(st.integers(1, 60), st.integers(1, 9), max_size=6), st.integers(1, 20), st.floats(1, 30))
@settings(max_examples=examples(40))
def test_figures_of_class_sizes_equal_the_slow_ones(sizes, threshold, times):
    patients = sum(size * number for size, number in sizes.items())
    population = max(1, round(patients * times))

    risk = risk_of([ClassSize(*pair) for pair in sorted(sizes.items())], threshold, population)

    assert_figures(risk, slow.figures(sizes, threshold, population))


@pytest.mark.parametrize("fraction", [0.03, 0.3, 0.4999, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("size", [1, 2, 30, 60, 61, 200])
def test_the_expected_inverse_equals_the_sum_over_the_law(size, fraction):
    assert expected_inverse(size, fraction) == pytest.approx(slow.expected_inverse(size, fraction), rel=1e-9)


class PlainLattice:
    """The lattice of random rows in plain Python: a column's digits are cut one by one, from the right."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self.rows = [
            [f"{draw.randrange(3)}{draw.randrange(3)}{draw.randrange(2)}" for _ in range(3)] for _ in range(40)
        ]
        self.patients, self.cells, self.bottom, self.top = 40, 40, (0, 0, 0), (3, 3, 3)
        quasi = [Quasi(name, "patient", (name,), name, name) for name in "abc"]
        self.dimensions = [Dimension(one, tuple(self.level(n, cut) for cut in range(4))) for n, one in enumerate(quasi)]
        self.counted: dict[Any, tuple[ClassSize, ...]] = {}

    def level(self, column: int, cut: int) -> Level:
        values = [row[column] for row in self.rows]
        groups = {value: sum(one[: 3 - cut] == value[: 3 - cut] for one in set(values)) for value in values}
        return Level(str(cut), 0, sum(groups[v] - 1 for v in values) / 40 / (len(groups) - 1), 0.0)

    def sizes(self, node: Any) -> tuple[ClassSize, ...]:
        cut = {n: tuple(v[: 3 - c] for v, c in zip(row, node, strict=True)) for n, row in enumerate(self.rows)}
        self.counted[node] = tuple(
            ClassSize(*pair) for pair in slow.histogram({str(n): v for n, v in cut.items()}).items()
        )
        return self.counted[node]

    def ncp(self, node: Any) -> float:
        return float(sum(one.levels[place].ncp for one, place in zip(self.dimensions, node, strict=True))) / 3

    def entropy_loss(self, _: Any) -> float:
        return 0.0


def test_the_best_proposal_is_the_best_of_all_nodes_where_greed_misses_it():
    for seed in range(60, 85):
        lattice = PlainLattice(seed)

        found, search = proposals(lattice, 3, None, 0.0)  # type: ignore[arg-type] # a lattice in all but name

        nodes = product(range(4), repeat=3)
        enough = [lattice.ncp(node) for node in nodes if all(one.size >= 3 for one in lattice.sizes(node))]
        assert search.complete
        assert found[0].loss == pytest.approx(min(enough)), seed
