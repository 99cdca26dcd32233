"""Lists from which identities are drawn: common first and family names, towns, streets, mail hosts.

No list holds a whole identity. Phone prefixes are those that the French regulator keeps for fiction (ARCEP decision
2018-0881), mail hosts those of RFC 2606.
"""

from __future__ import annotations

from typing import NamedTuple


class Town(NamedTuple):
    """A French commune: name, postcode, INSEE commune code."""

    name: str
    postcode: str
    insee: str


_FEMALE = """Adélaïde Agnès Aïcha Alexandrine Amandine Anaïs Anne-Laure Anne-Sophie Apolline Armelle Aurélie
    Bénédicte Bérénice Bernadette Blandine Brigitte Camille Capucine Cécile Célestine Céline Chantal
    Charlène Chloé Christelle Clémence Clémentine Clotilde Colette Corinne Delphine Édith Éléonore
    Élisabeth Élodie Émeline Émilie Esther Eugénie Eulalie Fabienne Fatima Félicie Fernande Florence
    Françoise Gaëlle Geneviève Ghislaine Ginette Gisèle Guillemette Hélène Héloïse Henriette Huguette
    Inès Jacqueline Jeannine Joëlle Joséphine Joceline Khadija Laëtitia Laurence Léonie Léontine
    Lucienne Ludivine Madeleine Maëlle Maéva Manon Marceline Marguerite Marie-Claude Marie-Hélène
    Marie-Thérèse Marylène Mathilde Maëlys Mélanie Mireille Monique Muriel Nadège Nathalie Noémie Océane
    Odette Odile Paulette Pénélope Perrine Philomène Raymonde Rosalie Roxane Ségolène Séverine Simone
    Solange Solène Stéphanie Suzanne Sylviane Thérèse Tiphaine Valentine Véronique Victorine Viviane
    Yamina Yvette Yvonne Zélie Zoé"""
FEMALE_NAMES = tuple(_FEMALE.split())

_MALE = """Abdelkader Achille Adrien Aimé Alphonse Amaury Ambroise Amédée Anatole Anselme Antoine
    Aristide Armand
    Aurélien Barthélemy Basile Baptiste Bertrand Brahim Célestin Cédric Christophe Clément Corentin
    Cyprien Cyrille Damien Désiré Didier Dorian Edmond Édouard Élie Émilien Éloi Eugène Évariste
    Ferdinand Fernand Firmin Florent Florian François François-Xavier Frédéric Gaël Gaëtan Gaspard
    Gaston Gauthier Geoffroy Gérald Gérard Germain Ghislain Gilles Grégoire Guillaume Gustave Hamza
    Henri Hervé Hippolyte Honoré Hubert Hyacinthe Ismaël Jacky Jean-Baptiste Jean-Claude Jean-François
    Jean-Luc Jean-Marie Jean-Pierre Jérémie Jérôme Joël Jordan Karim Kévin Landry Lazare Léopold Loïc
    Ludovic Maël Marcellin Mathieu Maurice Maxence Mohamed Mickaël Nicolas Noël Norbert Olivier Patrice
    Paul-Henri Philippe Pierre-Yves Prosper Quentin Raoul Raphaël Raymond Régis Rémi Roland Romuald
    Sébastien Sylvain Sylvestre Tanguy Théodore Théophile Thibault Thierry Timothée Tristan Ulysse
    Urbain Valéry Victorien Vivien Wilfried Xavier Yannick Yves-Marie Youssef"""
MALE_NAMES = tuple(_MALE.split())

