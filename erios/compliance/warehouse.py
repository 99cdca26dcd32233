"""Checks of the warehouse: columns, releases, objections, counts."""

from __future__ import annotations

from erios.compliance.registry import check
from erios.extracts.counts import load_parameters
from erios.governance.compliance import Finding, met, not_applicable, not_met
from erios.settings import Settings
from erios.studies.models import ShownCount
from erios.workflows.extract_objections import objections_after
from etl.tables import load_tables
from etl.warehouse.release import latest, open_release, release_ids


@check
def columns_have_rules(settings: Settings) -> Finding:
    """Each column of the warehouse has a privacy rule that somebody decided on."""
    tables = load_tables(settings.views_dir)
    columns = [column for table in tables for column in table.view.columns]
    return met(
        f"{len(columns)} colonnes de {len(tables)} tables, chacune sous une règle de confidentialité.",
        f"{len(columns)} columns of {len(tables)} tables, each under a privacy rule.",
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
        names = ", ".join(bare[:5])
        return not_met(f"Colonnes sans titre ou sans description : {names}.", f"Columns without words: {names}.")
    return met(
        f"{len(columns)} colonnes au catalogue, chacune avec son titre et sa description.",
        f"{len(columns)} columns in the catalogue, each with its title and description.",
    )


@check
def release_is_validated(settings: Settings) -> Finding:
    """The last release passed its validation, and nothing that blocks had failed."""
    release = latest(settings.warehouse)
    if release is None:
        return not_applicable("Aucune version n'est publiée.", "No release is published.")
    checks, failed = release.validation.get("expectations", 0), release.validation.get("failed", {})
    if not checks or failed.get("block"):
        return not_met(f"La version {release.id} n'est pas validée.", f"Release {release.id} is not validated.")
    return met(
        f"Version {release.id} : {checks} contrôles, {failed.get('warn', 0)} alerte(s), aucun refus.",
        f"Release {release.id}: {checks} expectations, {failed.get('warn', 0)} warning(s), none that blocks.",
    )


_ENDS = ("written", "superseded", "duplicates", "deleted", "objected", "quarantined")


@check
def loads_balance(settings: Settings) -> Finding:
    """Of every release kept: all that came in is accounted for."""
    releases = [open_release(settings.warehouse, name) for name in release_ids(settings.warehouse)]
    if not releases:
        return not_applicable("Aucune version n'est publiée.", "No release is published.")
    wrong = [
        release.id
        for release in releases
        if release.totals.get("in") != sum(release.totals.get(end, 0) for end in _ENDS)
    ]
    if wrong:
        names = ", ".join(wrong)
        return not_met(f"Comptes qui ne tombent pas juste : {names}.", f"Accounts that do not balance: {names}.")
    return met(
        f"{len(releases)} version(s) : chaque ressource reçue est écrite, écartée ou en quarantaine.",
        f"{len(releases)} release(s): each resource received is written, set aside or in quarantine.",
    )


@check
def objections_are_followed(settings: Settings) -> Finding:
    """The last release knows everybody who objects today."""
    release = latest(settings.warehouse)
    if release is None:
        return not_applicable("Aucune version n'est publiée.", "No release is published.")
    if objections_after(release, settings):
        return not_met(
            f"Des oppositions sont plus récentes que la version {release.id} : `erios etl refresh`.",
            f"There are objections newer than release {release.id}: run `erios etl refresh`.",
        )
    return met(
        f"La version {release.id} suit le registre d'opposition d'aujourd'hui.",
        f"Release {release.id} follows the objection register of today.",
    )


@check
def counts_are_masked(_settings: Settings) -> Finding:
    """Counts are masked and noisy, as conf/disclosure.toml says, and none that a study was shown is a small one."""
    parameters = load_parameters()
    small = ShownCount.objects.filter(value__lt=parameters.threshold).order_by("study__number")
    if wrong := sorted(set(small.values_list("study__number", flat=True))):
        return not_met(
            f"Effectif sous {parameters.threshold} montré à : {', '.join(wrong[:5])}.",
            f"A count under {parameters.threshold} was shown to: {', '.join(wrong[:5])}.",
        )
    shown = ShownCount.objects.count()
    return met(
        f"{shown} réponse(s) données, aucune sous {parameters.threshold} ; bruit de variance {parameters.variance:g},"
        f" {parameters.budget} comptages par étude.",
        f"{shown} answer(s) given, none under {parameters.threshold}; noise of variance {parameters.variance:g},"
        f" {parameters.budget} counts a study.",
    )
