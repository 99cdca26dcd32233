"""The sentences of the checks: what each sees, and what mends it, in French as all texts of the code."""

from __future__ import annotations

from collections.abc import Mapping

from erios.translation import mark

PLACES: Mapping[str, str] = {
    "file": mark("le fichier"),
    "cell": mark("ligne {row}, colonne {column}"),
    "row": mark("ligne {row}"),
    "column": mark("colonne {column}"),
    "line": mark("ligne {line}"),
}

CHECKS: Mapping[str, tuple[str, str]] = {
    "form": (
        mark("ce n'est aucune des formes qui peuvent sortir"),
        mark(
            "donnez un tableau CSV, TSV ou JSON, une image PNG, un texte, du code, un carnet ou un modèle (pt2,"
            " safetensors, XGBoost en JSON)"
        ),
    ),
    "size": (mark("le fichier dépasse {limit} Mio"), mark("divisez-le, ou n'en gardez que l'essentiel")),
    "unreadable": (mark("le fichier ne se lit pas comme sa forme le veut"), mark("enregistrez-le de nouveau")),
    "encoding": (mark("le texte n'est pas en UTF-8"), mark("enregistrez-le en UTF-8")),
    "small-cell": (
        mark("l'effectif est inférieur à {threshold}"),
        mark("regroupez des catégories, arrondissez, ou masquez la cellule (« <{threshold} ») et une autre avec elle"),
    ),
}
