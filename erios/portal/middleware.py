"""What every request passes: a second factor for those who decide, and rules' refusals as sentences on a page."""

from __future__ import annotations

from collections.abc import Callable

from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.models import SocialAccount
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from erios.errors import EriosError
from erios.governance.words import RuleBroken
from erios.settings import load_settings

Handler = Callable[[HttpRequest], HttpResponse]


class SecondFactorMiddleware:
    """Local accounts set up a one-time code before anything else; the directory asks for its own."""

    def __init__(self, handle: Handler) -> None:
        self.handle = handle

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if _wants_second_factor(request):
            messages.info(request, _("Avant de continuer, activez un second facteur d'authentification."))
            return redirect("mfa_activate_totp")
        return self.handle(request)


def _wants_second_factor(request: HttpRequest) -> bool:
    user = request.user
    if not load_settings().portal.second_factor or not user.is_authenticated:
        return False
    if request.path.startswith((reverse("account_logout"), "/compte/", "/static/", "/i18n/")):
        return False
    return not is_mfa_enabled(user) and not SocialAccount.objects.filter(user=user).exists()


class SentencesMiddleware:
    """A refusal of the rules, or any fault with a sentence, becomes a page that says it in the reader's language."""

    def __init__(self, handle: Handler) -> None:
        self.handle = handle

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.handle(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, RuleBroken):
            sentence = error.refusal.say("en" if get_language() == "en" else "fr")
            return render(request, "portal/refused.html", {"sentence": sentence}, status=409)
        if isinstance(error, EriosError):
            return render(request, "portal/refused.html", {"sentence": error.sentence}, status=400)
        return None
