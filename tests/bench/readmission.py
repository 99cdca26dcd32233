"""What a form costs the readmission model, and what it leaves to an attacker: `python -m tests.bench.readmission`.

A generated hospital's extracts in several forms, under one study's key, so that each patient is in the same part of the
data in all of them. The bundle is trained on each with several seeds (parts, first weights, order of batches) by MONAI
alone; risks of the test part are kept. Figures are means over seeds; their 95 % intervals resample patients, the same
ones in every form, so that a difference is one of forms and not of people.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from erios.checkout import PROJECT
from erios.database import set_up_django
from experiments.evaluation.risk_prediction import baseline_risks, metrics_of
from tests.training.hospital import SPECIFICATION

if TYPE_CHECKING:
    from erios.extracts.specification import Specification
    from erios.settings import Settings
    from etl.warehouse.release import Release

BUNDLE = PROJECT / "conf" / "bundles" / "readmission"
FORMS: Mapping[str, Mapping[str, Any]] = {"exact": {"dates": "exact"}, "days": {"dates": "shifted"}}
"""Forms of the same tables: true instants, and moved ones without a clock time."""
SEED, DRAWS, STUDY, OTHER = 1, 1000, "E2026-001", "E2026-002"


@dataclass(frozen=True)
class Outcome:
    """Risks of one training's test part: labels, the model's risks, those of a logistic regression, whose rows."""

    labels: NDArray[Any]
    model: NDArray[Any]
    regression: NDArray[Any]
    patients: NDArray[Any]


def hospital(home: Path, patients: int, seed: int) -> tuple[Release, Settings]:
    """A generated hospital, loaded; ERIOS_HOME must point to ``home``."""
    from erios.settings import load_settings
    from etl.synthetic import generate
    from etl.warehouse.release import open_release
    from tests.inline import load_inline

    if not (home / "warehouse").exists():
        generate(home.parent / "export", patients, seed=seed)
        load_inline([home.parent / "export"])
    settings = load_settings()
    return open_release(settings.warehouse), settings


def read(form: Mapping[str, Any], settings: Settings) -> Specification:
    """The specification of the training tests in a form."""
    from erios.extracts.specification import read_specification

    return read_specification({**SPECIFICATION, **form}, settings.views_dir)


def extract(folder: Path, wanted: Specification, release: Release, settings: Settings, study: str = STUDY) -> Path:
    """Build an extract of a study; its folder."""
    from datetime import datetime

    from erios.extracts.build import build
    from erios.extracts.build_plan import BuildPlan
    from erios.extracts.generalisation.columns import Terms
    from erios.extracts.specification import extract_tables
    from erios.keys import study_key
    from tests.inline import InlineRunner

    terms = Terms(wanted.dates, datetime.fromisoformat(release.created).year, wanted.clock)
    key, tables = partial(study_key, settings.keyring, study, release.key_id), extract_tables(settings.views_dir)
    folder.mkdir(parents=True)
    build(BuildPlan(folder, wanted, tables, terms, 11, 1024, key), release, InlineRunner())
    return folder


def trained(dataset: Path, seed: int, **settings: Any) -> Outcome:
    """Train the bundle as it is, and let it and a logistic regression judge the test part."""
    with TemporaryDirectory(prefix="erios-bench-") as out, redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch and MONAI themselves, as in the process of a run
        import torch
        from monai.bundle.workflows import ConfigWorkflow

        workflow = ConfigWorkflow(str(BUNDLE / "configs" / "train.json"), workflow_type="train", logging_file=False)
        paths = {"bundle_root": str(BUNDLE), "dataset_dir": str(dataset), "output_dir": out, "ckpt_dir": out}
        workflow.parser.update({**paths, "seed": seed, **settings})
        workflow.initialize()
        workflow.run()
        network, rows = (workflow.parser.get_parsed_content(name) for name in ("network", "rows"))
    network.eval()
    train, test = (rows.part(name, seed) for name in ("train", "test"))
    with torch.inference_mode():
        risks = torch.sigmoid(network(torch.from_numpy(test.features))).numpy().astype(np.float64).reshape(-1)
    return Outcome(test.labels, risks, baseline_risks(train, test), test.patients)


def proposed(folder: Path, wanted: Specification, release: Release, settings: Settings) -> Specification:
    """The first proposal of the product for an extract in ``folder``, which must suffice."""
    from erios.extracts.risk import assess, load_knowledge
    from erios.extracts.specification import read_specification
    from erios.keys import study_key
    from erios.workflows.extract_remedies import Trial, find_remedies

    knowledge = load_knowledge(PROJECT / "conf" / "risk.toml")
    report = assess(folder / "data", _tables(wanted), knowledge, seed=SEED, targets=50, dates_known=False)
    key = partial(study_key, settings.keyring, STUDY, release.key_id)
    work = folder / "remedies"
    work.mkdir()
    link = partial(_joined_to_warehouse, release, settings, work)
    first = find_remedies(Trial(report, wanted, release, work, knowledge, key, settings, SEED, link))[0]
    if not first.enough:
        raise SystemExit("no proposal suffices")
    return read_specification(first.specification, settings.views_dir)


def _tables(wanted: Specification) -> dict[str, tuple[str, ...]]:
    return {table.name: table.names() for table in wanted.tables}


def _joined_to_warehouse(
    release: Release, settings: Settings, work: Path, data: Path, wanted: Specification
) -> list[Any]:
    from erios.extracts.risk import link_rows, load_knowledge
    from erios.extracts.risk.report import Joined
    from erios.workflows.extract_linkage import warehouse_rows

    truth, knowledge = _truth(work, wanted, release, settings, None), load_knowledge(PROJECT / "conf" / "risk.toml")
    rows = warehouse_rows(wanted, release, truth, settings)
    found = link_rows(data, _tables(wanted), rows, knowledge, truth, seed=SEED, targets=100, scratch=work)
    return [Joined("warehouse", found.targets, found.correct, found.share, found.low, found.high, found.chance)]


def _truth(work: Path, wanted: Specification, release: Release, settings: Settings, other: str | None) -> Path:
    """Who is who in two studies, or in a study and the warehouse."""
    from erios.extracts.membership import write_truth
    from erios.keys import study_key

    keys = [study_key(settings.keyring, name, release.key_id) if name else None for name in (STUDY, other)]
    write_truth(work / "truth.parquet", release, wanted.cohort, keys, 1024)
    return work / "truth.parquet"


def relinked(first: Path, second: Path, wanted: Specification, release: Release, settings: Settings) -> dict[str, Any]:
    """Shared patients found by joining the extracts of two studies: the report's figure, and that of ``outsider``."""
    from erios.extracts.risk import link, load_knowledge
    from erios.extracts.risk.figures import wilson

    truth, knowledge = _truth(first, wanted, release, settings, OTHER), load_knowledge(PROJECT / "conf" / "risk.toml")
    tables = _tables(wanted)
    found = link(first / "data", tables, second / "data", tables, knowledge, truth, seed=SEED)
    right, targets = outsider(first, second, truth)
    return {"report": (found.share, found.low, found.high), "outsider": wilson(right, targets), "targets": targets}


