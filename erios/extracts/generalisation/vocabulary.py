"""The generalisations by name: the words of a specification's ``as``, of conf/risk.toml and of a risk report.

A level of generalisation is a name, or a name and an argument: ``month``, ``years:5``, ``map:NAME``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from erios.translation import gettext, language, mark, mark_in, using

KEEP, SUPPRESS = "keep", "suppress"
_NUMBER = r"[1-9]\d{0,3}"


@dataclass(frozen=True)
class Generalisation:
    """``text``: its French words, with {} for the argument; ``argument``: what it must look like; "" for none."""

    name: str
    text: str
    argument: str = ""


GENERALISATIONS: Mapping[str, Generalisation] = {
    generalisation.name: generalisation
    for generalisation in (
        Generalisation("study-key", mark("pseudonyme propre à l'étude")),
        Generalisation(KEEP, mark("tel quel")),
        Generalisation("day", mark("jour")),
        Generalisation("month", mark("mois")),
        Generalisation("year", mark("année")),
        Generalisation("years", mark("tranches de {} ans"), _NUMBER),
        Generalisation("band", mark("tranches de {}"), _NUMBER),
        Generalisation("top", mark("{} et plus groupés"), _NUMBER),
        Generalisation("steps", mark("tranches à partir de {}"), r"\d+(,\d+)*"),
        Generalisation("region", mark("région")),
        Generalisation("category", mark("catégorie CIM-10 (3 caractères)")),
        Generalisation("chapter", mark("chapitre CIM-10")),
        Generalisation("atc", mark("{} premiers caractères du code ATC"), _NUMBER),
        Generalisation("prefix", mark("{} premiers caractères"), _NUMBER),
        Generalisation("map", "{}", r".+"),
        Generalisation("ranges", "{}", r".+"),
        Generalisation("analyte", mark("arrondi à ce qui compte pour l'analyse")),
        Generalisation("analyte:3", mark("bas, normal ou haut pour l'analyse")),
        Generalisation("commonest", mark("les {} valeurs les plus partagées, les autres groupées"), _NUMBER),
        Generalisation("rare", mark("valeurs rares regroupées")),
        Generalisation("images", mark("images sans visage")),
        Generalisation("images:volume", mark("volumes et leurs contours, sans visage")),
        Generalisation("images:radiograph", mark("radiographies")),
        Generalisation("dates:exact", mark("dates exactes")),
        Generalisation("dates:shifted", mark("dates décalées d'une constante propre au patient")),
        Generalisation("dates:blocks", mark("blocs de 30 jours, décalés d'une constante propre au patient")),
        Generalisation("clock:day", mark("sans heure")),
        Generalisation("clock:part", mark("partie de la journée")),
        Generalisation("clock:hour", mark("heure")),
        Generalisation("dates:month", mark("mois")),
        Generalisation("dates:year", mark("année")),
        Generalisation(SUPPRESS, mark_in("column", "retiré")),
    )
}
FORMER = {"exact": KEEP, "map:region": "region", "ranges:chapter": "chapter"}
"""Names that reports of earlier versions have, and what they are now."""


def split_level(level: str) -> tuple[Generalisation | None, str]:
    """A level's generalisation (None for one that is not known) and its argument."""
    level = FORMER.get(level, level)
    if level in GENERALISATIONS:
        return (None if GENERALISATIONS[level].argument else GENERALISATIONS[level]), ""
    name, _, argument = level.partition(":")
    generalisation = GENERALISATIONS.get(name)
    if generalisation is None or not generalisation.argument or not re.fullmatch(generalisation.argument, argument):
        return None, argument
    return generalisation, argument


def describe_level(level: str, code: str | None = None) -> str:
    """A level in words, in the current language or that of ``code``; as it is written where it is not known."""
    generalisation, argument = split_level(level)
    if generalisation is None:
        return level
    with using(code or language()):
        return gettext(generalisation.text).format(argument.replace(",", ", "))
