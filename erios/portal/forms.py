"""Forms: what a person fills in, checked, as values for the actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.utils.functional import lazy
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from erios.accounts.models import User, holding
from erios.governance.proposal import AiClass
from erios.governance.purposes import FORBIDDEN
from erios.governance.roles import Role
from erios.portal.templatetags.words import word
from erios.studies.models import Proposal
from erios.studies.selectors import legal_routes

_word = lazy(word, str)


class Section(forms.Form):
    """One page of the wizard; ``changes`` are the fields of the proposal's content that it sets."""

    heading: Any = ""
    hint: Any = ""

    def changes(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if value is not None}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Initial values."""
        return dict(content)


def _text(label: Any, hint: Any = "", rows: int = 4) -> forms.CharField:
    return forms.CharField(label=label, help_text=hint, required=False, widget=forms.Textarea({"rows": rows}))


def _day(label: Any, *, required: bool = True) -> forms.CharField:
    widget = forms.DateInput({"type": "date"})
    return forms.CharField(label=label, required=required, widget=widget, validators=[_check_day])


def _check_day(text: str) -> None:
    forms.DateField(input_formats=["%Y-%m-%d"]).clean(text)


class Presentation(Section):
    heading = _("L'étude en clair")
    hint = _("Ce que le public lira dans le registre : écrivez pour un patient.")
    title = forms.CharField(label=_("Titre"), max_length=200, required=False)
    summary = _text(_("Résumé en français courant"), _("Cinq à dix phrases, sans sigle."), 7)
    interest = _text(_("Intérêt public"), _("Ce que les patients ou le soin y gagnent."))


class Method(Section):
    heading = _("Question et méthode")
    question = _text(_("Question de recherche"))
    method = _text(_("Méthode"), _("Critère principal, comparaisons, taille attendue, limites."), 8)
    starts = _day(_("Début"), required=False)
    ends = _day(_("Fin"), required=False)


class Legal(Section):
    heading = _("Cadre juridique")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        routes = [("", "—"), *((route.code, f"{route.code} · {route.title}") for route in legal_routes())]
        self.fields["route"] = forms.ChoiceField(label=_("Voie juridique"), choices=routes, required=False)
        self.fields["information"] = _text(
            _("Information des patients"), _("Comment les patients sont informés, et comment ils peuvent s'opposer.")
        )
        self.fields["retention_years"] = forms.IntegerField(
            label=_("Conservation des données (années)"), min_value=0, max_value=30, required=False
        )


class Ai(Section):
    heading = _("Intelligence artificielle")
    hint = _("Classe de risque au sens du règlement (UE) 2024/1689.")
    LABELS: ClassVar[Mapping[str, Any]] = {
        AiClass.NONE: _("Pas d'IA"),
        AiClass.MINIMAL: _("Risque minimal"),
        AiClass.LIMITED: _("Risque limité : transparence"),
        AiClass.HIGH: _("Haut risque : dispositif médical, triage des urgences…"),
        AiClass.PROHIBITED: _("Pratique interdite (article 5)"),
    }

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.fields["used"] = forms.BooleanField(label=_("L'étude entraîne ou emploie un modèle d'IA"), required=False)
        self.fields["class"] = forms.ChoiceField(label=_("Classe"), choices=list(self.LABELS.items()), required=False)
        self.fields["why"] = _text(_("Justification de la classe, contrôle humain, biais attendus"))

    def changes(self) -> dict[str, Any]:
        return {"ai": dict(self.cleaned_data)}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        return dict(content.get("ai") or {})


class Purposes(Section):
    heading = _("Finalités interdites")
    hint = _("Cochez seulement si l'étude poursuit cette finalité ; l'entrepôt lui est alors fermé.")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for purpose in FORBIDDEN:
            self.fields[purpose.code] = forms.BooleanField(
                label=capfirst(word(purpose.code)), help_text=purpose.law, required=False
            )
            self.fields[f"{purpose.code}:why"] = forms.CharField(
                label=_("Si vos textes l'évoquent : ce qu'il faut comprendre"), required=False
            )

    def changes(self) -> dict[str, Any]:
        said, codes = self.cleaned_data, [purpose.code for purpose in FORBIDDEN]
        return {"purposes": {code: {"declared": said[code], "explanation": said[f"{code}:why"]} for code in codes}}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        answers = content.get("purposes") or {}
        declared = {code: answer.get("declared") for code, answer in answers.items()}
        return declared | {f"{code}:why": answer.get("explanation") for code, answer in answers.items()}


SECTIONS: Mapping[str, type[Section]] = {
    "presentation": Presentation,
    "methode": Method,
    "cadre": Legal,
    "ia": Ai,
    "finalites": Purposes,
}


class Member(forms.Form):
    """Somebody for the team: an account that has no other part in the proposal."""

    member = forms.ModelChoiceField(queryset=User.objects.none(), label=_("Ajouter une personne"))

    def __init__(self, proposal: Proposal, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        taken = proposal.parts.values("person")
        free = User.objects.filter(is_active=True).exclude(holding(role for role in Role if role.alone))
        field: Any = self.fields["member"]
        field.queryset = free.exclude(pk__in=taken)
        field.label_from_instance = lambda user: f"{user.name} ({user.username})"


class Account(forms.Form):
    """A new account, or the roles of one that there is."""

    login = forms.SlugField(label=_("Identifiant"), max_length=60)
    name = forms.CharField(label=_("Prénom et nom"), max_length=120)
    email = forms.EmailField(label=_("Adresse électronique"), required=False)
    title = forms.CharField(label=_("Fonction"), max_length=120, required=False)
    roles = forms.MultipleChoiceField(
        label=_("Rôles"),
        choices=[(str(role), _word(role)) for role in Role],
        widget=forms.CheckboxSelectMultiple,
    )


class CitizenRequest(forms.Form):
    """What a citizen asks the data protection office; it goes to the identity zone, sealed."""

    kind = forms.ChoiceField(
        label=_("Votre demande"),
        choices=[
            ("objection", _("M'opposer à l'utilisation de mes données pour la recherche")),
            ("access", _("Savoir quelles données me concernent")),
            ("erasure", _("Demander l'effacement")),
            ("question", _("Poser une question")),
        ],
    )
    name = forms.CharField(label=_("Nom, prénom"), max_length=120)
    birth_date = _day(_("Date de naissance"))
    contact = forms.CharField(label=_("Adresse électronique ou postale, pour vous répondre"), max_length=300)
    text = _text(_("Précisions"), rows=5)
