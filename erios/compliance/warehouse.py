"""Checks of the warehouse: columns, releases, objections, counts."""

from __future__ import annotations

from erios.compliance.registry import check
from erios.extracts.counts import load_parameters
from erios.governance.compliance import Finding, met, not_applicable, not_met
from erios.settings import Settings
from erios.studies.models import LedgerAnswer, LedgerReading
from erios.translation import mark
from erios.workflows.extract_objections import objections_after
from etl.merge.reconciliation import OUTCOMES
from etl.tables import load_tables
from etl.warehouse.release import latest, open_release, release_ids
from validation import Severity, failed_count


@check
def columns_have_rules(settings: Settings) -> Finding:
    """Each column of the warehouse has a privacy rule that somebody decided on."""
    tables = load_tables(settings.views_dir)
    columns = [column for table in tables for column in table.view.columns]
    return met(
        mark("{columns} colonnes de {tables} tables, chacune sous une règle de confidentialité."),
        columns=len(columns),
        tables=len(tables),
    )


@check
def columns_are_described(settings: Settings) -> Finding:
    """Each column of the catalogue has a title and a description."""
    columns = [(table.name, column) for table in load_tables(settings.views_dir) for column in table.view.columns]
    if bare := [
        f"{table}.{column.name}"
        for table, column in columns
        if not (column.tags.get("erios/title") and column.description)
    ]:
        return not_met(mark("Colonnes sans titre ou sans description : {names}."), names=bare)
    return met(mark("{columns} colonnes au catalogue, chacune avec son titre et sa description."), columns=len(columns))


@check
def release_is_validated(settings: Settings) -> Finding:
    """The last release passed its validation, and nothing that blocks had failed."""
    release = latest(settings.warehouse)
    if release is None:
        return not_applicable(mark("Aucune version n'est publiée."))
    checks = release.validation.get("expectations", 0)
    if not checks or failed_count(release.validation, Severity.BLOCK):
        return not_met(mark("La version {release} n'est pas validée."), release=release.id)
    return met(
        mark("Version {release} : {checks} contrôles, {warnings} alerte(s), aucun refus."),
        release=release.id,
        checks=checks,
        warnings=failed_count(release.validation, Severity.WARN),
    )


@check
def loads_balance(settings: Settings) -> Finding:
    """Of every release kept: all that came in is accounted for."""
    releases = [open_release(settings.warehouse, name) for name in release_ids(settings.warehouse)]
    if not releases:
        return not_applicable(mark("Aucune version n'est publiée."))
    wrong = [
        release.id
        for release in releases
        if release.totals.get("in") != sum(release.totals.get(end, 0) for end in OUTCOMES)
    ]
    if wrong:
        return not_met(mark("Comptes qui ne tombent pas juste : {names}."), names=wrong)
    return met(
        mark("{releases} version(s) : chaque ressource reçue est écrite, écartée ou en quarantaine."),
        releases=len(releases),
    )


@check
def objections_are_followed(settings: Settings) -> Finding:
    """The last release knows everybody who objects today."""
    release = latest(settings.warehouse)
    if release is None:
        return not_applicable(mark("Aucune version n'est publiée."))
    if objections_after(release, settings):
        return not_met(
            mark("Des oppositions sont plus récentes que la version {release} : `erios etl refresh`."),
            release=release.id,
        )
    return met(mark("La version {release} suit le registre d'opposition d'aujourd'hui."), release=release.id)


@check
def counts_are_masked(_settings: Settings) -> Finding:
    """Counts are masked and noisy, as conf/disclosure.toml says, and no answer that was given is a small one."""
    parameters = load_parameters()
    small = LedgerReading.objects.filter(answer__value__lt=parameters.threshold)
    if wrong := sorted(set(small.values_list("study__number", flat=True))):
        return not_met(
            mark("Effectif sous {threshold} montré à : {names}."),
            threshold=parameters.threshold,
            names=wrong,
        )
    shown = LedgerAnswer.objects.count()
    return met(
        mark(
            "{shown} réponse(s) données, aucune sous {threshold} ; bruit de variance {variance:g}, {budget}"
            " comptages par étude."
        ),
        shown=shown,
        threshold=parameters.threshold,
        variance=parameters.variance,
        budget=parameters.budget,
    )
