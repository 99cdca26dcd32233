"""Files that attackers thought of, each once, and files of authors that look like them."""

from __future__ import annotations

import pytest

from erios.airlock.check import Context, Released, check_file

UNSAFE = [
    pytest.param("t.json", '{"results": [{"g": "A", "n": 3}]}', (), {}, id="json nested list"),
    pytest.param("t.json", '{"auc": 0.8, "n_test": 7}', (), {}, id="json metrics small"),
    pytest.param("t.json", '{"F": {"n": 120}, "M": {"n": 4}}', (), {}, id="json dict of dict"),
    pytest.param("t.json", '[{"g": "A", "n": "120"}, {"g": "B", "n": "4"}]', (), {}, id="json str counts"),
    pytest.param(
        "r.md", "# R\n\nN = 120\n\n| g | % |\n|--|--|\n| A | 4.2 |\n| B | 95.8 |\n", (), {}, id="md table pct"
    ),
    pytest.param("r.txt", "g & n \\\\\nA & 120 \\\\\nB & 3 \\\\\n", (), {}, id="latex"),
    pytest.param("r.txt", "group    n\nA      120\nB        3\n", (), {}, id="aligned"),
    pytest.param("r.txt", "Diabète : 120\nAsthme : 3\n", (), {}, id="colon list"),
    pytest.param("r.md", "Neuf femmes ont rechuté.", (), {}, id="counts in sentence words"),
    pytest.param("r.md", "Parmi 85 patients, 3,5 % ont rechuté.", (), {}, id="two percent"),
    pytest.param("r.md", "The cohort had 120 women; mortality was 2.5%.", (), {}, id="percent then"),
    pytest.param("r.md", "Décès : 4 sur 120.", (), {}, id="x sur y"),
    pytest.param("r.md", "Relapse in 117 of 120 patients.", (), {}, id="x of y"),
    pytest.param("t.csv", "g,n\nA,120\nB,III\n", (), {}, id="roman"),
    pytest.param("t.csv", "g,N,oui,non\nA,120,116,<11\nB,90,50,40\n", (), {}, id="total col N"),
    pytest.param("t.csv", "g,n\nHôpital,300\nA,150\nB,143\nC,<11\n", (), {}, id="total first unnamed"),
    pytest.param("t.csv", "g,n\nA,100\nB,<11\nSous-total,105\nC,50\nD,60\nTotal,215\n", (), {}, id="sub total"),
    pytest.param("t.csv", "g,n,pct\nA,100,50.0\nB,95,47.5\nC,<11,2.5\n", (), {}, id="pct hidden row"),
    pytest.param("t.csv", "g,pct\nA,50.0\nB,47.5\nC,*\nTotal (N=200),100\n", (), {}, id="pct hidden compl"),
    pytest.param("t.csv", "g,n\nA,100\nB,1-4\n", (), {}, id="range 1-4"),
    pytest.param("t.csv", "g,n\nA,100\nB,≤ 4\n", (), {}, id="ge label bounds"),
    pytest.param("t.csv", "g,n,pct\nA,100,>95%\nB,90,50%\n", (), {}, id="percentage gt"),
    pytest.param("t.csv", "g,n,mean_death\nA,40,0.05\nB,100,0.30\n", (), {}, id="mean of bools"),
    pytest.param("t.csv", "g,n,taux pour 1000\nA,400,10\nB,1000,300\n", (), {}, id="rate per 1000"),
    pytest.param("t.csv", "g,n,somme\nA,50,100000\nB,7,3000\n", (), {}, id="sum small cost per"),
    pytest.param("t.csv", "g,n,q1,q3\nA,30,45.1,60.2\nB,200,44.0,61.0\n", (), {}, id="quartiles small"),
    pytest.param("t.csv", "g,n,p99\nA,300,91.2\n", (), {}, id="p99"),
    pytest.param("t.csv", "jour,cumul_deces\n1,20\n2,23\n3,40\n", (), {}, id="cumulative"),
    pytest.param("t.csv", "bin,count\n0-10,3\n10-20,50\n", (), {}, id="hist fine"),
    pytest.param("t.csv", "valeur,frequence\n54,1\n55,2\n", (), {}, id="histogram numbers"),
    pytest.param("t.csv", "g;n\nA;120\nB;130\nTotal;250\n* dont 4 mineurs\n", (), {}, id="tabs footers"),
    pytest.param("t.csv", "variable;Cas (N=9);Témoins (N=120)\nâge;54,1;53,2\n", (), {}, id="hdr small N"),
    pytest.param("t.csv", '"g","n"\n"A","120"\n"B"," 3"\n', (), {}, id="crossed quotes"),
    pytest.param("t.csv", "g,n\rA,120\rB,3\r", (), {}, id="crlf mac"),
    pytest.param("t.txt", "g\tn\nA\t120\nB\t3\n", (), {}, id="tsv as txt"),
    pytest.param("t.csv", "g|n\nA|120\nB|3\n", (), {}, id="pipe csv"),
    pytest.param("t.csv", "g^n\nA^120\nB^3\n", (), {}, id="caret sep"),
    pytest.param("t.csv", "g n\nA 120\nB 3\n", (), {}, id="space sep"),
    pytest.param("t.csv", "g:n\nA:120\nB:3\n", (), {}, id="colon sep"),
    pytest.param("t.csv", "g;n\nA;1'200\nB;3\n", (), {}, id="thousand ap"),
    pytest.param("t.csv", "g,n\nA,120\nB,4 ± 0\n", (), {}, id="plus minus count"),
    pytest.param("t.csv", "g,n\nA,120\nB,4 pts\n", (), {}, id="unit"),
    pytest.param("t.csv", "g,n\nA,120\nB,4**\n", (), {}, id="star"),
    pytest.param("t.csv", "g,n\nA,120\nB,⁴\n", (), {}, id="superscript"),
    pytest.param("t.csv", "g,n\nA,120\nB,④\n", (), {}, id="circled"),
    pytest.param("t.csv", "g,n\nA,120\nB,½\n", (), {}, id="fraction"),
    pytest.param("t.csv", "g,n\nA,120\nB,Four\n", (), {}, id="word en"),
    pytest.param("t.csv", "g,n\nA,120\nB,quatre patients\n", (), {}, id="word quatre pat"),
    pytest.param("t.csv", "g,n\nA,120\nB,4\n", (), {"n": "measure"}, id="column lie declared"),
    pytest.param("t.csv", "g,xx\nA,120\nB,4\n", (), {"xx": "label"}, id="lie label"),
    pytest.param("t.csv", "g,xx\nA,120\nB,4\n", (), {"xx": "measure"}, id="lie measure"),
    pytest.param(
        "t.csv",
        "g,n\na1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1,120\nB,40\n",
        (),
        {},
        id="hash key sha256",
    ),
    pytest.param(
        "t.csv",
        "g,n\nQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD"
        "QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD,120\nB,40\n",
        (),
        {},
        id="base64 lab",
    ),
    pytest.param("t.csv", "dossier,n\n800123456,120\n800123457,40\n", (), {}, id="9digits"),
    pytest.param("t.csv", "né le,n\n12/03/1954,120\n", (), {}, id="birth"),
    pytest.param("t.csv", "g,n\n12 mars 2021,120\nB,50\n", (), {}, id="date txt"),
    pytest.param("t.csv", "semaine,n\n2021-03-01,120\n2021-03-08,40\n", (), {}, id="week dates"),
    pytest.param("r.md", "Le patient J.D., vu en consultation.", (), {}, id="initials"),
    pytest.param("r.md", "monsieur dupont a été exclu", (), {}, id="name lower"),
    pytest.param("a.py", "effectifs = {'F': 120, 'M': 3}\n", (), {}, id="py dict"),
    pytest.param("a.py", "# résultat: n=3 décès\nx = 1\n", (), {}, id="py print"),
    pytest.param("a.py", "# sex  n\n# F    120\n# M    3\nx = 1\n", (), {}, id="py comment table"),
    pytest.param(
        "a.sql", "SELECT * FROM patient WHERE patient_key IN ('a94a8fe5ccb19ba61c4c0873d391e987')", (), {}, id="sql in"
    ),
    pytest.param("a.yaml", "counts:\n  F: 120\n  M: 3\n", (), {}, id="yaml data"),
    pytest.param("a.toml", "[counts]\nF = 120\nM = 3\n", (), {}, id="toml data"),
    pytest.param(
        "a.R",
        "ages <- c(54,61,45,78,33,54,61,45,78,33,54,61,45,78,33,54,61,45,78,33,54,61,45,78,33,54)\n",
        (),
        {},
        id="R vector",
    ),
    pytest.param("a.R", "n_deces <- 3\n", (), {}, id="R small"),
    pytest.param(
        "n.ipynb",
        '{"cells": [{"cell_type": "raw", "metadata": {}, "source": ["3 patients sont mort'
        's"]}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
        (),
        {},
        id="nb raw",
    ),
    pytest.param(
        "n.ipynb",
        '{"cells": [{"cell_type": "markdown", "metadata": {}, "source": ["| g | n |\\n", "'
        '|---|---|\\n", "| A | 120 |\\n", "| B | 3 |\\n"]}], "metadata": {}, "nbformat": 4, '
        '"nbformat_minor": 5}',
        (),
        {},
        id="nb md table",
    ),
    pytest.param(
        "n.ipynb",
        '{"cells": [{"cell_type": "code", "metadata": {}, "source": ["x"], "outputs": [],'
        ' "execution_count": null, "prompt": "z"}], "metadata": {}, "nbformat": 4, "nbfor'
        'mat_minor": 5}',
        (),
        {},
        id="nb old outputs",
    ),
    pytest.param(
        "n.ipynb",
        '{"worksheets": [{"cells": []}], "metadata": {"name": ""}, "nbformat": 3, "nbformat_minor": 0}',
        (),
        {},
        id="nb worksheets",
    ),
    pytest.param("t.csv", ",pred_0,pred_1\nobs_0,120,4\nobs_1,25,140\n", (), {}, id="confusion"),
    pytest.param("t.csv", 'g,"n (F/M)"\nA,120/130\nB,60/4\n', (), {}, id="cell multi"),
    pytest.param("t.csv", 'g;"n, deces"\nA;120, 30\nB;60, 4\n', (), {}, id="cell multi semi"),
    pytest.param("t.csv", "g,n\nA,120\nB,&#51;\n", (), {}, id="html entity"),
    pytest.param("t.csv", "g,n\nTous,200\nTous sauf service X,195\n", (), {}, id="diff own"),
    pytest.param("t.csv", "g,n\nhommes,100\nfemmes,95\n", ("g,n\nTotal,200\n",), {}, id="earlier sub"),
    pytest.param(
        "t.csv",
        "age,n\n18-39,80\n40-59,*\nTotal,190\n",
        ("age,n\n18-39,*\n40-59,105\nTotal,190\n",),
        {},
        id="earlier hidden",
    ),
    pytest.param("t.csv", "g,n\nA,117\nB,60\n", ("g,N\nA,120\nB,60\n",), {}, id="earlier pct"),
    pytest.param(
        "t.csv", "g,n\nA,117\nB,60\n", ("# r\n\n| g | n |\n|--|--|\n| A | 120 |\n| B | 60 |\n",), {}, id="earlier md"
    ),
    pytest.param(
        "t.csv", "groupe,effectif\nA,117\nB,60\n", ("g,nb patients\nA,120\nB,60\n",), {}, id="earlier renamed col"
    ),
    pytest.param("t.csv", "sexe,n\nFemme,117\nHomme,60\n", ("sexe,n\nF,120\nH,60\n",), {}, id="earlier relabel"),
    pytest.param("t.csv", "g,n\nF 18-39,40\nF 40-59,55\n", ("g,n\nF 18-59,100\n",), {}, id="earlier crossing"),
    pytest.param("t.csv", "g,n\nA,-3\nB,120\n", (), {}, id="neg counts"),
    pytest.param("t.csv", "g,n\nA,0\nB,120\n", (), {}, id="odd zero"),
    pytest.param("t.csv", "g,n,pct\nA,50,0\nB,120,30\n", (), {}, id="percent zero"),
    pytest.param("t.json", "[1,2,3,4]", (), {}, id="png as name"),
    pytest.param("t.json", '[["g", "n"], ["A", 120], ["B", 3]]', (), {}, id="list of rows"),
    pytest.param("t.csv", "temps,n_risque,evenements\n0,120,12\n6,108,3\n", (), {}, id="survival table"),
    pytest.param("t.csv", "mesure,valeur\nn patients,7\nauc,0.81\n", (), {}, id="one row count"),
    pytest.param("t.csv", "mesure,valeur\nNombre de décès,4\nAUC,0.81\n", (), {}, id="kv n"),
]
"""Name, content, what left before, declared columns."""
SAFE = [
    pytest.param("t.csv", "mesure,valeur\nNombre de patients,412\nAUC,0.81\nBrier,0.12\n", id="metrics kv"),
    pytest.param("t.json", '{"auc": 0.812, "n_test": 412, "epochs": 50, "seed": 7}', id="json metrics"),
    pytest.param(
        "a.yaml", "model:\n  hidden: 16\n  layers: 3\ntraining:\n  epochs: 10\n  batch_size: 8\n", id="yaml cfg"
    ),
    pytest.param("a.toml", "[train]\nepochs = 10\nfolds = 5\npatience = 3\n", id="toml cfg"),
    pytest.param(
        "a.py",
        "params = {'max_depth': [3, 5, 7], 'n_estimators': [100, 200, 300], 'kernel': ['a"
        "','b','c']}\nk = 3\nn_splits = 5\n",
        id="py cfg",
    ),
    pytest.param(
        "r.md",
        "# Model card\n\nVersion 1.2. Trained on 412 patients (2019 to 2023), 5 folds.\n\n1. "
        "First step\n2. Second step\n\n- AUC: 0.81\n- Threshold: 0.5\n- Epochs: 10\n\n| metric |"
        " value |\n|---|---|\n| AUC | 0.81 |\n| n | 412 |\n",
        id="readme",
    ),
    pytest.param(
        "t.csv",
        "term,estimate,std_error,p_value\n(Intercept),-1.203,0.31,0.0001\nage,0.021,0.004,<"
        "0.001\nsexM,0.41,0.12,0.0007\n",
        id="coef",
    ),
    pytest.param(
        "t.csv", "variable,HR (IC 95 %),p\nÂge,1.02 (1.01-1.04),0.001\nSexe,1.50 (1.20-1.90),0.03\n", id="hr ci text"
    ),
    pytest.param("t.csv", "threshold,tpr,fpr\n0.1,0.98,0.60\n0.2,0.90,0.40\n0.5,0.70,0.20\n", id="roc"),
    pytest.param("t.csv", "decile,n,observed,predicted\n1,120,0.15,0.17\n2,120,0.22,0.21\n", id="calib"),
    pytest.param("t.csv", "feature,importance\nage,0.31\nsex,0.12\nhba1c,0.22\n", id="feature imp"),
    pytest.param(
        "q.sql",
        "-- cohort\nSELECT p.sex, count(DISTINCT p.patient_key) AS n\nFROM patient p JOIN e"
        "ncounter e ON e.patient_key = p.patient_key\nWHERE e.class = 'IMP' AND e.period_s"
        "tart >= DATE '2019-01-01'\nGROUP BY 1\nHAVING n >= 11\n",
        id="sql",
    ),
    pytest.param(
        "a.R",
        "library(survival)\nfit <- coxph(Surv(time, status) ~ age + sex, data = d)\nprint(summary(fit))\n",
        id="R",
    ),
    pytest.param(
        "r.md",
        "Les résultats concernent 1 234 séjours. La médiane de l'âge est de 67 ans (inter"
        "valle interquartile 54 à 78). Le délai moyen est de 3 jours. 2 centres ont parti"
        "cipé.",
        id="fr text",
    ),
    pytest.param(
        "r.md",
        "Of 1,234 patients, 612 (49.6%) were women. Median length of stay was 5 days. Two"
        " sensitivity analyses were run. See Table 2.",
        id="en text",
    ),
    pytest.param("t.csv", "sexe,age,n\nF,18-39,50\nF,40-59,60\nM,18-39,70\nM,40-59,81\n", id="tidy"),
    pytest.param("t.csv", "mois,n\n2021-01,120\n2021-02,135\n", id="year/month"),
    pytest.param("t.csv", "g,n,pct\nA,120,33.3%\nB,240,66.7%\nTotal,360,100%\n", id="total rounding"),
    pytest.param("t.csv", "code,libellé,n\nI21,Infarctus,120\nE11,Diabète,430\nJ45,Asthme,95\n", id="atc"),
    pytest.param("t.csv", "bras,n,moyenne,ic_inf,ic_sup\nA,120,54.2,52.1,56.3\nB,130,51.0,49.2,53.3\n", id="means ci"),
    pytest.param("t.csv", "service,n,médiane séjour\nA,120,5\nB,230,6\n", id="med"),
    pytest.param(
        "t.json",
        '[{"epoch": 0, "loss": 1.0}, {"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.33'
        '33}, {"epoch": 3, "loss": 0.25}, {"epoch": 4, "loss": 0.2}, {"epoch": 5, "loss":'
        ' 0.1667}, {"epoch": 6, "loss": 0.1429}, {"epoch": 7, "loss": 0.125}, {"epoch": 8'
        ', "loss": 0.1111}, {"epoch": 9, "loss": 0.1}, {"epoch": 10, "loss": 0.0909}, {"e'
        'poch": 11, "loss": 0.0833}, {"epoch": 12, "loss": 0.0769}, {"epoch": 13, "loss":'
        ' 0.0714}, {"epoch": 14, "loss": 0.0667}, {"epoch": 15, "loss": 0.0625}, {"epoch"'
        ': 16, "loss": 0.0588}, {"epoch": 17, "loss": 0.0556}, {"epoch": 18, "loss": 0.05'
        '26}, {"epoch": 19, "loss": 0.05}]',
        id="loss json",
    ),
    pytest.param("t.csv", "organe,dice_moyen,ecart_type\nfoie,0.95,0.02\nrate,0.91,0.05\n", id="dice"),
    pytest.param("t.csv", "g,n\nA,120\nB,<11\nC,<11\nD,<11\nTotal,137\n", id="hidden3"),
]
"""Name, content."""


@pytest.mark.parametrize(("name", "content", "earlier", "columns"), UNSAFE)
def test_a_file_that_tells_of_few_is_held(tmp_path, name, content, earlier, columns):
    path = tmp_path / name
    path.write_bytes(content.encode())
    released = [Released("before.csv", text.encode()) for text in earlier]

    assert check_file(path, Context(earlier=released, columns=columns)).held


@pytest.mark.parametrize(("name", "content"), SAFE)
def test_a_file_of_many_passes(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode())

    report = check_file(path)

    assert [(finding.check, finding.where) for finding in report.findings if finding.verdict == "held"] == []
