"""Excerpts of terminologies: CIM-10, CCAM, ATC/UCD, LOINC and SNOMED CT codes with their labels.

All codes are published ones. CIM-10 and CCAM labels are the French ones, LOINC and SNOMED CT displays the English
ones. Only presentations with a published UCD13 code have one.
"""

from __future__ import annotations

from typing import NamedTuple

CIM10 = "http://hl7.org/fhir/sid/icd-10"
CCAM = "urn:oid:1.2.250.1.213.2.5"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
ATC = "http://www.whocc.no/atc"
UCD = "https://smt.esante.gouv.fr/terminologie-cip_ucd"
SNOMED = "http://snomed.info/sct"

DIAGNOSES: dict[str, str] = {
    "A09.0": "Gastroentérites et colites d'origine infectieuse, autres et non précisées",
    "A41.9": "Sepsis, sans précision",
    "B96.2": "Escherichia coli [E. coli], cause de maladies classées dans d'autres chapitres",
    "C18.9": "Tumeur maligne du côlon, sans précision",
    "C34.9": "Tumeur maligne de bronche ou du poumon, sans précision",
    "C50.9": "Tumeur maligne du sein, sans précision",
    "C61": "Tumeur maligne de la prostate",
    "D50.9": "Anémie par carence en fer, sans précision",
    "D62": "Anémie posthémorragique aiguë",
    "D64.9": "Anémie, sans précision",
    "E03.9": "Hypothyroïdie, sans précision",
    "E11.0": "Diabète sucré de type 2, avec coma",
    "E11.2": "Diabète sucré de type 2, avec complications rénales",
    "E11.9": "Diabète sucré de type 2, sans complication",
    "E66.9": "Obésité, sans précision",
    "E78.0": "Hypercholestérolémie essentielle",
    "E86": "Hypovolémie",
    "E87.1": "Hypo-osmolarité et hyponatrémie",
    "E87.5": "Hyperkaliémie",
    "F32.9": "Épisode dépressif, sans précision",
    "G30.9": "Maladie d'Alzheimer, sans précision",
    "H25.9": "Cataracte sénile, sans précision",
    "I10": "Hypertension essentielle (primitive)",
    "I21.4": "Infarctus sous-endocardique aigu du myocarde",
    "I25.1": "Cardiopathie artérioscléreuse",
    "I26.9": "Embolie pulmonaire, sans mention de cœur pulmonaire aigu",
    "I48.9": "Fibrillation et flutter auriculaires, sans précision",
    "I50.0": "Insuffisance cardiaque congestive",
    "I50.9": "Insuffisance cardiaque, sans précision",
    "I63.9": "Infarctus cérébral, sans précision",
    "J18.9": "Pneumopathie, sans précision",
    "J21.0": "Bronchiolite aiguë due au virus respiratoire syncytial",
    "J44.1": "Maladie pulmonaire obstructive chronique avec épisodes aigus, sans précision",
    "J44.9": "Maladie pulmonaire obstructive chronique, sans précision",
    "J45.0": "Asthme à prédominance allergique",
    "J45.9": "Asthme, sans précision",
    "J46": "État de mal asthmatique",
    "J96.0": "Insuffisance respiratoire aiguë",
    "K35.3": "Appendicite aiguë avec péritonite localisée",
    "K35.8": "Appendicite aiguë, autres et sans précision",
    "K80.0": "Calcul de la vésicule biliaire avec cholécystite aiguë",
    "M17.1": "Autres gonarthroses primaires",
    "N10": "Néphrite tubulo-interstitielle aiguë",
    "N17.9": "Insuffisance rénale aiguë, sans précision",
    "N18.3": "Maladie rénale chronique, stade 3",
    "N18.4": "Maladie rénale chronique, stade 4",
    "N18.5": "Maladie rénale chronique, stade 5",
    "O80.0": "Accouchement spontané par présentation du sommet",
    "O82.1": "Accouchement par césarienne d'urgence",
    "R07.4": "Douleur thoracique, sans précision",
    "R55": "Syncope et collapsus",
    "S52.5": "Fracture de l'extrémité inférieure du radius",
    "S72.0": "Fracture du col du fémur",
    "U07.1": "COVID-19, virus identifié",
    "Z37.0": "Naissance unique, enfant vivant",
    "Z49.1": "Dialyse extracorporelle",
    "Z51.1": "Séance de chimiothérapie pour tumeur",
    "Z72.0": "Usage du tabac",
}

