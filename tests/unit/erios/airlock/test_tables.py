"""Tables that must be held, each written in another way, and tables that must pass."""

from __future__ import annotations

import pytest

from erios.airlock.check import Context, Released, check_file, hide_cells
from erios.airlock.findings import Verdict

UNSAFE = {
    "plain": "sex,n\nF,120\nM,7\n",
    "semicolon comma": "sexe;effectif;pct\nF;120;94,5\nM;7;5,5\n",
    "pct only w/ N": "groupe;n;pct\nA;240;2,5\nB;300;12,3\n",
    "title N": "Table 1 (N = 120)\ngroupe;pourcentage\nA;4.2\nB;95.8\n",
    "nbsp": "g;n\nA;1\u202f234\nB;9\n",
    "bom": "\ufeffg,n\nA,100\nB,3\n",
    "merged": ",Hommes,,Femmes,\n,n,%,n,%\nDiabète,120,40.0,4,2.0\nHTA,180,60.0,196,98.0\n",
    "ensemble first": "sexe,n\nEnsemble,130\nF,120\nM,<11\n",
    "hidden total": "age,n\n18-29,50\n30-39,<11\n40-49,60\nTotal,114\n",
    "hidden 2x2": "sexe,oui,non,total\nF,<11,90,95\nM,60,40,100\nTotal,65,130,195\n",
    "two hidden sum": "age,n\na,50\nb,<11\nc,<11\nTotal,57\n",
    "two hidden 20": "age,n\na,50\nb,<11\nc,<11\nTotal,70\n",
    "transposed": ",F,M\nn,120,7\nage moyen,54.2,51.3\n",
    "neg zero": "g,n\nA,100\nB,-0\n",
    "float": "g,n\nA,100.0\nB,3.0\n",
    "two tables": "g,n\nA,100\nB,200\n\nh,n\nC,50\nD,4\n",
    "formula": 'g,n\nA,100\nB,"=1+1"\n',
    "formula2": 'g,n\nA,100\n"=HYPERLINK(""http://x"")",200\n',
    "ratio": "g,deces\nA,3/27\nB,12/50\n",
    "note": "g,n\nA,100\nB,200\nNote: 3 patients exclus\n",
    "zero width": "g,n\nA\u200b,100\nB,200\n",
    "row everyone": "g,n,deces\nA,40,40\nB,100,50\n",
    "nested": "g,n,deces\nA,120,115\nB,100,50\n",
    "100pct": "g,n,pct\nA,40,100\nB,100,50\n",
    "min max": "g,n,age_min,age_max\nA,120,18,97\n",
    "median small": "g,n,median\nA,15,54.5\nB,100,60\n",
    "dominance": "service,n,cout,largest\nA,50,100000,95000\nB,60,200000,9000\n",
    "ids": "ipp,n\n8001,20\n8002,30\n",
    "persons": "age,sexe,imc\n54,F,24.1\n61,M,30.2\n",
    "words": "g,n\nA,120\nB,trois\n",
    "< label": "g,n\nA,120\nB,<5\n",
    "precision": "g,n,moyenne\nA,120,54.123456789\n",
    "date": "g,n\n2024-03-12,120\n2024-03-13,130\n",
    "name": "g,n\nM. Dupont,120\nautres,130\n",
    "pipe": "| g | n |\n|---|---|\n| A | 120 |\n| B | 3 |\n",
    "hidden mean": "g,n,moyenne\nA,120,54.2\nB,<11,61.5\n",
    "flow": "etape,n\nInclus,500\nAnalysés,493\n",
    "cumul": "age,n\n>=65,200\n>=66,195\n",
    "omitted": "g,n\nA,100\nB,200\nTotal,307\n",
    "ncols pct dec": "g;N;taux\nA;87;3,4\nB;120;10,0\n",
    "small denom pct": "g,pct\nA,14.29\nB,28.57\nC,57.14\n",
    "tidy": "sexe,age,n\nF,18-39,50\nF,40+,<11\nF,Total,56\nM,18-39,40\nM,40+,60\nM,Total,100\n",
    "nameless": "A,100\nB,3\n",
    "one col": "n\n100\n3\n",
    "count(pct)": "var,Groupe A (n=120),Groupe B (n=95)\nFemmes n (%),60 (50.0),90 (94.7)\n",
    "approx": "g,n\nA,~100\nB,~4\n",
    "text cell": "g,n\nA,120\nB,4 patients\n",
    "size header": "var,A (n=7),B (n=100)\nage moyen,54.2,51.1\n",
    "arabic digits": "g,n\nA,120\nB,٣\n",
    "fullwidth": "g,n\nA,120\nB,３\n",
    "bracket": "g,n\nA,120\nB,[3]\n",
    "quote": "g,n\nA,120\nB,'3\n",
    "measure lie": "g,score\nA,120\nB,3\n",
    "label lie": "age,year\n3,4\n5,6\n",
    "html": "g,n\nA,120\nB,<b>3</b>\n",
    "kaplan": "temps,survie,at_risk\n0,1.00,120\n12,0.95,114\n24,0.90,100\n",
}
"""What it is → the file."""

