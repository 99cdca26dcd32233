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
from erios.translation import SOURCE, using

Handler = Callable[[HttpRequest], HttpResponse]


class LanguageMiddleware:
    """The reader's language, as Django finds it, is that of all texts of the request."""

    def __init__(self, handle: Handler) -> None:
        self.handle = handle

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with using(get_language() or SOURCE):
            return self.handle(request)


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
            return render(request, "portal/refused.html", {"sentence": str(error.refusal)}, status=409)
        if isinstance(error, EriosError):
            return render(request, "portal/refused.html", {"sentence": error.sentence}, status=400)
        return None
