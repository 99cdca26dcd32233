"""Tables of one row a person: what is a data set and no result."""

from __future__ import annotations

import re
from collections.abc import Iterator

from erios.airlock.cells import Shape, fold
from erios.airlock.column_kinds import Kind, kind_of_name
from erios.airlock.findings import Finding
from erios.airlock.tables import Table
from erios.settings_sections import AirlockSettings

_MANY = 20
_IDENTIFIER = re.compile(
    r"(?:.* )?(?:id|ids|identifiants?|identifier|ipp|nip|nda|nir|ins|iep|uid|uuid|pseudonyme?s?"
    r"|pseudo|hash|digest|patient key|key|cle"
    r"|token|accession|mrn|dossier|ssn|numero (?:de )?(?:patient|dossier|sejour|securite sociale)|(?:patient"
    r"|subject|sejour|stay|encounter"
    r"|dossier|record|case|participant|sample|exam\w*|study) (?:n|no|num|number|ref|code|nr))(?: .*)?"
)
_NAME = re.compile(
    r"(?:nom|prenom|name|first name|last name|surname|family name|nom de naissance|patronyme)(?: (?:du )?patient)?"
)
_OF_A_PERSON = re.compile(
    r"(?<![a-z])(age|sexe?|gender|genre|poids|weight|taille|height|imc|bmi|dates?|birth\w*|naissance"
    r"|ddn|dob|code postal|postcode|zip"
    r"|commune|adresse|address|profession|ville|city|diagnos\w*|icd|cim|entree|sortie|admission|discharge|deces|death|los|dms)(?![a-z])"
)
_PREDICTION = re.compile(
    r"(?<![a-z])(y|y true|y pred|y hat|ypred|ytrue|pred\w*|proba\w*|logits?|target|truth|ground truth"
    r"|observed|outcome|label|member"
    r"|residuals?|residus?|leverage|cooks?|shap\w*|embedding\w*|latent|score risque|risk score)(?![a-z])"
)


def check_persons(table: Table, settings: AirlockSettings) -> Iterator[Finding]:
    """Identifier columns; rows that are people; more rows than a result has."""
    names = [" ".join(re.sub(r"[^a-z0-9]+", " ", fold(name)).split()) for name in table.names]
    for column, name in enumerate(names):
        if _IDENTIFIER.fullmatch(name) or _NAME.fullmatch(name):
            yield Finding("identifier-column", place="column", values={"column": column + 1})
    if len(table.body) > settings.rows:
        yield Finding("too-many-rows", values={"limit": settings.rows})
    elif _are_people(table, names):
        yield Finding("persons")


def _are_people(table: Table, names: list[str]) -> bool:
    if _has_counts(table):
        return _many_singles(table)
    exact_age = any(
        re.search(r"(?<![a-z])age(?![a-z])", name)
        and kind_of_name(name) in (Kind.LABEL, None)
        and _numbers(table, column)
        for column, name in enumerate(names)
    )
    personal = sum(1 for name in names if _OF_A_PERSON.search(name))
    if exact_age and personal > 1:
        return True
    predicted = any(_PREDICTION.search(name) for name in names)
    many = len(table.body) >= _MANY
    return many and (personal > 0 or predicted or _repeats(table) or not table.labels)


def _has_counts(table: Table) -> bool:
    """A column or row that is called a count."""
    columns = [kind_of_name(name) in (Kind.COUNT, Kind.STRUCTURAL) for name in table.names]
    rows = [any(kind_of_name(label) == Kind.COUNT for label in table.label(row)) for row in table.body]
    return any(columns) or (any(rows) and len(table.body) < _MANY)


def _many_singles(table: Table) -> bool:
    """Counts of one in most rows: people under the name of groups."""
    shown = [count.low for count in table.counts.values() if not count.hidden]
    return len(shown) >= _MANY and 2 * sum(1 for value in shown if value == 1) > len(shown)


def _numbers(table: Table, column: int) -> bool:
    cells = [table.cell(row, column) for row in table.body if table.text(row, column).strip()]
    return bool(cells) and 2 * sum(cell.shape == Shape.NUMBER for cell in cells) > len(cells)


def _repeats(table: Table) -> bool:
    """Many rows of one label: nothing tells them apart but that they are different people."""
    labels = [table.label(row) for row in table.body]
    return bool(table.labels) and 2 * len(set(labels)) < len(labels)