_FAMILIES = """Abadie Allègre Amiot Andrieux Arnoult Aubertin Audibert Auvray Bachelet Baudoin Bazin
    Beauchêne Béchard
    Belkacem Benali Bérard Bertheau Besnard Bessière Bigot Blanchet Boissière Bonhomme Bonnefoy Bordet
    Bouchard Boudjema Boulanger Bourdin Bourgeois Boutin Brémond Briand Brossard Bruneau Cadiou Caillaud
    Capelle Carpentier Castagné Cazenave Chambon Champenois Chapelle Charbonnel Charrier Chauvet
    Chevallier Choquet Clavel Cochet Colombani Corbière Cordonnier Courtois Coutant Crépin Cuvelier
    Dagorn Daguerre Daniau Darmon Dauphin Debray Decroix Delacroix Delahaye Delattre Delaunay Delmas
    Derrien Descamps Deschênes Desmoulins Deveaux Diallo Diarra Doucet Drouet Dubosc Dufresne Duhamel
    Dumontier Dupuis Durieux Escoffier Esnault Estève Évrard Falcon Fauvel Faverger Ferrandi Feuillet
    Fleury Fofana Foucault Fouquet Fournier Gaillard Galland Garnier Gauthier Gendron Géraud Germond
    Gibert Giraudeau Gonçalves Gosselin Goujon Granjean Grégoire Grimaud Grosjean Guérin Guichard
    Guillemot Guyomarc'h Hamdi Hardouin Hébert Hénaff Heurtebise Hoarau Houdayer Huard Humbert Imbert
    Jacquemin Jacquet Jamet Jégou Joffrin Jolivet Joubert Jourdain Jouvenel Kerbrat Kermarrec Keïta
    Labbé Laborde Lacombe Lafargue Laffitte Lagarde Lallemand Lamarque Langlois Lapeyre Lartigue Lavigne
    Lebreton Lecomte Lefèvre Legrandin Lemaître Lemoine Leprêtre Leroux Lescure Letellier Levasseur
    Lhermitte L'Hostis Loiseau Luciani Mahé Maillard Mallet Marchadier Marécaux Margerie Marquet
    Massonneau Mathonnet Maubert Maugein Ménard Mercadier Merlin Messaoudi Meunier Michaud Millet Moncel
    Monnereau Montagné Morvan Mouchel Moulinier Nguyen Nicoleau Noiret Obadia Olivieri Ollivier Orsini
    Oudinot Pagès Papillon Paquereau Pasquet Payet Pélissier Perrichon Perrault Peyrefitte Philippot
    Picard Pinçon Plessis Poirier Pommier Poncet Portier Poulain Prigent Prévost Quéméner Quentin
    Quiniou Rabier Raffin Rambaud Ravel Raynaud Redon Renaudin Ribeyre Ricordel Rigaud Rivière Rocher
    Rodrigues Roussel Roumégous Sabatier Salmon Santoni Saulnier Sauvage Séguin Sénéchal Servais Sicard
    Sinclair Sorel Soulier Tanguy Tardieu Taupin Tessier Texier Thévenot Thibaudeau Thomasset Tourneur
    Traoré Tréhin Trouvé Turpin Urvoy Vaillant Valette Vasseur Verdier Vernhes Vidalenc Villette
    Vincendeau Virolle Voisin Wagner Weber Zimmermann Zeller"""
FAMILY_NAMES = tuple(_FAMILIES.split())

PARTICLES = ("de ", "de La ", "du ", "d'", "des ", "Le ", "La ", "de Saint-", "El ", "Ben ")

STREET_KINDS = (
    "rue",
    "rue",
    "rue",
    "rue",
    "avenue",
    "boulevard",
    "place",
    "impasse",
    "chemin",
    "allée",
    "quai",
    "route",
    "square",
    "résidence",
)

STREET_NAMES = (
    "des Lilas",
    "des Tilleuls",
    "de la Gare",
    "de l'Église",
    "du Moulin",
    "des Acacias",
    "de la Fontaine",
    "du Vieux-Port",
    "de la République",
    "du 8-Mai-1945",
    "du 11-Novembre-1918",
    "des Écoles",
    "de la Paix",
    "du Château",
    "des Érables",
    "des Cerisiers",
    "de la Liberté",
    "de l'Abreuvoir",
    "du Lavoir",
    "des Vignes",
    "de Bellevue",
    "du Stade",
    "des Peupliers",
    "de la Forêt",
    "des Jonquilles",
    "des Mésanges",
    "du Général-Leclerc",
    "Jean-Jaurès",
    "Victor-Hugo",
    "Pasteur",
    "Émile-Zola",
    "Marie-Curie",
    "Jules-Ferry",
    "Gambetta",
    "de la Mairie",
    "du Puits",
    "de l'Étang",
    "des Bleuets",
    "du Faubourg-Saint-Antoine",
    "aux Herbes",
)

MAIL_HOSTS = ("example.org", "example.com", "example.net")

LANDLINE_PREFIXES = ("019900", "026191", "035301", "046571", "053649")
MOBILE_PREFIX = "063998"

