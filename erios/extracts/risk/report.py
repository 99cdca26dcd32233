"""The report that the DPO reads: frozen values, JSON and back.

It holds counts of patients, never a row. The value of a column stands in it only where ``threshold`` patients or more
share it. It is for the DPO alone: counts under the threshold are in it, since they are what the report is about.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError

from erios.errors import InputError

VERSION = "1"


def _formerly(name: str, former: str) -> Any:
    """A field that reports of earlier versions have under another name."""
    return Field(validation_alias=AliasChoices(name, former))


@dataclass(frozen=True)
class ClassSize:
    """How many equivalence classes have this many patients."""

    size: int
    classes: int


@dataclass(frozen=True)
class Risk:
    """Risk of one set of quasi-identifiers, each at one level; definitions in ``metrics.METRICS``.

    ``k`` is None without patients; the journalist's figures are None when the population is not known. A figure that
    is not in a stored report, since a later version added it, is None: it was not measured.
    """

    patients: int
    classes: int
    k: int | None
    under_threshold: int
    share_under: float
    uniques: int
    mean_class: float | None = None
    prosecutor_max: float | None = None
    prosecutor_mean: float | None = None
    marketer: float | None = None
    journalist_max: float | None = None
    journalist_mean: float | None = None
    population_marketer: float | None = None
    population_uniques: float | None = None


@dataclass(frozen=True)
class LevelLoss:
    """A level of a quasi-identifier: distinct values at it and what it loses, from 0 to 1."""

    level: Annotated[str, _formerly("level", "rung")]
    distinct: int
    ncp: float
    entropy_loss: float


@dataclass(frozen=True)
class CommonValue:
    """A value that at least ``threshold`` patients share."""

    value: str
    patients: int


@dataclass(frozen=True)
class QuasiIdentifier:
    """A quasi-identifier of the extract. ``rare_values``: values that fewer than ``threshold`` patients share."""

    name: str
    fr: str
    en: str
    table: str
    columns: tuple[str, ...]
    how: str
    levels: Annotated[tuple[LevelLoss, ...], _formerly("levels", "rungs")]
    rare_values: int
    rare_patients: int
    common: tuple[CommonValue, ...]


@dataclass(frozen=True)
class Contribution:
    """Risk when a quasi-identifier is left out, and when it alone is kept."""

    name: str
    without: Risk
    alone: Risk


@dataclass(frozen=True)
class SensitiveColumn:
    """What the classes tell of a sensitive column. ``besides``: quasi-identifiers left out of the classes because they
    come from the same column. ``confidence``: the greatest share of a class that has one value."""

    name: str
    fr: str
    en: str
    table: str
    columns: tuple[str, ...]
    kind: str
    besides: tuple[str, ...]
    distinct_l: int | None = None
    entropy_l: float | None = None
    homogeneous_patients: int | None = None
    confidence: float | None = None
    t: float | None = None
    mean_t: float | None = None


@dataclass(frozen=True)
class Change:
    """One quasi-identifier from a level to another."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Proposal:
    """Generalisations, with ``suppressed`` patients left out, that bring the smallest class to the threshold."""

    changes: tuple[Change, ...]
    suppressed: int
    suppressed_share: float
    ncp: float
    entropy_loss: float
    loss: float
    before: Risk
    after: Risk


@dataclass(frozen=True)
class Search:
    """How the proposals were looked for. ``complete``: no cheaper combination without suppression exists."""

    combinations: int
    evaluated: int
    complete: bool
    suppression_limit: float


@dataclass(frozen=True)
class Attack:
    """Of ``targets`` drawn patients, how many one who knows ``known`` facts singles out, or brings to a few.

    ``reidentified``: the share that is found when one is drawn of all whom the facts fit; None in a report of before.
    """

    attacker: str
    known: int
    targets: int
    singled: int
    singled_share: float
    singled_low: float
    singled_high: float
    under: int
    under_share: float
    under_low: float
    under_high: float
    reidentified: float | None = None
    reidentified_low: float | None = None
    reidentified_high: float | None = None


@dataclass(frozen=True)
class Trajectory:
    """What one who has the whole record of each of ``patients`` finds: they are of ``classes`` different records, so
    drawing one of those who have the same finds ``share``; ``uniques`` have a record that nobody else has."""

    patients: int
    classes: int
    uniques: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class TableRows:
    """Rows of a table."""

    table: str
    rows: int