PROCEDURES: dict[str, str] = {
    "ACQK001": "Scanographie du crâne et de son contenu, sans injection intraveineuse de produit de contraste",
    "BFGA004": "Extraction extracapsulaire du cristallin par phakoémulsification, avec implantation de"
    " cristallin artificiel dans la chambre postérieure de l'œil",
    "DDAF006": "Dilatation intraluminale d'un vaisseau coronaire avec pose d'endoprothèse, par voie"
    " artérielle transcutanée",
    "DEQP003": "Électrocardiographie sur au moins 12 dérivations",
    "DZQM006": "Échographie-doppler transthoracique du cœur et des vaisseaux intrathoraciques",
    "GLQP012": "Mesure de la capacité vitale lente et de l'expiration forcée, avec enregistrement"
    " [Spirométrie standard]",
    "HEQE002": "Endoscopie œso-gastro-duodénale",
    "HHFA016": "Appendicectomie, par cœlioscopie ou par laparotomie avec préparation par cœlioscopie",
    "HMFC004": "Cholécystectomie, par cœlioscopie",
    "JQGA002": "Accouchement par césarienne au cours du travail, par laparotomie",
    "JQGD010": "Accouchement céphalique unique par voie naturelle, chez une primipare",
    "JQGD012": "Accouchement céphalique unique par voie naturelle, chez une multipare",
    "JVJF004": "Séance d'hémodialyse pour insuffisance rénale chronique",
    "NEKA011": "Remplacement de l'articulation coxofémorale par prothèse fémorale cervicocéphalique et cupule mobile",
    "ZBQH001": "Scanographie du thorax, avec injection intraveineuse de produit de contraste",
    "ZBQK002": "Radiographie du thorax",
    "ZCQH001": "Scanographie de l'abdomen et du petit bassin [pelvis], avec injection intraveineuse de"
    " produit de contraste",
}


class Drug(NamedTuple):
    """A medicine: ATC code and label, UCD13 code and label if known, dose, UCUM unit, route, times a day."""

    atc: str
    label: str
    dose: float
    unit: str
    route: str = "oral"
    a_day: int = 1
    ucd: str = ""
    ucd_label: str = ""


DRUGS: dict[str, Drug] = {
    "noradrenaline": Drug("C01CA03", "norépinéphrine", 2, "mg", "iv", 6),
    "amlodipine": Drug("C08CA01", "amlodipine", 5, "mg"),
    "amoxicilline": Drug("J01CA04", "amoxicilline", 1000, "mg", "oral", 3),
    "amox_clav": Drug("J01CR02", "amoxicilline et inhibiteur d'enzyme", 1000, "mg", "iv", 3),
    "anastrozole": Drug("L02BG03", "anastrozole", 1, "mg"),
    "apixaban": Drug("B01AF02", "apixaban", 5, "mg", "oral", 2),
    "aspirine": Drug("B01AC06", "acide acétylsalicylique", 75, "mg"),
    "asparte": Drug("A10AB05", "insuline asparte", 6, "[iU]", "sc", 3),
    "atorvastatine": Drug("C10AA05", "atorvastatine", 40, "mg"),
    "bisoprolol": Drug("C07AB07", "bisoprolol", 2.5, "mg"),
    "cefotaxime": Drug("J01DD01", "céfotaxime", 1000, "mg", "iv", 3),
    "ceftriaxone": Drug("J01DD04", "ceftriaxone", 1000, "mg", "iv", 1),
    "clopidogrel": Drug("B01AC04", "clopidogrel", 75, "mg"),
    "donepezil": Drug("N06DA02", "donépézil", 10, "mg"),
    "enoxaparine": Drug(
        "B01AB05", "énoxaparine", 4000, "[iU]", "sc", 1, "3400892669236", "LOVENOX 4000UI SRG0,4ML +ERIS"
    ),
    "epo": Drug("B03XA01", "érythropoïétine", 4000, "[iU]", "sc", 1),
    "escitalopram": Drug("N06AB10", "escitalopram", 10, "mg"),
    "esomeprazole": Drug("A02BC05", "ésoméprazole", 20, "mg", "oral", 1, "3400894032311", "ESOMEPRAZOLE EVO 20MG CPR"),
    "ezetimibe": Drug("C10AX09", "ézétimibe", 10, "mg", "oral", 1, "3400894365266", "EZETIMIBE ARW 10MG CPR"),
    "fer": Drug("B03AA07", "sulfate ferreux", 80, "mg", "oral", 2),
    "fluorouracile": Drug("L01BC02", "fluorouracile", 750, "mg", "iv", 1),
    "folinate": Drug("V03AF03", "folinate de calcium", 350, "mg", "iv", 1),
    "furosemide": Drug("C03CA01", "furosémide", 40, "mg", "oral", 2),
    "glargine": Drug("A10AE04", "insuline glargine", 18, "[iU]", "sc", 1),
    "goserelin": Drug("L02AE03", "goséréline", 10.8, "mg", "sc", 1),
    "ibuprofene": Drug("M01AE01", "ibuprofène", 400, "mg", "oral", 3),
    "indacaterol": Drug(
        "R03AL04",
        "indacatérol et bromure de glycopyrronium",
        1,
        "{dose}",
        "inhalation",
        1,
        "3400893964361",
        "ULTIBRO BREEZ.85/43 GELU+INH",
    ),
    "lansoprazole": Drug("A02BC03", "lansoprazole", 15, "mg", "oral", 1, "3400893069479", "LANSOPRAZOLE EG 15MG GELU"),
    "levothyroxine": Drug("H03AA01", "lévothyroxine sodique", 75, "ug"),
    "macrogol": Drug("A06AD15", "macrogol", 10, "g", "oral", 1, "3400893244777", "MACROGOL BGA 10G BUV SACH"),
    "metformine": Drug("A10BA02", "metformine", 1000, "mg", "oral", 2, "3400890020275", "METFORMINE ACC 1000MG CPR"),
    "morphine": Drug("N02AA01", "morphine", 10, "mg", "oral", 4, "3400892083926", "ACTISKENAN 10MG GELU"),
    "ondansetron": Drug("A04AA01", "ondansétron", 8, "mg", "iv", 2),
    "oxaliplatine": Drug("L01XA03", "oxaliplatine", 150, "mg", "iv", 1),
    "oxytocine": Drug("H01BB02", "oxytocine", 5, "[iU]", "iv", 1),
    "paclitaxel": Drug("L01CD01", "paclitaxel", 140, "mg", "iv", 1),
    "paracetamol": Drug(
        "N02BE01", "paracétamol", 1000, "mg", "oral", 4, "3400892169026", "DOLIPRANE 1 000 mg, cpr efferv"
    ),
    "prednisolone": Drug("H02AB06", "prednisolone", 40, "mg"),
    "ramipril": Drug("C09AA05", "ramipril", 5, "mg"),
    "salbutamol": Drug("R03AC02", "salbutamol", 5, "mg", "inhalation", 4),
    "salmeterol": Drug("R03AK06", "salmétérol et fluticasone", 1, "{dose}", "inhalation", 2),
    "spironolactone": Drug("C03DA01", "spironolactone", 25, "mg"),
    "tinzaparine": Drug(
        "B01AB10", "tinzaparine", 14000, "[iU]", "sc", 1, "3400891846515", "INNOHEP 14000 INJ SRG0,7ML"
    ),
    "tiotropium": Drug("R03BB04", "bromure de tiotropium", 18, "ug", "inhalation", 1),
    "tramadol": Drug("N02AX02", "tramadol", 50, "mg", "oral", 3),
}

