"""The words of the rules: refusals, and the names of states, actions, roles and opinions.

Owns every sentence that the rules answer with, in French as all texts of the code; catalogues translate them. Portal,
command line and letters show the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from erios.errors import RefusedError
from erios.governance.roles import Role
from erios.translation import gettext, mark, mark_in


@dataclass(frozen=True)
class Refusal:
    """Why something is not allowed; ``values`` fill the sentence's ``{names}``."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """The sentence in the current language; values that are words of the rules are translated too."""
        return gettext(REFUSALS[self.code], **{name: _translated(value) for name, value in self.values.items()})


class RuleBroken(RefusedError):  # noqa: N818 - a decision, not a fault
    """An action that the rules refuse; ``str(refusal)`` is the sentence in the current language."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def _translated(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(_translated, value))
    return word(str(value))


def word(name: str) -> str:
    """The name of a state, action, role or opinion in the current language; any other text as it is."""
    return gettext(WORDS[name]) if name in WORDS else str(name)


REFUSALS: Mapping[str, str] = {
    "not-now": mark("« {action} » n'est pas possible à l'état « {state} »"),
    "own-model": mark("personne ne promeut un modèle qu'il a entraîné lui-même"),
    "run-not-done": mark("l'entraînement est « {state} » : seul un entraînement terminé donne un modèle à promouvoir"),
    "evidence-missing": mark("il manque, pour promouvoir : {missing}"),
    "not-yours": mark("« {action} » revient à : {who}"),
    "involved": mark("vous portez cette étude ou faites partie de son équipe : une autre personne doit l'examiner"),
    "reviewer": mark("vous avez examiné ce dossier : vous ne pouvez pas rejoindre son équipe"),
    "incomplete": mark("il manque encore : {missing}"),
    "declared": mark("finalité interdite : {purpose} ({law}) ; l'entrepôt lui est fermé"),
    "mentioned": mark(
        "le texte évoque une finalité interdite, {purpose} ({law}) : modifiez-le, ou écrivez ce qu'il faut comprendre,"
        " que les relecteurs jugeront"
    ),
    "points": mark("points des relecteurs restés sans réponse : {count}"),
    "conditions": mark("conditions de la décision encore à remplir : {count}"),
    "voted": mark("vous avez déjà voté sur ce dossier"),
    "voter-visa": mark("vous avez voté sur ce dossier : le visa revient à une autre personne"),
    "visa-given": mark("le visa est déjà donné ou refusé"),
    "votes": mark("le comité a rendu {votes} des {quorum} votes nécessaires"),
    "no-visa": mark("le délégué à la protection des données n'a pas encore donné ni refusé son visa"),
    "reviewed-already": mark(
        "vous avez voté sur ce dossier ou donné son visa : la décision revient à une autre personne"
    ),
    "vote-against": mark("l'avis du comité n'est pas favorable : le dossier ne peut être que renvoyé ou refusé"),
    "visa-against": mark("le visa est refusé : le dossier ne peut être que renvoyé ou refusé"),
    "agreed": mark("vous avez déjà donné votre accord : celui de l'autre partie manque"),
    "study-not-active": mark("l'étude n'est pas en cours : aucun extrait n'en sort"),
    "not-on-team": mark("vous ne faites pas partie de l'équipe de cette étude"),
    "extract-involved": mark(
        "vous avez demandé cet extrait ou faites partie de l'équipe : une autre personne doit s'en charger"
    ),
    "beyond-approval": mark(
        "le dossier approuvé ne prévoit pas : {columns} ; retirez-le de la demande, ou déposez un amendement"
    ),
    "extract-hands": mark("vous avez construit ou autorisé cet extrait : une autre personne doit s'en charger"),
    "risk-too-high": mark(
        "la plus petite classe compte {k} patients, il en faut {threshold} : généralisez davantage, ou demandez une"
        " exception"
    ),
    "not-attacked": mark(
        "les parts de patients retrouvés ne sont pas mesurées par ce rapport : demandez des modifications et faites"
        " reconstruire, ou demandez une exception"
    ),
    "reidentified": mark(
        "un attaquant retrouve {share} % des patients, le plafond est de {limit} % : appliquez une proposition du"
        " rapport, ou demandez une exception"
    ),
    "isolating": mark(
        "croisé avec des diffusions antérieures, cet extrait isole trop peu de patients ({count} recoupements) :"
        " demandez des changements, ou une exception"
    ),
    "exception-not-asked": mark(
        "aucune exception n'est demandée : elle revient d'abord au délégué à la protection des données"
    ),
    "exception-asked": mark("une exception est déjà demandée : elle attend le délégué du responsable de traitement"),
    "extract-busy": mark("cet extrait est en construction : attendez qu'elle se termine"),
    "other-root": mark(
        "l'empreinte donnée n'est pas celle de l'extrait tel qu'il est construit : relisez-le avant d'agir"
    ),
    "not-released": mark("cet extrait n'est pas diffusé : il est à l'état « {state} »"),
    "extract-refused": mark("cet extrait a été refusé"),
    "extract-revoked": mark("l'autorisation de cet extrait a été révoquée : arrêtez ce qui le lit"),
    "extract-expired": mark("l'autorisation de cet extrait est échue : demandez-en un nouveau"),
    "extract-quarantined": mark(
        "cet extrait est en quarantaine : attendez ce qu'en dit le délégué à la protection des données"
    ),
    "extract-stale": mark("un patient de cet extrait s'est opposé ou a été effacé : demandez-en un nouveau"),
    "workspace-other": mark("vous avez déjà un espace de travail ouvert, {number} : fermez-le d'abord"),
    "workspace-spent": mark(
        "{most} Mio sont sortis de vos espaces de travail en vingt-quatre heures, autant qu'il est permis : attendez"
    ),
    "workspace-not-yours": mark("cet espace de travail est celui d'une autre personne"),
    "airlock-study-not-active": mark("l'étude n'est pas en cours : rien n'en sort"),
    "airlock-empty": mark("ce dossier ne contient aucun fichier à faire sortir"),
    "airlock-incomplete": mark("il manque le contexte ou les mesures de protection de : {files}"),
    "airlock-held": mark(
        "les contrôles automatiques retiennent : {files} ; corrigez ces fichiers, ou demandez une exception au délégué"
        " à la protection des données"
    ),
    "airlock-voted": mark("vous avez déjà voté sur ce fichier"),
    "airlock-two-voted": mark("deux vérificateurs ont déjà voté sur ce fichier"),
    "airlock-unchecked": mark("il manque l'avis de deux vérificateurs indépendants sur : {files}"),
    "airlock-exception-not-asked": mark("aucune exception n'est demandée pour ce fichier"),
    "airlock-ground": mark("choisissez le motif dans la liste"),
    "airlock-changed": mark(
        "le fichier {file} n'est plus celui qui a été déposé : le dossier de sortie est annulé, déposez-en un nouveau"
    ),
    "airlock-not-released": mark("ce dossier n'est pas diffusé : il est à l'état « {state} »"),
    "results-unchecked": mark(
        "deux vérificateurs doivent approuver ce texte dans le sas ({request}) avant sa publication"
    ),
    "reason": mark("un motif écrit est nécessaire"),
    "moved-on": mark(
        "quelqu'un d'autre vient d'agir sur ce dossier, à présent à l'état « {state} » : relisez-le avant d'agir"
    ),
}

WORDS: Mapping[str, str] = {
    # privacy rules of columns, as etl.privacy names them
    "keep": mark("conservé tel quel"),
    "code": mark("code d'une liste, sinon pseudonyme du code"),
    "display": mark("libellé de la liste de codes"),
    "unit": mark("nom de l'unité selon la liste de codes"),
    "code-system": mark("système de codage autorisé, sinon pseudonyme"),
    "word": mark("mot d'une liste fermée, sinon retiré"),
    "pseudonym": mark("remplacé par un pseudonyme"),
    "date:day": mark("réduit au jour"),
    "date:month": mark("réduit au mois"),
    "date:year": mark("réduit à l'année"),
    "postcode:departement": mark("réduit au département"),
    "note": mark("texte libre, retiré"),
    "drop-unless-extract": mark("sur décision du DPO"),
    # what stands behind a requirement
    "met": mark("satisfait"),
    "not met": mark("non satisfait"),
    "not applicable": mark("sans objet"),
    "organisational": mark("organisation"),
    # runs and their attempts
    "queued": mark("en attente"),
    "running": mark_in("run", "en cours"),
    "done": mark("terminé"),
    "failed": mark("échoué"),
    "stopped": mark("arrêté"),
    "evidence-judged": mark("l'évaluation sur des patients jamais vus"),
    "evidence-baseline": mark("un modèle simple pour comparer"),
    "evidence-groups": mark("les résultats par groupe"),
    "evidence-energy": mark("l'énergie mesurée"),
    "evidence-intended_use": mark("l'usage prévu, écrit dans la recette"),
    "evidence-licence": mark("la licence de la recette"),
    "evidence-reproduced": mark("un second entraînement aux mêmes poids (`erios runs reproduce`)"),
    "evidence-untouched": mark("que nul patient de l'extrait ne se soit opposé ni n'ait été effacé depuis"),
    # workspaces
    "workspace asked": mark("espace demandé"),
    "workspace open": mark("espace ouvert"),
    "workspace closed": mark("espace fermé"),
    # roles and relations
    **{role: role.label for role in Role},
    "proposer": mark("porteur de l'étude"),
    "system": mark("le portail lui-même"),
    # states
    "draft": mark("brouillon"),
    "submitted": mark("soumis"),
    "triaged": mark("recevable"),
    "under review": mark("en examen"),
    "returned": mark("à compléter"),
    "withdrawn": mark("retiré"),
    "approved": mark("approuvé"),
    "approved with conditions": mark("approuvé sous conditions"),
    "rejected": mark_in("study", "refusé"),
    "active": mark("en cours"),
    "suspended": mark("suspendu"),
    "expired": mark("échu"),
    "closed": mark("clos"),
    "archived": mark("archivé"),
    "replaced": mark("remplacé"),
    # actions
    "edit": mark("modifier"),
    "submit": mark("soumettre"),
    "triage": mark("déclarer recevable"),
    "open review": mark("ouvrir l'examen"),
    "return": mark("renvoyer avec des points"),
    "answer": mark("répondre"),
    "withdraw": mark("retirer"),
    "vote": mark("voter"),
    "visa": mark("donner ou refuser le visa"),
    "approve": mark("approuver"),
    "approve with conditions": mark("approuver sous conditions"),
    "reject": mark("refuser"),
    "confirm a condition": mark("constater une condition remplie"),
    "activate": mark("activer"),
    "suspend": mark("suspendre"),
    "agree to resume": mark("accepter la reprise"),
    "expire": mark("échoir"),
    "close": mark("clore"),
    "archive": mark("archiver"),
    "replace": mark("remplacer"),
    "join": mark("ajouter à l'équipe"),
    # results for the public: states and actions
    "results waiting": mark("résultats à relire"),
    "results published": mark("résultats publiés"),
    "results refused": mark("résultats refusés"),
    "results withdrawn": mark("résultats retirés"),
    "results replaced": mark("résultats remplacés"),
    "propose results": mark("proposer des résultats"),
    "publish results": mark("accepter la publication"),
    "refuse results": mark("refuser la publication"),
    "withdraw results": mark("retirer les résultats"),
    "replace results": mark("remplacer les résultats"),
    # extracts: states and actions
    "requester": mark("demandeur"),
    "builder": mark("a construit"),
    "clearer": mark("a autorisé"),
    "exception": mark("a accordé l'exception"),
    "releaser": mark("a diffusé"),
    "requested": mark("demandé"),
    "specification approved": mark("spécification approuvée"),
    "built": mark("construit"),
    "assessed": mark("évalué"),
    "cleared": mark("autorisé"),
    "cleared by exception": mark("autorisé par exception"),
    "refused": mark("refusé"),
    "abandoned": mark("abandonné"),
    "released": mark("diffusé"),
    "revoked": mark("révoqué"),
    "quarantined": mark("en quarantaine"),
    "stale": mark("périmé"),
    "destroyed": mark("détruit"),
    "request": mark("demander un extrait"),
    "specify": mark("modifier la demande"),
    "abandon": mark("abandonner"),
    "approve the specification": mark("approuver la spécification"),
    "build": mark("construire"),
    "assess": mark("évaluer"),
    "ask for changes": mark("demander des changements"),
    "apply a proposal": mark("appliquer une proposition du rapport de risque"),
    "clear": mark("autoriser"),
    "ask for an exception": mark("demander une exception"),
    "grant the exception": mark("accorder l'exception"),
    "refuse": mark("refuser la diffusion"),
    "release": mark("diffuser"),
    "revoke": mark("révoquer"),
    "quarantine": mark("mettre en quarantaine"),
    "turn stale": mark("périmer"),
    "destroy": mark("détruire"),
    # the airlock: states, actions, kinds, grounds
    "author": mark("demandeur"),
    "voided": mark("annulé"),
    "retracted": mark("retiré après diffusion"),
    "void": mark("annuler"),
    "retract": mark("retirer ce qui est diffusé"),
    "output": mark("résultat"),
    "supporting": mark("pièce à l'appui"),
    "source code": mark("code source"),
    "for the team": mark("pour l'équipe"),
    "for the public": mark("pour le public"),
    "ground-small": mark("trop peu de patients"),
    "ground-identifiable": mark("une personne peut être reconnue"),
    "ground-differencing": mark("se déduit par différence avec une sortie antérieure"),
    "ground-records": mark("données individuelles, non agrégées"),
    "ground-model": mark("modèle qui retient ses patients"),
    "ground-context": mark("contexte ou mesures de protection insuffisants"),
    "ground-other": mark("autre motif"),
    # opinions
    "favourable": mark("favorable"),
    "unfavourable": mark("défavorable"),
    # forbidden purposes
    "biometric-identification": mark("reconnaissance faciale ou toute identification biométrique des personnes"),
    "re-identification": mark("réidentification des patients"),
    "promotion": mark("promotion de produits de santé auprès de professionnels, d'établissements ou de personnes"),
    "insurance-selection": mark(
        "exclusion de garanties d'assurance, ou modification de cotisations ou primes selon le risque des personnes"
    ),
    "social-scoring": mark("notation sociale des personnes"),
    "manipulation": mark("manipulation des personnes, ou exploitation de leur vulnérabilité"),
    "crime-prediction": mark("prédiction d'infractions par le profil d'une personne"),
    "emotion-at-work": mark(
        "reconnaissance des émotions au travail ou dans l'enseignement, hors raison médicale ou de sécurité"
    ),
}