@dataclass(frozen=True)
class Measures:
    """Every measure of an extract's risk: its rows and patients, their classes, and what each attacker finds."""

    patients: int
    rows: int
    risk: Risk
    attacks: tuple[Attack, ...]
    trajectory: Trajectory | None


@dataclass(frozen=True)
class Joined:
    """How often one finds a patient who joins an extract to ``other``, the warehouse or another study's extract."""

    other: str
    targets: int
    correct: int
    share: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True)
class Remedy:
    """A specification that would lower the risk, and every measure of the extract that it gives.

    ``technique``: what it does, by name; ``specification``: its JSON form, ready to be applied. ``rows_kept``: rows of
    all tables, as a share of those of now. ``auc``: of a plain logistic model of a return within thirty days on the
    summaries, by cross-validation, with the lower end of its 95 % interval and the same on the finest summary
    (``auc_finest``); None where the extract has no summary, or too few returns. ``joins``: the linkage attacks on it;
    None in a report of an earlier version.
    """

    technique: str
    specification: dict[str, Any]
    patients: int
    rows_kept: float
    risk: Risk
    attacks: tuple[Attack, ...]
    trajectory: Trajectory | None
    enough: bool
    auc: float | None = None
    auc_low: float | None = None
    auc_finest: float | None = None
    joins: tuple[Joined, ...] | None = None

    @property
    def reidentified(self) -> float:
        """The greatest share of patients that an attacker finds; of drawn ones, the lower end of its interval."""
        return max([greatest_share(self.attacks, self.trajectory) or 0.0, *(join.low for join in self.joins or ())])


def greatest_share(attacks: tuple[Attack, ...], trajectory: Trajectory | None) -> float | None:
    """The greatest share of patients that any of these attackers finds; None where it was not measured.

    Single facts are parts of the record, so nobody finds more by them than by the whole record, whose share is counted
    over all patients; those of drawn patients count alone where it is absent.
    """
    if trajectory:
        return trajectory.share
    return max((attack.reidentified for attack in attacks if attack.reidentified is not None), default=None)


@dataclass(frozen=True)
class RiskReport:
    """All of it. ``unweighed``: columns of patients' tables that conf/risk.toml does not name (keys left out).

    ``trajectory``: the attacker who has whole records; ``limit``: the share that may be found without an exception.
    Both are None in a report of an earlier version, and without patients.
    """

    version: str
    threshold: int
    seed: int
    population: int | None
    patients: int
    tables: tuple[TableRows, ...]
    unweighed: tuple[str, ...]
    quasi: tuple[QuasiIdentifier, ...]
    risk: Risk
    histogram: tuple[ClassSize, ...]
    sensitive: tuple[SensitiveColumn, ...]
    contributions: tuple[Contribution, ...]
    proposals: tuple[Proposal, ...]
    search: Search
    attacks: tuple[Attack, ...]
    trajectory: Trajectory | None = None
    limit: float | None = None
    remedies: tuple[Remedy, ...] = ()

    @property
    def reidentified(self) -> float | None:
        """The greatest share that any attacker of the report finds; None where it was not measured."""
        return greatest_share(self.attacks, self.trajectory)

    @property
    def enough(self) -> bool:
        """Does every class have the threshold's number of patients, and does no attacker find more than the limit? An
        extract without patients has no class."""
        found = self.reidentified
        few = found is None or self.limit is None or found <= self.limit
        return self.risk.k is None or (self.risk.k >= self.threshold and few)

    def to_json(self) -> str:
        """The report as JSON text: the same bytes for the same extract, knowledge and seed."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @staticmethod
    def from_json(text: str | bytes) -> RiskReport:
        """From ``to_json``; InputError for anything else."""
        try:
            return TypeAdapter(RiskReport).validate_json(text)
        except ValidationError:
            raise InputError("this is no risk report of this version; assess the extract again") from None


@dataclass(frozen=True)
class SharedKey:
    """Two columns of two extracts whose values join, as they are or by their ends (``how``)."""

    table_a: str
    column_a: str
    table_b: str
    column_b: str
    how: str
    values: int


@dataclass(frozen=True)
class Linkage:
    """How often an attacker who joins two extracts by what they share finds the right patient first.

    ``columns``: what was compared and at which level; ``chance``: the share that a blind guess would find.
    """

    targets: int
    correct: int
    share: float
    low: float
    high: float
    chance: float
    patients_a: int
    patients_b: int
    columns: tuple[str, ...]
    shared_keys: tuple[SharedKey, ...]
    seed: int

    def to_json(self) -> str:
        """The result as JSON text."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)