ROUTES = {
    "oral": ("26643006", "Oral route"),
    "iv": ("47625008", "Intravenous route"),
    "sc": ("34206005", "Subcutaneous route"),
    "im": ("78421000", "Intramuscular route"),
    "inhalation": ("447694001", "Respiratory tract route"),
}

UNIT_TEXTS = {"[iU]": "UI", "ug": "µg", "{dose}": "dose", "mm[Hg]": "mmHg", "Cel": "°C", "umol/L": "µmol/L"}
"""How a French screen writes a UCUM unit, where it differs from the code."""


class Vaccine(NamedTuple):
    """A vaccine: ATC code, label, youngest and oldest age in years at which it is given."""

    atc: str
    label: str
    youngest: int
    oldest: int


VACCINES = (
    Vaccine("J07BB02", "grippe, virus inactivé, virion fragmenté ou antigène de surface", 60, 105),
    Vaccine("J07AL02", "pneumocoque, antigène polysaccharidique purifié, conjugué", 65, 105),
    Vaccine("J07BN01", "covid-19, vaccin à ARN", 18, 105),
    Vaccine("J07BD52", "rougeole, associations avec oreillons et rubéole, vivant atténué", 1, 17),
    Vaccine(
        "J07CA09",
        "diphtérie-Haemophilus influenzae B-coqueluche-poliomyélite-tétanos-hépatite B",
        0,
        3,
    ),
)


class Allergy(NamedTuple):
    """An allergy: SNOMED CT code and display, French label, FHIR category."""

    code: str
    display: str
    label: str
    category: str


ALLERGIES = (
    Allergy("91936005", "Allergy to penicillin", "Allergie à la pénicilline", "medication"),
    Allergy("91935009", "Allergy to peanut", "Allergie à l'arachide", "food"),
    Allergy("419474003", "Allergy to mould", "Allergie aux moisissures", "environment"),
)

BACTERIA = (
    ("112283007", "Escherichia coli"),
    ("3092008", "Staphylococcus aureus"),
    ("9861002", "Streptococcus pneumoniae"),
    ("56415008", "Klebsiella pneumoniae"),
)

SPECIMENS = {
    "blood": ("119297000", "Blood specimen", "Sang veineux"),
    "urine": ("122575003", "Urine specimen", "Urines"),
    "swab": ("258500001", "Nasopharyngeal swab", "Écouvillon nasopharyngé"),
}
