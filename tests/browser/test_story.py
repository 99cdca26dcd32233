"""The whole story in a real Chromium, in French: propose, count, submit, triage, vote, visa, decide, activate, read.

Pictures of every page are kept in ``var/pictures``, at a desk's width and at a phone's; axe-core looks at each.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "var" / "pictures"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
PATIENCE = 60_000
"""Milliseconds to wait for anything: a busy machine is slow, not wrong."""
expect.set_options(timeout=PATIENCE)
PASSWORD = "un mot de passe assez long"
CAST = {
    "ada": ("clinician", "Ada Lambert", "cardiologue"),
    "bob": ("data-scientist", "Bob Meunier", "méthodologiste"),
    "dan": ("data-manager", "Dan Roche", "gestionnaire de données"),
    "dora": ("data-manager", "Dora Blin", "gestionnaire de données"),
    "com1": ("committee", "Cléo Un", "membre du comité"),
    "com2": ("committee", "Cléo Deux", "membre du comité"),
    "com3": ("committee", "Cléo Trois", "membre du comité"),
    "chk1": ("checker", "Vérane Un", "vérificatrice des sorties"),
    "chk2": ("checker", "Vérane Deux", "vérificatrice des sorties"),
    "dpo": ("dpo", "Délia Prévost", "déléguée à la protection des données"),
    "chief": ("controller", "Charles Hubert", "délégué du responsable de traitement"),
}
SEED = """
import sys
from erios.workflows.database import open_database
open_database(migrate=True)
from allauth.mfa.totp.internal.auth import TOTP
from erios.accounts.actions import make_account, make_first_administrator
from erios.governance.roles import Role
admin = make_first_administrator(login="admin", password=sys.argv[1])
TOTP.activate(admin, "A" * 32)
for entry in sys.argv[2:]:
    login, role, name, title = entry.split("|")
    user = make_account(by=admin, login=login, name=name, email=f"{login}@example.org", title=title, roles=[Role(role)])
    user.set_password(sys.argv[1])
    user.save()
    TOTP.activate(user, "A" * 32)
"""


LOAD = """
import sys
from contextlib import nullcontext
from pathlib import Path
from erios.settings import load_settings
from erios.workflows import load
from tests.inline import InlineRunner
load.spark_session = lambda _settings: nullcontext()
load.SparkRunner = lambda _spark: InlineRunner()
load.load_export([Path(sys.argv[1])], load_settings())
"""
"""`erios etl load` without Spark, which other tests load with."""


def run(home: Path, *command: str) -> str:
    program = [sys.executable, *command]
    done = subprocess.run(program, env=_environment(home), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _environment(home: Path) -> dict[str, str]:
    named = {"ERIOS_HOME": str(home), "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "erios.django_settings"}
    return {**os.environ, **named}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the portal's data lie."""
    return tmp_path_factory.mktemp("portal") / "home"


@pytest.fixture(scope="module")
def portal(home: Path) -> Iterator[str]:
    """A portal over the release of a generated hospital, with the cast's accounts; answers its address."""
    export = home.parent / "export"
    run(home, "-m", "erios", "synth", str(export), "--patients", "150", "--seed", "7")
    run(home, "-m", "erios", "keys", "init")
    run(home, "-c", LOAD, str(export))
    run(home, "-c", SEED, PASSWORD, *(f"{login}|{'|'.join(said)}" for login, said in CAST.items()))
    port = _free_port()
    server = subprocess.Popen([sys.executable, "-m", "erios", "portal", "--port", str(port)], env=_environment(home))
    try:
        yield _awaited(f"http://localhost:{port}")
    finally:
        server.terminate()
        server.wait(30)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _awaited(address: str) -> str:
    for _ in range(120):
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return address
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError("the portal does not answer")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "Chromium is missing: run `make test`, which installs it where it may"
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


NO_PAGES = {
    *("feed", "dossier_json", "dossier_pdf", "processing", "access_review"),  # files
    *("airlock_bytes", "public_file"),
    *(
        "start",
        "comment",
        "results",
        "results_act",
        "amend",
        "act",
        "count",
        "request_extract",
        "extract_act",
        "airlock_start",
        "airlock_add",
        "airlock_comment",
        "airlock_act",
        "open_workspace",
        "close_workspace",
    ),  # forms of other pages
    *("set_roles", "close_account", "set_language", "stop_run", "run_picture"),
    "data_docs",  # made by Great Expectations, and served as it made them
}
"""Addresses that show no page of ours."""
kept: set[str] = set()
"""Names of the pages that were photographed and looked at."""


