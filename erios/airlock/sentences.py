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
    "notebook-cell": mark("cellule {cell}"),
    "notebook-line": mark("cellule {cell}, ligne {line}"),
    "data": mark("données jointes, ligne {row}, colonne {column}"),
    "data-file": mark("données jointes"),
}

CHECKS: Mapping[str, tuple[str, str]] = {
    "form": (
        mark("ce n'est aucune des formes qui peuvent sortir"),
        mark(
            "donnez un tableau CSV, TSV ou JSON, une image PNG, un texte, du code, un carnet ou un modèle"
            " (pt2, safetensors, XGBoost en JSON)"
        ),
    ),
    "misnamed": (
        mark("le nom du fichier ne dit pas ce qu'il est"),
        mark(
            "donnez-lui l'extension de sa forme (.csv, .json, .png, .md, .py, .ipynb, .pt2, .safetensors),"
            " et un nom simple"
        ),
    ),
    "size": (mark("le fichier dépasse {limit} Mio"), mark("divisez-le, ou n'en gardez que l'essentiel")),
    "empty": (mark("le fichier est vide"), mark("retirez-le de la demande")),
    "unreadable": (mark("le fichier ne se lit pas comme sa forme le veut"), mark("enregistrez-le de nouveau")),
    "encoding": (mark("le texte n'est pas en UTF-8"), mark("enregistrez-le en UTF-8")),
    "json-shape": (
        mark("ce JSON n'est pas un tableau : il est imbriqué"),
        mark("donnez une liste d'objets plats de mêmes noms, ou un fichier par tableau"),
    ),
    "small-cell": (
        mark("l'effectif est inférieur à {threshold}"),
        mark("regroupez des catégories, arrondissez, ou masquez la cellule (« <{threshold} ») et une autre avec elle"),
    ),
    "zero": (
        mark("l'effectif est nul : personne du groupe n'est dans cette case"),
        mark(
            "masquez la cellule comme un petit effectif, ou déclarez la colonne « count-structural » si la"
            " case est impossible"
        ),
    ),
    "narrow-bound": (
        mark("la borne dit d'un effectif inférieur à {threshold} plus que « <{threshold} »"),
        mark("écrivez « <{threshold} »"),
    ),
    "ambiguous-number": (
        mark("le nombre se lit de deux façons : séparateur de milliers, ou décimales"),
        mark("écrivez les milliers sans séparateur"),
    ),
    "undeclared": (
        mark("rien ne dit ce que sont ces chiffres"),
        mark("nommez la colonne par ce qu'elle contient, ou déclarez-la : {choices}"),
    ),
    "long-line": (mark("une ligne a plus de {limit} caractères"), mark("coupez les lignes, ou retirez les données")),
    "no-gap": (
        mark("un tableau suit un autre sans ligne vide : on ne sait où l'un finit"),
        mark("séparez-les d'une ligne vide, ou donnez deux fichiers"),
    ),
    "one-column": (
        mark("des mots et des chiffres sans séparateur connu"),
        mark("séparez les colonnes par des virgules, points-virgules ou tabulations"),
    ),
    "text-in-figures": (
        mark("un texte avec des chiffres se trouve parmi les effectifs"),
        mark("écrivez un nombre par cellule"),
    ),
    "share": (
        mark("un pourcentage et son dénominateur donnent un effectif inférieur à {threshold}"),
        mark("masquez le pourcentage avec l'effectif, ou arrondissez-le plus"),
    ),
    "nested": (
        mark("la différence de deux effectifs du tableau donne un groupe inférieur à {threshold}"),
        mark("masquez l'un des deux, ou regroupez"),
    ),
    "everyone": (
        mark("tout le groupe a le même résultat : qui en fait partie est connu"),
        mark("regroupez avec une autre ligne, ou masquez"),
    ),
    "hidden-total": (
        mark("les totaux permettent de retrouver un effectif inférieur à {threshold} qui est masqué ou absent"),
        mark("masquez une cellule de plus dans la ligne et dans la colonne, ou le total"),
    ),
    "differencing": (
        mark("avec ce qui est déjà sorti, un groupe inférieur à {threshold} se calcule"),
        mark("reprenez les effectifs déjà sortis, ou regroupez jusqu'à ce que la différence disparaisse"),
    ),
    "precision": (mark("plus de {digits} chiffres significatifs"), mark("arrondissez")),
    "extreme": (
        mark("la plus petite ou la plus grande valeur est celle d'une personne"),
        mark("donnez des quantiles à la place"),
    ),
    "contribution": (
        mark("la plus grande contribution est celle d'une personne"),
        mark("retirez la colonne du fichier et joignez-la à la demande"),
    ),
    "dominance": (
        mark("peu de personnes font cette somme : plus de {share} %, ou la plus grande se connaît à {p} % près"),
        mark("regroupez, ou masquez la somme"),
    ),
    "contributions-missing": (
        mark("rien ne dit combien les plus grands contributeurs font de cette somme"),
        mark("joignez un tableau des mêmes lignes avec les colonnes « largest » et « second largest »"),
    ),
    "quantile": (
        mark("ce quantile demande au moins {needed} patients"),
        mark("donnez un quantile moins extrême, ou regroupez"),
    ),
    "size-missing": (mark("rien ne dit de combien de patients ce quantile est"), mark("ajoutez une colonne « n »")),
    "statistic-of-hidden": (mark("une statistique accompagne un effectif masqué"), mark("masquez-la aussi")),
    "identifier-column": (mark("cette colonne désigne des personnes"), mark("retirez-la")),
    "too-many-rows": (
        mark("plus de {limit} lignes : c'est un jeu de données"),
        mark("demandez un extrait, ou agrégez"),
    ),
    "persons": (mark("chaque ligne semble être une personne"), mark("donnez des effectifs et des moyennes par groupe")),
    "formula": (mark("une cellule est une formule qu'un tableur exécuterait"), mark("écrivez la valeur")),
    "hash": (mark("une empreinte ou un pseudonyme s'y trouve"), mark("retirez-le")),
    "uuid": (mark("un identifiant (UUID) s'y trouve"), mark("retirez-le")),
    "local-code": (mark("un code pseudonymisé de l'hôpital s'y trouve"), mark("retirez-le")),
    "pseudonym": (mark("un pseudonyme de l'extrait s'y trouve"), mark("retirez-le")),
    "nir": (mark("un numéro de sécurité sociale s'y trouve"), mark("retirez-le")),
    "phone": (mark("un numéro de téléphone s'y trouve"), mark("retirez-le")),
    "email": (mark("une adresse électronique s'y trouve"), mark("retirez-le")),
    "date": (mark("une date au jour près s'y trouve"), mark("gardez le mois ou l'année")),
    "name": (mark("un nom de personne semble s'y trouver"), mark("retirez-le")),
    "address": (mark("une adresse postale semble s'y trouver"), mark("retirez-le")),
    "secret": (mark("un secret (clé, mot de passe) s'y trouve"), mark("retirez-le, et changez-le")),
    "long-number": (
        mark("un long nombre s'y trouve, qui peut être un identifiant"),
        mark("retirez-le, ou arrondissez-le"),
    ),
    "invisible": (mark("une lettre invisible s'y trouve"), mark("enregistrez le texte sans elle")),
    "blob": (mark("un long bloc codé s'y trouve"), mark("retirez-le")),
    "numbers": (
        mark("une longue suite de nombres s'y trouve : des données"),
        mark("lisez-les d'un fichier qui reste ici"),
    ),
    "markup": (mark("un balisage qu'un navigateur exécuterait s'y trouve"), mark("écrivez du texte ou du Markdown")),
    "trailing-space": (mark("des espaces en fin de ligne peuvent cacher un message"), mark("retirez-les")),
    "few-patients": (
        mark("le texte parle de moins de {threshold} patients"),
        mark("écrivez « moins de {threshold} », ou retirez la phrase"),
    ),
    "portrait": (mark("le texte décrit une personne par son âge"), mark("parlez du groupe")),
    "old-age": (mark("un âge de plus de {age} ans s'y trouve"), mark("écrivez « {age} ans et plus »")),
    "one-patient": (mark("le code choisit un patient par son identifiant"), mark("retirez le filtre")),
    "png-metadata": (
        mark("l'image contient un bloc {chunk} de {bytes} octets qui n'est pas l'image"),
        mark("nettoyez-la : erios airlock clean"),
    ),
    "png-tail": (mark("{bytes} octets suivent la fin de l'image"), mark("nettoyez-la : erios airlock clean")),
    "png-data": (mark("les données de l'image ne font pas sa taille"), mark("enregistrez-la de nouveau")),
    "png-interlaced": (mark("l'image est entrelacée"), mark("enregistrez-la sans entrelacement")),
    "picture-size": (mark("l'image dépasse {limit} pixels de côté"), mark("réduisez-la")),
    "hidden-pixels": (mark("des couleurs se cachent sous la transparence"), mark("enregistrez-la sans transparence")),
    "picture": (mark("ce que l'image montre, seuls des yeux le voient"), mark("comparez-la aux données jointes")),
    "data-missing": (
        mark("les données de la figure ne sont pas jointes"),
        mark("joignez le tableau dont elle est faite"),
    ),
    "outputs": (mark("la cellule garde ses résultats"), mark("effacez les résultats de toutes les cellules")),
    "notebook-metadata": (
        mark("le carnet contient autre chose que des sources"),
        mark("gardez les sources, le noyau et le langage"),
    ),
    "model-runs-code": (
        mark("l'ouvrir exécuterait ce qu'il contient"),
        mark("exportez-le avec torch.export, sans exemples d'entrée, ou en safetensors"),
    ),
    "model-extra": (
        mark("le modèle contient autre chose que ses poids et sa description"),
        mark("exportez-le de nouveau, sans métadonnées"),
    ),
    "small-leaf": (
        mark("une feuille d'arbre repose sur moins de {threshold} patients"),
        mark("entraînez avec un poids minimal par feuille (min_child_weight)"),
    ),
    "predictions-missing": (
        mark("sans prédictions, nul ne sait si le modèle trahit ses patients"),
        mark("joignez un tableau : member (0 ou 1), label, et un score par classe, sur des patients vus et non vus"),
    ),
    "too-few-members": (
        mark("{members} membres et {others} autres : il en faut {needed} de chaque pour mesurer"),
        mark("joignez les prédictions de plus de patients ; sinon les relecteurs en jugent"),
    ),
    "too-few-shadows": (
        mark("{shadows} modèles fantômes : LiRA en demande {needed}"),
        mark("entraînez-en davantage, ou retirez-les"),
    ),
    "attack-threshold": (
        mark("attaque par un seuil : aire jusqu'à {auc}, membres nommés jusqu'à {tpr} % (bornes à 95 %)"),
        mark("entraînez avec plus de régularisation, ou moins longtemps"),
    ),
    "attack-forest": (
        mark("attaque par une forêt : aire jusqu'à {auc}, membres nommés jusqu'à {tpr} % (bornes à 95 %)"),
        mark("entraînez avec plus de régularisation, ou moins longtemps"),
    ),
    "attack-boosting": (
        mark("attaque par des arbres : aire jusqu'à {auc}, membres nommés jusqu'à {tpr} % (bornes à 95 %)"),
        mark("entraînez avec plus de régularisation, ou moins longtemps"),
    ),
    "attack-lira": (
        mark("attaque par LiRA : aire jusqu'à {auc}, membres nommés jusqu'à {tpr} % (bornes à 95 %)"),
        mark("entraînez avec plus de régularisation, ou moins longtemps"),
    ),
}