def outsider(first: Path, second: Path, truth: Path) -> tuple[float, int]:
    """An attacker of its own, who shares no code with the product: a patient is how often each row and each value of a
    column stands in the files; the likeliest is the nearest by the cosine of these, weighted by rarity. Of several
    nearest, one is drawn; answers the expected number of right guesses, and of targets."""
    import pyarrow.parquet as pq

    names_a, features_a = _vectors(first)
    names_b, features_b = _vectors(second)
    index = {feature: n for n, feature in enumerate({f for facts in (*features_a, *features_b) for f in facts})}
    a, b = _matrix(features_a, index), _matrix(features_b, index)
    weight = np.log(len(b) / np.maximum((b > 0).sum(axis=0), 1))
    a, b = (_unit(side * weight) for side in (a, b))
    where = {name: n for n, name in enumerate(names_b)}
    rows = pq.read_table(truth).to_pylist()
    mine = {row["key_a"]: where[row["key_b"]] for row in rows if row["key_b"] in where}
    near = np.round(a @ b.T, 9)
    right = [
        float(line[mine[name]] == line.max()) / (line == line.max()).sum()
        for name, line in zip(names_a, near, strict=True)
        if name in mine
    ]
    return sum(right), len(right)


def _vectors(folder: Path) -> tuple[list[str], list[dict[Any, int]]]:
    """Patients and their facts with how often each is there."""
    import pyarrow.dataset as ds

    facts: dict[str, dict[Any, int]] = {}
    for table in sorted((folder / "data").iterdir()):
        for row in ds.dataset(table).to_table().to_pylist():
            own = facts.setdefault(row.pop("patient_key"), {})
            told = [(table.name, name, value) for name, value in row.items() if not name.endswith("_key")]
            for fact in (*told, tuple(told)):
                own[fact] = own.get(fact, 0) + 1
    return list(facts), list(facts.values())