class Desk:
    """A person at a browser of their own."""

    def __init__(self, browser: Browser, address: str, login: str | None = None) -> None:
        self.address = address
        self.context = browser.new_context(viewport=DESK, locale="fr-FR")  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.refused: list[str] = []
        self.page.on("console", self._note)
        if login:
            self._log_in(login)

    def _note(self, said: Any) -> None:
        if said.type == "error":
            self.refused.append(f"{said.location.get('url')}: {said.text}")

    def _log_in(self, login: str) -> None:
        self.open("/compte/login/")
        self.page.fill("[name=login]", login)
        self.page.fill("[name=password]", PASSWORD)
        self.page.click("main button[type=submit]")
        self.page.fill("[name=code]", _code())
        self.page.click("main button[type=submit] >> nth=0")
        expect(self.page.locator("h1")).to_contain_text("Bonjour")

    def open(self, path: str) -> None:
        self.page.goto(self.address + path)

    def keep(self, name: str) -> None:
        """Two pictures of the page, and nothing that axe-core finds in it."""
        kept.add(_name_of(self.page.url))
        for width, viewport in (("bureau", DESK), ("telephone", PHONE)):
            self.page.set_viewport_size(viewport)  # type: ignore[arg-type]
            self.page.screenshot(path=PICTURES / f"{name}-{width}.png", full_page=True)
            spread = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert spread <= 0, f"{name} is {spread} pixels wider than a {width}"
        found = [(one["id"], one["nodes"][0]["html"][:200]) for one in Axe().run(self.page).response["violations"]]
        assert found == [], f"{name}: {found}"
        self.page.set_viewport_size(DESK)  # type: ignore[arg-type]

    def act(self, label: str, **fields: str) -> None:
        """Open one of the dossier's actions, fill it in, and do it."""
        box = self.page.locator("details.act", has=self.page.get_by_text(label, exact=True).first).first
        box.locator("summary").click()
        for name, value in fields.items():
            target = box.locator(f"[name={name}]")
            target.first.check() if name == "opinion" else target.fill(value)
        box.locator("form button").click()
        expect(self.page.locator(".note.good")).to_contain_text("C'est fait")

    def close(self) -> None:
        assert self.refused == [], self.refused
        self.context.close()


def _name_of(url: str) -> str:
    """The name of a page by its address; of the accounts library's pages too."""
    from django.urls import Resolver404, resolve

    try:
        return str(resolve(urlsplit(url).path, "erios.portal.urls").url_name)
    except Resolver404:
        return ""