_TOWNS = """Paris|75011|75111;Paris|75013|75113;Paris|75015|75115;Paris|75018|75118;Paris|75020|75120
Lyon|69003|69383;Lyon|69007|69387;Villeurbanne|69100|69266;Marseille|13005|13205;Marseille|13008|13208
Marseille|13013|13213;Toulouse|31000|31555;Nice|06000|06088;Nantes|44000|44109;Strasbourg|67000|67482
Montpellier|34000|34172;Bordeaux|33000|33063;Lille|59000|59350;Rennes|35000|35238;Reims|51100|51454
Le Havre|76600|76351;Saint-Étienne|42000|42218;Toulon|83000|83137;Grenoble|38000|38185;Dijon|21000|21231
Angers|49000|49007;Nîmes|30000|30189;Clermont-Ferrand|63000|63113;Le Mans|72000|72181;Brest|29200|29019
Aix-en-Provence|13100|13001;Tours|37000|37261;Amiens|80000|80021;Limoges|87000|87085;Annecy|74000|74010
Perpignan|66000|66136;Metz|57000|57463;Besançon|25000|25056;Orléans|45000|45234;Rouen|76000|76540
Mulhouse|68100|68224;Caen|14000|14118;Nancy|54000|54395;Saint-Denis|93200|93066;Argenteuil|95100|95018
Roubaix|59100|59512;Tourcoing|59200|59599;Avignon|84000|84007;Poitiers|86000|86194;La Rochelle|17000|17300
Pau|64000|64445;Calais|62100|62193;Béziers|34500|34032;Colmar|68000|68066;Bourges|18000|18033
Quimper|29000|29232;Valence|26000|26362;Troyes|10000|10387;Chambéry|73000|73065;Niort|79000|79191
Lorient|56100|56121;Vannes|56000|56260;Saint-Malo|35400|35288;Saint-Brieuc|22000|22278;Auxerre|89000|89024
Nevers|58000|58194;Chartres|28000|28085;Évreux|27000|27229;Laval|53000|53130;La Roche-sur-Yon|85000|85191
Périgueux|24000|24322;Agen|47000|47001;Tarbes|65000|65440;Auch|32000|32013;Albi|81000|81004
Rodez|12000|12202;Cahors|46000|46042;Montauban|82000|82121;Mende|48000|48095;Le Puy-en-Velay|43000|43157
Aurillac|15000|15014;Tulle|19000|19272;Guéret|23000|23096;Gap|05000|05061;Digne-les-Bains|04000|04070
Privas|07000|07186;Bourg-en-Bresse|01000|01053;Lons-le-Saunier|39000|39300;Vesoul|70000|70550
Belfort|90000|90010;Épinal|88000|88160;Bar-le-Duc|55000|55029;Charleville-Mézières|08000|08105
Laon|02000|02408;Beauvais|60000|60057;Arras|62000|62041;Alençon|61000|61001;Saint-Lô|50000|50502
Blois|41000|41018;Châteauroux|36000|36044;Moulins|03000|03190;Mâcon|71000|71270;Chaumont|52000|52121
Châlons-en-Champagne|51000|51108;Mont-de-Marsan|40000|40192;Angoulême|16000|16015;Carcassonne|11000|11069
Foix|09000|09122;Melun|77000|77288;Évry-Courcouronnes|91000|91228;Versailles|78000|78646
Créteil|94000|94028;Nanterre|92000|92050;Bobigny|93000|93008;L'Haÿ-les-Roses|94240|94038
Saint-Jean-d'Angély|17400|17347;Villeneuve-d'Ascq|59650|59009;Ajaccio|20000|2A004;Bastia|20200|2B033
Corte|20250|2B096;Porto-Vecchio|20137|2A247;Calvi|20260|2B050;Sartène|20100|2A272
Saint-Denis|97400|97411;Saint-Pierre|97410|97416;Saint-Paul|97460|97415;Fort-de-France|97200|97209
Le Lamentin|97232|97213;Pointe-à-Pitre|97110|97120;Les Abymes|97139|97101;Basse-Terre|97100|97105
Cayenne|97300|97302;Kourou|97310|97304;Saint-Laurent-du-Maroni|97320|97311;Mamoudzou|97600|97611"""

TOWNS = tuple(Town(*entry.split("|")) for line in _TOWNS.splitlines() for entry in line.strip().split(";") if entry)

ABROAD = tuple(
    Town(name, "", code)
    for name, code in (
        ("Algérie", "99352"),
        ("Maroc", "99350"),
        ("Tunisie", "99351"),
        ("Portugal", "99139"),
        ("Italie", "99127"),
        ("Espagne", "99134"),
        ("Pologne", "99122"),
        ("Sénégal", "99341"),
        ("Côte d'Ivoire", "99326"),
        ("Turquie", "99208"),
        ("Belgique", "99131"),
        ("Allemagne", "99109"),
    )
)
"""Countries of birth with the INSEE code that stands in place of a commune."""

HOME_TOWN = Town("Reims", "51100", "51454")