def _matrix(features: Sequence[Mapping[Any, int]], index: Mapping[Any, int]) -> NDArray[np.float64]:
    matrix = np.zeros((len(features), len(index)))
    for n, facts in enumerate(features):
        for fact, count in facts.items():
            matrix[n, index[fact]] = count
    return matrix


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))


Figure = tuple[float, float, float]
"""A mean over seeds with its interval."""


def compared(outcomes: Mapping[str, Sequence[Outcome]], name: str = "roc_auc") -> dict[str, Figure]:
    """A metric of each form, and its difference from the first form's, as means over seeds with 95 % intervals."""
    people = np.unique(np.concatenate([one.patients for runs in outcomes.values() for one in runs]))
    weights = np.random.default_rng(SEED).multinomial(len(people), np.full(len(people), 1 / len(people)), DRAWS)
    weights = np.vstack([np.ones(len(people)), weights]).astype(float)
    means = {form: _mean(runs, people, weights, name) for form, runs in outcomes.items()}
    first = next(iter(means))
    differences = {f"{form} − {first}": values - means[first] for form, values in means.items() if form != first}
    return {what: _figure(values) for what, values in (means | differences).items()}


def _mean(runs: Sequence[Outcome], people: NDArray[Any], weights: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Over seeds, for each row of ``weights`` of the people."""
    values = [
        metrics_of(one.labels, one.model)[name](weights[:, np.searchsorted(people, one.patients)]) for one in runs
    ]
    return np.asarray(np.ma.masked_invalid(values).mean(axis=0).filled(np.nan))  # a resample may lack an outcome


def _figure(values: NDArray[np.float64]) -> Figure:
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return float(values[0]), float(low), float(high)


@dataclass(frozen=True)
class Measured:
    """What a hospital's forms cost and leave: figures of the model by metric and form, and shares re-linked."""

    model: Mapping[str, Mapping[str, Figure]]
    joins: Mapping[str, Any]
    specification: Mapping[str, Any]


def measure(folder: Path, release: Release, settings: Settings, seeds: Sequence[int], epochs: int) -> Measured:
    """Build the forms in ``folder``, train on each with each seed, and attack what the product proposes."""
    from erios.extracts.specification import dump_specification

    wanted = {name: read(form, settings) for name, form in FORMS.items()}
    built = {name: extract(folder / name, one, release, settings) for name, one in wanted.items()}
    wanted["proposed"] = proposed(built["days"], wanted["days"], release, settings)
    built["proposed"] = extract(folder / "proposed", wanted["proposed"], release, settings)
    other = extract(folder / "other", wanted["proposed"], release, settings, OTHER)
    joins = relinked(built["proposed"], other, wanted["proposed"], release, settings)
    outcomes = {name: [trained(one, seed, epochs=epochs) for seed in seeds] for name, one in built.items()}
    figures = {name: compared(outcomes, name) for name in ("roc_auc", "brier", "base_rate_brier")}
    return Measured(figures, joins, dump_specification(wanted["proposed"]))


def main() -> None:
    """Print the figures."""
    set_up_django("tests.site")
    parser = argparse.ArgumentParser(prog="python -m tests.bench.readmission")
    parser.add_argument("--patients", type=int, default=4000)
    parser.add_argument("--hospital", type=int, default=11, help="seed of the generated hospital")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="keep everything here; a hospital that is there is used")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="erios-bench-") as made:
        folder = options.folder or Path(made)
        os.environ["ERIOS_HOME"] = str(folder / "home")
        release, settings = hospital(folder / "home", options.patients, options.hospital)
        found = measure(folder / "forms", release, settings, range(options.seeds), options.epochs)
    print(json.dumps({"model": found.model, "joins": found.joins, "proposed": found.specification}, indent=1))


if __name__ == "__main__":
    main()