def _code() -> str:
    """A one-time code of the secret that all have here."""
    from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

    return str(format_hotp_value(hotp_value("A" * 32, int(time.time()) // 30)))


@pytest.mark.slow
def test_the_whole_story(home: Path, portal: str, browser: Browser) -> None:
    ada = Desk(browser, portal, "ada")
    number = _propose(ada)
    _count(ada, number)
    ada.open(f"/etudes/{number}/")
    ada.keep("dossier-brouillon")
    ada.act("Soumettre")
    desks = _review(browser, portal, number)
    ada.open(f"/etudes/{number}/")
    expect(ada.page.locator(".state").first).to_have_text("en cours")
    ada.keep("dossier-en-cours")
    desks |= {login: Desk(browser, portal, login) for login in CHECKERS}
    _publish(ada, desks, number)
    _let_out(ada, desks, number, home.parent)
    extract = _ask_for_extract(ada)
    _clear_extract(browser, portal, extract, desks)
    ada.open(f"/extraits/{extract}/")
    expect(ada.page.locator(".state").first).to_have_text("diffusé")
    ada.keep("extrait-diffuse")
    ada.open(f"/entrainements/{run(home, '-c', RUN, extract).split()[-1]}/")
    ada.keep("entrainement-en-attente")
    ada.close()
    assert _opened(home, extract) > 0
    _read(browser, portal, number)
    _guard(browser, portal)
    _administer(browser, portal)
    from tests.portal.test_pages import own_patterns

    assert sorted({str(page.name) for page in own_patterns()} - NO_PAGES - kept) == []
    assert kept >= {"account_login", "mfa_index", "account_change_password", "account_reset_password", ""}


def _propose(ada: Desk) -> str:
    page = ada.page
    ada.keep("accueil-clinicien")
    page.fill("#titre", "Insuffisance cardiaque : qui revient à l'hôpital dans le mois ?")
    page.click("text=Commencer")
    number = re.search(r"/etudes/(E\d+-\d+)/", page.url)[1]  # type: ignore[index]
    page.fill("[name=summary]", "Un patient sur cinq revient à l'hôpital dans le mois qui suit sa sortie. " * 4)
    page.fill("[name=interest]", "Mieux préparer les sorties, éviter des retours aux urgences et des angoisses. " * 2)
    expect(page.locator("#garde")).to_contain_text("Enregistré à")
    ada.keep("assistant-presentation")
    page.click("text=Enregistrer et continuer")
    page.fill("[name=question]", "Quels facteurs connus à la sortie annoncent un retour dans les trente jours ? " * 2)
    page.fill("[name=method]", "Cohorte rétrospective ; modèle logistique ; validation sur la dernière année. " * 3)
    page.fill("[name=starts]", "2031-01-01")
    page.fill("[name=ends]", "2032-12-31")
    page.click("text=Enregistrer et continuer")
    page.select_option("[name=route]", "MR-004")
    page.fill("[name=information]", "Information individuelle à l'admission et portail de transparence.")
    page.fill("[name=retention_years]", "2")
    ada.keep("assistant-cadre")
    page.click("text=Enregistrer et continuer")
    for section in ("methode", "ia", "finalites", "donnees"):
        ada.open(f"/etudes/{number}/v1/{section}/")
        ada.keep(f"assistant-{section}-vide")
    page.locator("summary", has_text="encounter").first.click()
    page.check("[name='want:encounter:starts_at']") if page.locator(
        "[name='want:encounter:starts_at']"
    ).count() else None
    page.locator("[name^='want:encounter:']").first.check()
    for name in page.locator("[name^='want:encounter:']:checked").evaluate_all("boxes => boxes.map(b => b.name)"):
        page.fill(f"[name='{name.replace('want', 'why', 1)}']", "dater le retour")
    ada.keep("assistant-donnees")
    page.locator("form.card > button").click()
    return str(number)


def _count(ada: Desk, number: str) -> None:
    page = ada.page
    ada.open(f"/etudes/{number}/v1/faisabilite/")
    page.locator("button[name=add][value=sex]").click()
    page.locator("button[name=add][value=age]").click()
    page.fill("[name='1:min']", "40")
    page.fill("[name='1:max']", "120")
    page.get_by_role("button", name="Compter").click()
    expect(page.locator("#compte .big")).to_be_visible()
    assert re.fullmatch(r"moins de 11|\d+", page.locator("#compte .big").inner_text())
    ada.keep("faisabilite")
    page.click("text=Enregistrer la cohorte")
    expect(page.locator(".note.good")).to_contain_text("Cohorte enregistrée")
    ada.open(f"/etudes/{number}/v1/equipe/")
    page.select_option("[name=member]", label="Bob Meunier (bob)")
    page.get_by_role("button", name="Ajouter").click()
    ada.keep("assistant-equipe")


def _review(browser: Browser, portal: str, number: str) -> dict[str, Desk]:
    steps: list[tuple[str, str, dict[str, str]]] = [
        ("dan", "Déclarer recevable", {}),
        ("com1", "Ouvrir l'examen", {}),
        *(
            (login, "Voter", {"opinion": "favourable", "reason": "Question claire."})
            for login in ("com1", "com2", "com3")
        ),
        ("dpo", "Donner ou refuser le visa", {"opinion": "favourable", "reason": "Données proportionnées."}),
        ("chief", "Approuver", {"reason": "Utile et proportionné."}),
        ("dpo", "Activer", {}),
    ]
    desks: dict[str, Desk] = {}
    for login, label, fields in steps:
        if login not in desks:
            desks[login] = Desk(browser, portal, login)
            desks[login].keep(f"accueil-{login}")
        desks[login].open(f"/etudes/{number}/")
        desks[login].keep(f"dossier-{login}-{label.split()[0].lower()}")
        desks[login].act(label, **fields)
    _look_around(desks)
    return desks


CHECKERS = ("chk1", "chk2")


def _publish(ada: Desk, desks: dict[str, Desk], number: str) -> None:
    """A text that the checks hold, then one that two checkers approve and the DPO agrees to."""
    dpo = desks["dpo"]
    ada.page.fill("#res", "Sur 3 patients, un homme de 97 ans est revenu.")
    ada.page.get_by_role("button", name="Soumettre aux vérificateurs").click()
    expect(ada.page.locator(".note.bad")).to_contain_text("retiennent ce texte")
    ada.keep("sortie-texte-retenu")
    ada.open(f"/etudes/{number}/")
    ada.page.fill("#res", "Moins d'un patient sur cinq est revenu à l'hôpital dans le mois.")
    ada.page.get_by_role("button", name="Soumettre aux vérificateurs").click()
    expect(ada.page.locator(".note.good")).to_contain_text("deux vérificateurs")
    ada.keep("resultats-proposes")
    _vote(desks, f"{number}-S02")
    dpo.open("/accueil/")
    expect(dpo.page.locator("#textes")).to_be_visible()
    dpo.keep("accueil-dpo-resultats")
    dpo.open(f"/etudes/{number}/")
    dpo.keep("resultats-dpo")
    dpo.act("Accepter la publication")
    ada.open(f"/etudes/{number}/")
    ada.keep("resultats-publies")


def _let_out(ada: Desk, desks: dict[str, Desk], number: str, folder: Path) -> None:
    """A figure asked out with the data behind it, checked by two from file to file, released by the DPO: public."""
    page = ada.page
    page.check("[name=public]")
    page.get_by_role("button", name="Faire sortir des fichiers").click()
    request = re.search(r"/sorties/([\w-]+)/", page.url)[1]  # type: ignore[index]
    picture, data = _figure(folder)
    _add(ada, picture, "Retours dans le mois, par âge.")
    expect(page.locator(".note.bad")).to_contain_text("retiennent ce fichier")
    ada.keep("sortie-figure-sans-donnees")
    _add(ada, data, "Les effectifs derrière la figure.", kind="supporting", behind=picture.name)
    expect(page.locator(".note.good")).to_contain_text("Le fichier est déposé")
    ada.keep("sortie-a-soumettre")
    ada.act("Soumettre")
    _vote(desks, request)
    dpo = desks["dpo"]
    dpo.open(f"/sorties/{request}/")
    dpo.act("Diffuser")
    dpo.keep("sortie-diffusee")
    ada.open(f"/etudes/{number}/")


def _add(ada: Desk, file: Path, context: str, **choices: str) -> None:
    for name, value in choices.items():
        ada.page.select_option(f"[name={name}]", value)
    ada.page.set_input_files("#fichier", file)
    ada.page.fill("[name=context]", context)
    ada.page.fill("[name=controls]", "Effectifs d'au moins 11, arrondis.")
    ada.page.get_by_role("button", name="Déposer et contrôler").click()
    expect(ada.page.locator("h2", has_text=file.name)).to_be_visible()


def _figure(folder: Path) -> tuple[Path, Path]:
    """A picture, and the table that it shows."""
    from matplotlib.figure import Figure

    ages, shares = ("40-59", "60-79", "80+"), (18, 24, 31)
    picture, data = folder / "retours.png", folder / "retours.csv"
    drawn = Figure(figsize=(6, 3.4))
    drawn.subplots().bar(ages, shares)
    drawn.savefig(picture, metadata={"Software": None})
    data.write_text("age,sejours,retours\n40-59,450,80\n60-79,620,150\n80+,310,95\n")
    return picture, data


def _vote(desks: dict[str, Desk], request: str) -> None:
    """Each checker reads every file, by keyboard from one to the next, and approves the first."""
    for login in CHECKERS:
        desk, page = desks[login], desks[login].page
        desk.open("/sorties/")
        desk.keep(f"sorties-{login}")
        page.get_by_role("link", name=request).first.click()
        desk.keep(f"sortie-{request[-3:]}-{login}")
        page.get_by_role("link", name="Lire et voter").click()
        if page.locator("a[data-key=next]").count():
            page.keyboard.press("j")
            expect(page.locator("h1")).to_contain_text("csv")
            desk.keep(f"sortie-tableau-{login}")
            page.keyboard.press("k")
            expect(page.locator("h1")).to_contain_text("png")
            page.wait_for_load_state()
            assert page.locator("figure img").evaluate("image => image.naturalWidth") > 0
        desk.keep(f"sortie-fichier-{request[-3:]}-{login}")
        page.check("[name=verdict][value=approve]")
        page.get_by_role("button", name="Voter").click()
        expect(page.locator(".note.good")).to_contain_text("C'est fait")


def _ask_for_extract(ada: Desk) -> str:
    page = ada.page
    page.get_by_role("button", name="Demander un extrait").click()
    number = re.search(r"/extraits/([\w-]+)/", page.url)[1]  # type: ignore[index]
    ada.keep("extrait-demande")
    page.click("text=Préciser la demande")
    page.select_option("[name=dates]", "month")
    page.fill("[name=destination]", "grappe de calcul du CHU")
    ada.keep("extrait-specification")
    page.get_by_role("button", name="Enregistrer la spécification").click()
    return str(number)


def _clear_extract(browser: Browser, portal: str, number: str, desks: dict[str, Desk]) -> None:
    """Specification approved, built by the worker, assessed, cleared by exception, released: five people."""
    steps: list[tuple[str, str, dict[str, str]]] = [
        ("dpo", "Approuver la spécification", {}),
        ("dan", "Construire", {}),
        ("dpo", "Demander une exception", {"reason": "Petit hôpital de démonstration."}),
        ("chief", "Accorder l'exception", {"reason": "Étude utile, lecture courte."}),
        ("dora", "Diffuser", {}),
    ]
    for login, label, fields in steps:
        if login not in desks:
            desks[login] = Desk(browser, portal, login)
        desks[login].open(f"/extraits/{number}/")
        desks[login].keep(f"extrait-{login}-{label.split()[0].lower()}")
        desks[login].act(label, **fields)
        if label == "Construire":
            _await_state(desks[login], number, "évalué")
    for desk in desks.values():
        desk.close()


def _await_state(desk: Desk, number: str, state: str) -> None:
    for _ in range(120):
        desk.open(f"/extraits/{number}/")
        if desk.page.locator(".state").first.inner_text() == state:
            return
        time.sleep(1)
    raise AssertionError(desk.page.locator("main").inner_text())


RUN = """
import sys
from erios.workflows.database import open_database
open_database()
from erios.accounts.models import User
from erios.studies.extract_selectors import find_extract
from erios.studies.run_actions import start_run
order = {"cluster": "local", "nodes": 1, "processes": 1, "gpus": 0, "seed": 7, "settings": {}}
asked = {"bundle": "readmission", "digest": "0" * 64, "cluster": "local", "order": order}
print(start_run(extract=find_extract(sys.argv[1]), by=User.objects.get(username="bob"), **asked).number)
"""
OPEN = """
import sys
from erios.workflows.extract import open_extract
opened = open_extract(sys.argv[1], "bob")
print(opened.duckdb("encounter").count("*").fetchall()[0][0])
"""


def _opened(home: Path, number: str) -> int:
    """Rows that somebody on the team reads through the door."""
    return int(run(home, "-c", OPEN, number))


def _look_around(desks: dict[str, Desk]) -> None:
    for login, path, name in (
        ("dpo", "/journal/?verify=1", "journal"),
        ("dpo", "/demandes/", "demandes"),
        ("dan", "/catalogue/", "catalogue"),
        ("dan", "/catalogue/observation/", "catalogue-table"),
        ("dan", "/versions/", "versions"),
        ("dpo", "/conformite/", "conformite"),
        ("com1", "/notifications/", "notifications"),
    ):
        desks[login].open(path)
        desks[login].keep(name)


def _read(browser: Browser, portal: str, number: str) -> None:
    citizen = Desk(browser, portal)
    citizen.open("/")
    expect(citizen.page.locator(".study")).to_contain_text("Insuffisance cardiaque")
    citizen.keep("registre")
    citizen.page.click(".study")
    expect(citizen.page).to_have_url(re.compile(f"/registre/{number}/"))
    expect(citizen.page.locator("main")).to_contain_text("Moins d'un patient sur cinq")
    expect(citizen.page.locator("main")).not_to_contain_text("97 ans")
    citizen.page.wait_for_load_state()
    assert citizen.page.locator("figure img").evaluate("image => image.naturalWidth") > 0
    citizen.keep("registre-etude")
    citizen.open("/droits/")
    citizen.keep("droits")
    citizen.open("/compte/login/")
    citizen.keep("connexion")
    citizen.open("/compte/password/reset/")
    citizen.keep("mot-de-passe-oublie")
    citizen.close()


def _guard(browser: Browser, portal: str) -> None:
    """A data manager takes a code for a terminal, and sees who works in which workspace."""
    keeper = Desk(browser, portal, "dan")
    keeper.open("/code/")
    keeper.page.click("text=Demander un code")
    expect(keeper.page.locator("#code + p code")).to_have_text(re.compile(r"^[a-z0-9]{4}-[a-z0-9]{4}-[a-z0-9]{4}$"))
    keeper.keep("code")
    keeper.open("/espaces/")
    keeper.keep("espaces")
    keeper.close()


def _administer(browser: Browser, portal: str) -> None:
    admin = Desk(browser, portal, "admin")
    for path, name in (
        ("/comptes/", "comptes"),
        ("/compte/2fa/", "second-facteur"),
        ("/compte/password/change/", "mot-de-passe"),
        ("/nulle-part/", "introuvable"),
    ):
        admin.open(path)
        admin.keep(name)
    admin.refused.clear()  # the page that is not there is not there
    admin.close()