SAFE = {
    "plain": "sex,n\nF,120\nM,70\n",
    "semicolon": "sexe;effectif;pct\nF;120;63,2\nM;70;36,8\n",
    "hidden ok": "age,n\n18-29,50\n30-39,<11\n40-49,<11\n50-59,60\nTotal,121\n",
    "table1": "var,Groupe A (n=120),Groupe B (n=195)\nFemmes n (%),60 (50.0),90 (46.2)\n"
    '"Age, moyenne (ET)",54.2 (12.1),51.0 (11.0)\n'
    '"Séjour, médiane [IQR]",5 [3-8],6 [4-9]\n',
    "metrics": "fold,auc,sensitivity\n1,0.81,0.7\n2,0.82,0.71\n",
    "coef": "variable,OR,IC95 inf,IC95 sup,p\nAge,1.02,1.01,1.04,0.001\nSexe,1.5,1.2,1.9,0.03\n",
    "years": "annee,n,taux\n2019,120,12.3\n2020,130,13.1\n",
    "wide years": "cause,2019,2020\nA,120,130\nB,200,190\n",
    "margins": "sexe,oui,non,total\nF,55,40,95\nM,60,40,100\nTotal,115,80,195\n",
    "rounded": "Counts rounded to 10\ng,n\nA,120\nB,50\nC,80\nD,200\nE,210\nF,90\nTotal,750\n",
    "sum": "service,n,cout\nA,50,100000\nB,60,200000\n",
    "curve": "epoch,loss,val_loss\n1,0.9,0.91\n2,0.8,0.85\n3,0.7,0.8\n",
    "roc": "fpr,tpr\n0.0,0.0\n0.1,0.5\n0.2,0.7\n1.0,1.0\n",
    "pct": "g;n;pct\nA;240;25,5\nB;300;12,3\n",
    "confusion": ",pred_0,pred_1\nobs_0,120,30\nobs_1,25,140\n",
    "mean": "g,n,moyenne,ecart type\nA,120,54.2,11.9\nB,80,51.3,12.0\n",
    "nbsp": "g;n\nA;1\u202f234\nB;1\u202f900\n",
    "secondary": "sexe,oui,non,total\nF,*,*,95\nM,*,*,100\nTotal,115,80,195\n",
}
"""What it is → the file."""


def held(path, context=None):
    findings = check_file(path, context or Context()).findings
    return {finding.check for finding in findings if finding.verdict == Verdict.HELD}


def write(folder, text, name="table.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("name", UNSAFE)
def test_a_table_that_tells_of_few_is_held(tmp_path, name):
    assert held(write(tmp_path, UNSAFE[name])) != set()


@pytest.mark.parametrize("name", SAFE)
def test_a_table_that_tells_of_many_passes(tmp_path, name):
    assert held(write(tmp_path, SAFE[name])) == set()


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("sex,n\nF,120\nM,70\n", "sex,n\nF,115\nM,70\n"),
        ("sex,n\nF,120\nM,70\nTotal,190\n", "ward,n\nA,95\nB,92\n"),
        ("age,n\n>=65,200\n", "age,n\n>=66,195\n"),
        ("age,n\n18-39,80\n40-59,90\n", "age,n\n18-29,40\n30-39,33\n40-59,90\n"),
        ("sex,n\nF,120\nM,<11\n", "ward,n\nA,60\nB,67\n"),
        (",F,M\nn,120,70\n", "sex,n\nF,115\nM,70\n"),
    ],
)
def test_a_difference_from_what_left_before_is_held(tmp_path, before, now):
    path = write(tmp_path, now)

    assert held(path) == set()
    assert "differencing" in held(path, Context(earlier=[Released("before.csv", before.encode())]))


def test_the_same_table_again_passes(tmp_path):
    text = "sex,n\nF,120\nM,70\n"

    assert held(write(tmp_path, text), Context(earlier=[Released("before.csv", text.encode())])) == set()


def test_suggest_hides_what_totals_would_give_away(tmp_path):
    path = write(tmp_path, "sex,yes,no,total\nF,5,90,95\nM,60,40,100\nX,30,25,55\nTotal,95,155,250\n")

    grid = hide_cells(path, Context())

    assert grid is not None
    assert grid[1] == ("F", "<11", "*", "95")
    assert held(write(tmp_path, "\n".join(map(",".join, grid)), "hidden.csv")) == set()
