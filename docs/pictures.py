"""Pictures of the running product for the tutorials: the demonstration is served, and a second study walked through it.

Owns the demonstration in ``build/demo`` and the pictures in ``build/pictures``, at a desk's width and at a phone's. It
starts every walk from the story as it was played, so that numbers and pages are the same each time.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

BUILD = Path(__file__).resolve().parents[1] / "build"
DEMO, PLAYED, PICTURES = BUILD / "demo", BUILD / "demo.played", BUILD / "pictures"
DESK, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)
PATIENCE = 120_000
"""Milliseconds to wait for anything: a busy machine is slow, not wrong."""
TITLE = "Anémie et durée de séjour"
TEXTS = {
    "summary": "Une anémie à l'entrée allonge-t-elle le séjour ? Nous le regardons sur les dossiers de l'hôpital, sans"
    " rien demander de plus aux patients. L'anémie se traite : si elle allonge les séjours, la chercher dès l'entrée"
    " pourrait en raccourcir beaucoup. Les résultats seront publiés ici, pour tous ensemble, jamais pour une"
    " personne. Aucune décision de soin n'en dépend.",
    "interest": "Repérer plus tôt les personnes anémiées, et raccourcir des séjours qui n'ont pas à durer.",
    "question": "La durée de séjour diffère-t-elle selon l'hémoglobine mesurée dans les deux premiers jours ?",
    "method": "Cohorte rétrospective d'adultes hospitalisés ; durée de séjour comparée par classes d'hémoglobine, avec"
    " ajustement sur l'âge et le sexe ; résultats par sexe.",
    "information": "Information individuelle à l'admission et portail de transparence.",
}
DATA = {
    "patient": {"gender": "un résultat par sexe", "birth_date": "ajuster sur l'âge"},
    "encounter": {"period_start": "dater l'entrée", "period_end": "mesurer la durée du séjour"},
}


class Desk:
    """A person at a browser of their own, who keeps pictures of what they see."""

    def __init__(self, browser: Browser, address: str, login: str = "", password: str = "") -> None:
        self.address = address
        self.page: Page = browser.new_context(viewport=DESK, locale="fr-FR").new_page()
        self.page.set_default_timeout(PATIENCE)
        if login:
            self.open("/compte/login/")
            self.page.fill("[name=login]", login)
            self.page.fill("[name=password]", password)
            self.page.click("main button[type=submit]")
            expect(self.page.locator("h1")).to_contain_text("Bonjour")

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page

    def keep(self, name: str, part: str = "main h1") -> None:
        """Two pictures of what a person sees with ``part`` at the top of the window."""
        for viewport in (PHONE, DESK):
            self.page.set_viewport_size(viewport)
            place = self.page.locator(part).first.evaluate("one => one.getBoundingClientRect().top + window.scrollY")
            self.page.evaluate(f"window.scrollTo(0, {0 if part == 'main h1' else place - 24})")
            self.page.screenshot(path=PICTURES / f"{name}-{viewport['width']}.png")

    def act(self, label: str, picture: str = "", **fields: str) -> None:
        """Open an action of the page, fill it in, keep a picture of it if one is named, and do it."""
        box = self.page.locator("details.act", has=self.page.get_by_text(label, exact=True).first).first
        box.locator("summary").click()
        for name, value in fields.items():
            target = box.locator(f"[name={name}]")
            target.first.check() if name == "opinion" else target.fill(value)
        if picture:
            box.evaluate("one => one.id = 'shown'")
            self.keep(picture, "aside:has(#shown)")
        box.locator("form button").click()
        expect(self.page.locator(".note.good")).to_contain_text("C'est fait")


class Walk:
    """One walk through the served demonstration; ``number``: the study that it adds."""

    def __init__(self, browser: Browser, address: str, passwords: Mapping[str, str], scientist: str) -> None:
        self.desks = {login: Desk(browser, address, login, password) for login, password in passwords.items()}
        self.desks["citizen"] = Desk(browser, address)
        self.desks["scientist"] = self.desks[scientist]
        self.scientist = scientist
        self.number = self.extract = ""

    def go(self) -> None:
        """Every picture, in the order of the story."""
        self.story_so_far()
        self.propose()
        self.submit()
        self.review()
        self.ask_for_data()
        self.clear()
        self.look_around()

    def story_so_far(self) -> None:
        scientist = self.desks["scientist"]
        scientist.keep("scientist-home")
        self.story = re.search(r"E\d+-\d+", scientist.page.locator("main").inner_text())[0]  # type: ignore[index]
        scientist.open(f"/entrainements/{self.story}-R001/")
        scientist.keep("scientist-run")
        dpo = self.desks["dpo"]
        dpo.open(f"/extraits/{self.story}-X01/")
        dpo.keep("dpo-risk", "section:has-text('Risque de réidentification')")

    def propose(self) -> None:
        desk = self.desks["clinicien"]
        page = desk.page
        page.fill("#titre", TITLE)
        desk.keep("clinician-home")
        page.click("text=Commencer")
        self.number = re.search(r"/etudes/(E\d+-\d+)/", page.url)[1]  # type: ignore[index]
        self._write(desk, "summary", "interest")
        desk.keep("clinician-proposal")
        page.click("text=Enregistrer et continuer")
        today = date.today()
        page.fill("[name=starts]", today.isoformat())
        page.fill("[name=ends]", (today + timedelta(days=365)).isoformat())
        self._write(desk, "question", "method")
        page.click("text=Enregistrer et continuer")
        page.select_option("[name=route]", "MR-004")
        page.fill("[name=retention_years]", "2")
        self._write(desk, "information")
        page.click("text=Enregistrer et continuer")
        self._count(desk)
        self._choose(desk)

    def _write(self, desk: Desk, *names: str) -> None:
        for name in names:
            desk.page.fill(f"[name={name}]", TEXTS[name])

    def _count(self, desk: Desk) -> None:
        page = desk.open(f"/etudes/{self.number}/v1/faisabilite/")
        page.locator("button[name=add][value=age]").click()
        page.fill("[name='0:min']", "18")
        page.fill("[name='0:max']", "120")
        page.locator("button[name=add][value=sex]").click()
        page.get_by_role("button", name="Compter").click()
        expect(page.locator("#compte .big")).to_be_visible()
        desk.keep("clinician-count", ".split")
        page.click("text=Enregistrer la cohorte")
        expect(page.locator(".note.good")).to_contain_text("Cohorte enregistrée")

    def _choose(self, desk: Desk) -> None:
        page = desk.open(f"/etudes/{self.number}/v1/donnees/")
        for table, columns in DATA.items():
            page.locator("summary", has=page.locator("code", has_text=re.compile(f"^{table}$"))).click()
            for column, why in columns.items():
                page.check(f"[name='want:{table}:{column}']")
                page.fill(f"[name='why:{table}:{column}']", why)
        desk.keep("clinician-data", "tr:has([name='want:encounter:period_start'])")
        page.locator("form.card > button").click()
        page = desk.open(f"/etudes/{self.number}/v1/equipe/")
        page.select_option("[name=member]", label=f"Vous (démonstration) ({self.scientist})")
        page.get_by_role("button", name="Ajouter").click()

    def submit(self) -> None:
        desk = self.desks["clinicien"]
        desk.open(f"/etudes/{self.number}/")
        desk.act("Soumettre", "clinician-submit")

    def review(self) -> None:
        """Found complete, examined, voted, visa, decided, activated: six people."""
        opinion = {"opinion": "favourable", "reason": "Question claire, données proportionnées."}
        steps: list[tuple[str, str, str, dict[str, str]]] = [
            ("donnees-1", "Déclarer recevable", "manager-triage", {}),
            ("comite-1", "Ouvrir l'examen", "", {}),
            ("comite-1", "Voter", "committee-vote", opinion),
            ("comite-2", "Voter", "", opinion),
            ("comite-3", "Voter", "", opinion),
            ("dpo", "Donner ou refuser le visa", "dpo-visa", opinion),
            ("direction", "Approuver", "controller-decision", {"reason": "Utile à l'hôpital, proportionné."}),
            ("dpo", "Activer", "dpo-activate", {}),
        ]
        pages = {"donnees-1": "manager-home", "comite-1": "committee-home", "direction": "controller-home"}
        for login, label, picture, fields in steps:
            desk = self.desks[login]
            if login in pages:
                desk.open("/accueil/")
                desk.keep(pages.pop(login))
            desk.open(f"/etudes/{self.number}/")
            if label == "Voter" and login == "comite-1":
                desk.keep("committee-dossier")
            desk.act(label, picture, **fields)

    def ask_for_data(self) -> None:
        desk = self.desks["clinicien"]
        page = desk.open(f"/etudes/{self.number}/")
        page.get_by_role("button", name="Demander un extrait").click()
        self.extract = re.search(r"/extraits/([\w-]+)/", page.url)[1]  # type: ignore[index]
        page.click("text=Préciser la demande")
        page.select_option("[name=dates]", "shifted")
        page.fill("[name=destination]", "grappe de calcul du CHU")
        page.select_option("[name='as:patient:birth_date']", "years:10")
        desk.keep("clinician-extract")
        page.get_by_role("button", name="Enregistrer la spécification").click()

    def clear(self) -> None:
        """Specification approved, built, assessed, cleared by exception, released: five people."""
        steps: list[tuple[str, str, str, dict[str, str]]] = [
            ("dpo", "Approuver la spécification", "dpo-specification", {}),
            ("donnees-1", "Construire", "manager-build", {}),
            ("dpo", "Demander une exception", "dpo-exception", {"reason": "Hôpital généré : aucune personne réelle."}),
            ("direction", "Accorder l'exception", "controller-exception", {"reason": "Étude utile, lecture courte."}),
            ("donnees-2", "Diffuser", "manager-release", {}),
        ]
        for login, label, picture, fields in steps:
            desk = self.desks[login]
            desk.open(f"/extraits/{self.extract}/")
            desk.act(label, picture, **fields)
            if label == "Construire":
                self._await_assessed(desk)

    def _await_assessed(self, desk: Desk) -> None:
        for _ in range(PATIENCE // 1000):
            state = desk.open(f"/extraits/{self.extract}/").locator(".state").first.inner_text()
            if state == "évalué":
                return
            desk.page.wait_for_timeout(1000)
        raise TimeoutError(desk.page.locator("main").inner_text())

    def look_around(self) -> None:
        """A citizen writes to the DPO; then pages that only show."""
        self._ask_the_dpo(self.desks["citizen"])
        for login, path, name in (
            ("citizen", "/", "citizen-register"),
            ("citizen", f"/registre/{self.story}/", "citizen-study"),
            ("donnees-1", "/catalogue/", "manager-catalogue"),
            ("donnees-1", "/versions/", "manager-releases"),
            ("dpo", "/journal/?verify=1", "dpo-record"),
            ("dpo", "/conformite/", "dpo-compliance"),
            ("dpo", "/demandes/", "dpo-citizens"),
            ("scientist", f"/extraits/{self.extract}/", "scientist-extract"),
            ("administration", "/comptes/", "operator-accounts"),
        ):
            self.desks[login].open(path)
            self.desks[login].keep(name)

    def _ask_the_dpo(self, desk: Desk) -> None:
        page = desk.open("/droits/")
        page.fill("[name=name]", "Exemple Démonstration")
        page.fill("[name=birth_date]", "1950-01-01")
        page.fill("[name=contact]", "exemple@localhost")
        desk.keep("citizen-rights", "form.card")
        page.fill("[name=text]", "Personne inventée pour la documentation.")
        page.locator("form.card > button").click()
        expect(page.locator(".note.good")).to_contain_text("enregistrée sous le numéro")


def stage() -> None:
    """The played demonstration in ``build/demo``, as it was before any walk; played once, or gone on with."""
    if not PLAYED.is_dir():
        subprocess.run([sys.executable, "-m", "erios", "demo", "--fast", "--no-serve"], check=True)
        draft = PLAYED.with_name("demo.new")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(DEMO, draft, symlinks=True)
        draft.rename(PLAYED)
    shutil.rmtree(DEMO, ignore_errors=True)
    shutil.copytree(PLAYED, DEMO, symlinks=True)


def photograph() -> None:
    """Serve the demonstration, and walk through it."""
    from erios.demo.accounts import draw_passwords, scientist
    from erios.demo.services import served
    from erios.workflows.database import open_database

    open_database()
    passwords, person = draw_passwords(), scientist().username
    with served() as addresses, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        try:
            Walk(browser, addresses.portal, passwords, person).go()
        finally:
            browser.close()


def _chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise SystemExit("Chromium is missing: install it, or run `make site PICTURES=` with pictures taken elsewhere")


def main() -> None:
    os.environ["ERIOS_HOME"] = str(DEMO)
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    _chromium()
    stage()
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    photograph()


if __name__ == "__main__":
    main()
