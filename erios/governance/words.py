"""What the rules say, in French and English: refusals, and the names of states, actions, roles and opinions.

Owns every sentence that the rules answer with, so that portal, command line and letters say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from erios.errors import RefusedError

Language = Literal["fr", "en"]


@dataclass(frozen=True)
class Refusal:
    """Why something is not allowed; ``values`` fill the sentence's places."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def say(self, language: Language = "en") -> str:
        """The sentence; values that are words of the rules are said in the language too."""
        said = {name: _say(value, language) for name, value in self.values.items()}
        return REFUSALS[self.code][language].format(**said)

    def __str__(self) -> str:
        return self.say()


class RuleBroken(RefusedError):  # noqa: N818 - a decision, not a fault
    """An action that the rules refuse; ``refusal`` says it in either language."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.say())
        self.refusal = refusal


def _say(value: Any, language: Language) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(_say(item, language) for item in value)
    return word(value, language) if isinstance(value, str) else str(value)


def word(name: str, language: Language) -> str:
    """The name of a state, action, role or opinion as people say it; any other text as it is."""
    return WORDS[name][language] if name in WORDS else str(name)


def _both(french: str, english: str) -> Mapping[Language, str]:
    return {"fr": french, "en": english}


REFUSALS: Mapping[str, Mapping[Language, str]] = {
    "not-now": _both(
        "« {action} » n'est pas possible à l'état « {state} »",
        "'{action}' is not possible while it is {state}",
    ),
    "own-model": _both(
        "personne ne promeut un modèle qu'il a entraîné lui-même",
        "nobody promotes a model that they trained themselves",
    ),
    "run-not-done": _both(
        "l'entraînement est « {state} » : seul un entraînement terminé donne un modèle à promouvoir",
        "the run is {state}: only a run that is done has a model to promote",
    ),
    "evidence-missing": _both("il manque, pour promouvoir : {missing}", "to promote it, this is missing: {missing}"),
    "not-yours": _both("« {action} » revient à : {who}", "'{action}' is for: {who}"),
    "involved": _both(
        "vous portez cette étude ou faites partie de son équipe : une autre personne doit l'examiner",
        "you propose this study or are on its team: somebody else must review it",
    ),
    "reviewer": _both(
        "vous avez examiné ce dossier : vous ne pouvez pas rejoindre son équipe",
        "you have reviewed this proposal: you cannot join its team",
    ),
    "incomplete": _both("il manque encore : {missing}", "still missing: {missing}"),
    "declared": _both(
        "finalité interdite : {purpose} ({law}) ; l'entrepôt lui est fermé",
        "forbidden purpose: {purpose} ({law}); the warehouse is closed to it",
    ),
    "mentioned": _both(
        "le texte évoque une finalité interdite, {purpose} ({law}) : modifiez-le, ou écrivez ce qu'il faut comprendre,"
        " que les relecteurs jugeront",
        "the text speaks of a forbidden purpose, {purpose} ({law}): change it, or write what it means there, for the"
        " reviewers to judge",
    ),
    "points": _both(
        "points des relecteurs restés sans réponse : {count}", "points of the reviewers without an answer: {count}"
    ),
    "conditions": _both(
        "conditions de la décision encore à remplir : {count}", "conditions of the decision not yet met: {count}"
    ),
    "voted": _both("vous avez déjà voté sur ce dossier", "you have voted on this proposal already"),
    "voter-visa": _both(
        "vous avez voté sur ce dossier : le visa revient à une autre personne",
        "you voted on this proposal: the visa takes somebody else",
    ),
    "visa-given": _both("le visa est déjà donné ou refusé", "the visa is given or refused already"),
    "votes": _both(
        "le comité a rendu {votes} des {quorum} votes nécessaires",
        "the committee has given {votes} of the {quorum} votes needed",
    ),
    "no-visa": _both(
        "le délégué à la protection des données n'a pas encore donné ni refusé son visa",
        "the DPO has not yet given or refused the visa",
    ),
    "reviewed-already": _both(
        "vous avez voté sur ce dossier ou donné son visa : la décision revient à une autre personne",
        "you voted on this proposal or gave its visa: the decision takes somebody else",
    ),
    "vote-against": _both(
        "l'avis du comité n'est pas favorable : le dossier ne peut être que renvoyé ou refusé",
        "the committee's vote is not favourable: the proposal can only be returned or rejected",
    ),
    "visa-against": _both(
        "le visa est refusé : le dossier ne peut être que renvoyé ou refusé",
        "the DPO refused the visa: the proposal can only be returned or rejected",
    ),
    "agreed": _both(
        "vous avez déjà donné votre accord : celui de l'autre partie manque",
        "you have agreed already: the other must too",
    ),
    "study-not-active": _both(
        "l'étude n'est pas en cours : aucun extrait n'en sort", "the study is not active: no extract leaves for it"
    ),
    "not-on-team": _both("vous ne faites pas partie de l'équipe de cette étude", "you are not on this study's team"),
    "extract-involved": _both(
        "vous avez demandé cet extrait ou faites partie de l'équipe : une autre personne doit s'en charger",
        "you asked for this extract or are on its team: somebody else must do this",
    ),
    "beyond-approval": _both(
        "le dossier approuvé ne prévoit pas : {columns} ; retirez-le de la demande, ou déposez un amendement",
        "the approved proposal does not provide for: {columns}; leave it out, or submit an amendment",
    ),
    "extract-hands": _both(
        "vous avez construit ou autorisé cet extrait : une autre personne doit s'en charger",
        "you built or cleared this extract: somebody else must do this",
    ),
    "risk-too-high": _both(
        "la plus petite classe compte {k} patients, il en faut {threshold} : généralisez davantage, ou demandez une"
        " exception",
        "the smallest class holds {k} where {threshold} are wanted: generalise further, or ask for an exception",
    ),
    "isolating": _both(
        "croisé avec des diffusions antérieures, cet extrait isole trop peu de patients ({count} recoupements) :"
        " demandez des changements, ou une exception",
        "crossed with earlier releases this extract isolates too few patients ({count} overlaps): ask for changes, or"
        " for an exception",
    ),
    "exception-not-asked": _both(
        "aucune exception n'est demandée : elle revient d'abord au délégué à la protection des données",
        "no exception is asked for: the data protection officer must, first",
    ),
    "exception-asked": _both(
        "une exception est déjà demandée : elle attend le délégué du responsable de traitement",
        "an exception is asked for already: it waits for the controller's delegate",
    ),
    "extract-busy": _both(
        "cet extrait est en construction : attendez qu'elle se termine", "this extract is being built: wait for its end"
    ),
    "other-root": _both(
        "l'empreinte donnée n'est pas celle de l'extrait tel qu'il est construit : relisez-le avant d'agir",
        "the root given is not that of the extract as it is built: read it again before you act",
    ),
    "not-released": _both(
        "cet extrait n'est pas diffusé : il est à l'état « {state} »", "this extract is not released: it is {state}"
    ),
    "extract-refused": _both("cet extrait a été refusé", "this extract was refused"),
    "extract-revoked": _both(
        "l'autorisation de cet extrait a été révoquée : arrêtez ce qui le lit",
        "the clearance of this extract was revoked: stop what reads it",
    ),
    "extract-expired": _both(
        "l'autorisation de cet extrait est échue : demandez-en un nouveau",
        "the clearance of this extract has expired: ask for a new one",
    ),
    "extract-quarantined": _both(
        "cet extrait est en quarantaine : attendez ce qu'en dit le délégué à la protection des données",
        "this extract is in quarantine: wait for the data protection officer's word",
    ),
    "extract-stale": _both(
        "un patient de cet extrait s'est opposé ou a été effacé : demandez-en un nouveau",
        "a patient in this extract has objected or was erased: ask for a new one",
    ),
    "reason": _both("un motif écrit est nécessaire", "a written reason is needed"),
    "moved-on": _both(
        "quelqu'un d'autre vient d'agir sur ce dossier, à présent à l'état « {state} » : relisez-le avant d'agir",
        "somebody else has just acted on this proposal, which is now {state}: read it again before you act",
    ),
}

WORDS: Mapping[str, Mapping[Language, str]] = {
    # privacy rules of columns, as etl.privacy names them
    "keep": _both("conservé tel quel", "kept as it is"),
    "pseudonym": _both("remplacé par un pseudonyme", "replaced by a pseudonym"),
    "date:day": _both("réduit au jour", "cut to the day"),
    "date:month": _both("réduit au mois", "cut to the month"),
    "date:year": _both("réduit à l'année", "cut to the year"),
    "postcode:departement": _both("réduit au département", "cut to the département"),
    "note": _both("texte libre, retiré", "free text, removed"),
    "drop-unless-extract": _both("sur décision du DPO", "on the DPO's decision"),
    # what stands behind a requirement
    "met": _both("satisfait", "met"),
    "not met": _both("non satisfait", "not met"),
    "not applicable": _both("sans objet", "not applicable"),
    "organisational": _both("organisation", "organisational"),
    # runs, and attempts as MLflow names them
    "queued": _both("en attente", "queued"),
    "running": _both("en cours", "running"),
    "done": _both("terminé", "done"),
    "failed": _both("échoué", "failed"),
    "stopped": _both("arrêté", "stopped"),
    "RUNNING": _both("en cours", "running"),
    "FINISHED": _both("terminée", "finished"),
    "FAILED": _both("échouée", "failed"),
    "KILLED": _both("interrompue", "interrupted"),
    "evidence-judged": _both("l'évaluation sur des patients jamais vus", "a judgement on patients never seen"),
    "evidence-baseline": _both("un modèle simple pour comparer", "a plain model to compare with"),
    "evidence-groups": _both("les résultats par groupe", "results by subgroup"),
    "evidence-energy": _both("l'énergie mesurée", "the energy measured"),
    "evidence-intended_use": _both("l'usage prévu, écrit dans la recette", "the intended use, written in the bundle"),
    "evidence-licence": _both("la licence de la recette", "the bundle's licence"),
    "evidence-reproduced": _both(
        "un second entraînement aux mêmes poids (`erios runs reproduce`)",
        "a second run with the same weights (`erios runs reproduce`)",
    ),
    "evidence-untouched": _both(
        "que nul patient de l'extrait ne se soit opposé ni n'ait été effacé depuis",
        "that no patient of the extract has objected or was erased since",
    ),
    # roles and relations
    "clinician": _both("clinicien", "clinician"),
    "data-scientist": _both("scientifique des données", "data scientist"),
    "data-manager": _both("gestionnaire de données", "data manager"),
    "committee": _both("comité scientifique", "scientific committee"),
    "dpo": _both("délégué à la protection des données", "data protection officer"),
    "controller": _both("délégué du responsable de traitement", "controller's delegate"),
    "administrator": _both("administrateur des comptes", "accounts administrator"),
    "proposer": _both("porteur de l'étude", "proposer"),
    "system": _both("le portail lui-même", "the portal itself"),
    # states
    "draft": _both("brouillon", "draft"),
    "submitted": _both("soumis", "submitted"),
    "triaged": _both("recevable", "triaged"),
    "under review": _both("en examen", "under review"),
    "returned": _both("à compléter", "returned"),
    "withdrawn": _both("retiré", "withdrawn"),
    "approved": _both("approuvé", "approved"),
    "approved with conditions": _both("approuvé sous conditions", "approved with conditions"),
    "rejected": _both("refusé", "rejected"),
    "active": _both("en cours", "active"),
    "suspended": _both("suspendu", "suspended"),
    "expired": _both("échu", "expired"),
    "closed": _both("clos", "closed"),
    "archived": _both("archivé", "archived"),
    "replaced": _both("remplacé", "replaced"),
    # actions
    "edit": _both("modifier", "edit"),
    "submit": _both("soumettre", "submit"),
    "triage": _both("déclarer recevable", "triage"),
    "open review": _both("ouvrir l'examen", "open review"),
    "return": _both("renvoyer avec des points", "return"),
    "answer": _both("répondre", "answer"),
    "withdraw": _both("retirer", "withdraw"),
    "vote": _both("voter", "vote"),
    "visa": _both("donner ou refuser le visa", "visa"),
    "approve": _both("approuver", "approve"),
    "approve with conditions": _both("approuver sous conditions", "approve with conditions"),
    "reject": _both("refuser", "reject"),
    "confirm a condition": _both("constater une condition remplie", "confirm a condition"),
    "activate": _both("activer", "activate"),
    "suspend": _both("suspendre", "suspend"),
    "agree to resume": _both("accepter la reprise", "agree to resume"),
    "expire": _both("échoir", "expire"),
    "close": _both("clore", "close"),
    "archive": _both("archiver", "archive"),
    "replace": _both("remplacer", "replace"),
    "join": _both("ajouter à l'équipe", "join"),
    # extracts: states and actions
    "requester": _both("demandeur", "requester"),
    "builder": _both("a construit", "builder"),
    "clearer": _both("a autorisé", "clearing officer"),
    "exception": _both("a accordé l'exception", "granted the exception"),
    "releaser": _both("a diffusé", "releaser"),
    "requested": _both("demandé", "requested"),
    "specification approved": _both("spécification approuvée", "specification approved"),
    "built": _both("construit", "built"),
    "assessed": _both("évalué", "assessed"),
    "cleared": _both("autorisé", "cleared"),
    "cleared by exception": _both("autorisé par exception", "cleared by exception"),
    "refused": _both("refusé", "refused"),
    "abandoned": _both("abandonné", "abandoned"),
    "released": _both("diffusé", "released"),
    "revoked": _both("révoqué", "revoked"),
    "quarantined": _both("en quarantaine", "quarantined"),
    "stale": _both("périmé", "stale"),
    "destroyed": _both("détruit", "destroyed"),
    "request": _both("demander un extrait", "request"),
    "specify": _both("modifier la demande", "specify"),
    "abandon": _both("abandonner", "abandon"),
    "approve the specification": _both("approuver la spécification", "approve the specification"),
    "build": _both("construire", "build"),
    "assess": _both("évaluer", "assess"),
    "ask for changes": _both("demander des changements", "ask for changes"),
    "clear": _both("autoriser", "clear"),
    "ask for an exception": _both("demander une exception", "ask for an exception"),
    "grant the exception": _both("accorder l'exception", "grant the exception"),
    "refuse": _both("refuser la diffusion", "refuse"),
    "release": _both("diffuser", "release"),
    "revoke": _both("révoquer", "revoke"),
    "quarantine": _both("mettre en quarantaine", "quarantine"),
    "turn stale": _both("périmer", "turn stale"),
    "destroy": _both("détruire", "destroy"),
    # opinions
    "favourable": _both("favorable", "favourable"),
    "unfavourable": _both("défavorable", "unfavourable"),
    # forbidden purposes
    "biometric-identification": _both(
        "reconnaissance faciale ou toute identification biométrique des personnes",
        "facial recognition or any biometric identification of people",
    ),
    "re-identification": _both("réidentification des patients", "re-identification of patients"),
    "promotion": _both(
        "promotion de produits de santé auprès de professionnels, d'établissements ou de personnes",
        "promotion of health products to professionals, institutions or individuals",
    ),
    "insurance-selection": _both(
        "exclusion de garanties d'assurance, ou modification de cotisations ou primes selon le risque des personnes",
        "exclusion from insurance cover, or premiums changed by the risk of a person",
    ),
    "social-scoring": _both("notation sociale des personnes", "social scoring of people"),
    "manipulation": _both(
        "manipulation des personnes, ou exploitation de leur vulnérabilité",
        "manipulation of people, or use of their vulnerability",
    ),
    "crime-prediction": _both(
        "prédiction d'infractions par le profil d'une personne", "prediction of offences from a person's profile"
    ),
    "emotion-at-work": _both(
        "reconnaissance des émotions au travail ou dans l'enseignement, hors raison médicale ou de sécurité",
        "recognition of emotions at work or in education, but for medical or safety reasons",
    ),
}
