"""Every page of the portal."""

from django.urls import include, path
from django.views.i18n import set_language

from erios.portal.access import public
from erios.portal.views import (
    accounts,
    audit,
    compliance,
    extracts,
    feasibility,
    publications,
    runs,
    studies,
    warehouse,
    workspaces,
)
from erios.portal.views import public as open_pages

PROPOSAL = "etudes/<slug:number>/v<int:version>/"
urlpatterns = [
    path("", open_pages.studies, name="register"),
    path("registre.json", open_pages.feed, name="feed"),
    path("registre/<slug:number>/", open_pages.study, name="register_study"),
    path("droits/", open_pages.rights, name="rights"),
    path("accueil/", studies.home, name="home"),
    path("etudes/", studies.start, name="start"),
    path("etudes/<slug:number>/", studies.dossier, name="dossier"),
    path("etudes/<slug:number>/commentaire/", studies.comment, name="comment"),
    path("etudes/<slug:number>/resultats/", publications.propose, name="results"),
    path("etudes/<slug:number>/resultats/v<int:version>/<str:action>/", publications.act, name="results_act"),
    path("etudes/<slug:number>/amendement/", studies.amend, name="amend"),
    path(PROPOSAL, studies.dossier, name="dossier"),
    path(f"{PROPOSAL}dossier.json", studies.dossier_json, name="dossier_json"),
    path(f"{PROPOSAL}dossier.pdf", studies.dossier_pdf, name="dossier_pdf"),
    path(f"{PROPOSAL}action/<str:action>/", studies.act, name="act"),
    path(f"{PROPOSAL}faisabilite/", feasibility.feasibility, name="feasibility"),
    path(f"{PROPOSAL}faisabilite/compte/", feasibility.count, name="count"),
    path(f"{PROPOSAL}<slug:section>/", studies.wizard, name="wizard"),
    path("etudes/<slug:number>/extraits/", extracts.request_extract, name="request_extract"),
    path("extraits/<slug:number>/", extracts.extract, name="extract"),
    path("extraits/<slug:number>/specification/", extracts.specification, name="specification"),
    path("extraits/<slug:number>/action/<str:action>/", extracts.act, name="extract_act"),
    path("extraits/<slug:number>/espace/", workspaces.open_workspace, name="open_workspace"),
    path("espaces/", workspaces.workspaces, name="workspaces"),
    path("espaces/<slug:number>/fermer/", workspaces.close, name="close_workspace"),
    path("entrainements/<slug:number>/", runs.run, name="run"),
    path("entrainements/<slug:number>/arreter/", runs.stop, name="stop_run"),
    path("entrainements/<slug:number>/images/<str:name>", runs.picture, name="run_picture"),
    path("notifications/", studies.notifications, name="notifications"),
    path("catalogue/", warehouse.catalogue, name="catalogue"),
    path("catalogue/<slug:name>/", warehouse.table, name="table"),
    path("versions/", warehouse.releases, name="releases"),
    path("versions/<slug:release_id>/<str:page>", warehouse.data_docs, name="data_docs"),
    path("journal/", audit.audit, name="audit"),
    path("journal/article-30.json", audit.processing, name="processing"),
    path("conformite/", compliance.compliance, name="compliance"),
    path("demandes/", audit.citizens, name="citizens"),
    path("comptes/", accounts.accounts, name="accounts"),
    path("comptes/revue.csv", accounts.access_review, name="access_review"),
    path("comptes/<slug:login>/roles/", accounts.set_roles, name="set_roles"),
    path("comptes/<slug:login>/fermer/", accounts.close, name="close_account"),
    path("i18n/", public(set_language), name="set_language"),
    path("compte/", include("allauth.urls")),
]
