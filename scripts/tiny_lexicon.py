"""The words of the tiny corpus, as plain data: what they look like in both languages and what goes with what.

A noun carries tags ("read", "eat", "wear", ...) and a verb names the tags that its object may have, so that
nobody eats a bicycle. Reasons are written "who adjective": `because=("subject hungrig",)` on `essen` allows
"..., weil er hungrig ist"; `it` stands for the weather.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A noun; `weak` nouns take -(e)n outside the nominative, and `pronoun` is what English refers back with."""

    german: str
    plural: str  # "" when only the singular is used
    gender: str  # "m", "f" or "n"
    english: str
    tags: str
    english_plural: str = ""  # "" for a regular one in -s
    pronoun: str = "it"
    weak: str = ""  # singular outside the nominative, if it differs

    def has(self, tags: str) -> bool:
        """Whether the noun has one of the tags, which are separated by spaces."""
        return not set(tags.split()).isdisjoint(self.tags.split())


@dataclass(frozen=True)
class Verb:
    """A verb of both languages and what it needs.

    `english` is base, past and -ing form; what follows after a slash stays behind the verb ("look ... for").
    """

    german: str  # infinitive without the separable prefix
    third: str
    participle: str  # with the prefix
    english: str
    tenses: str = "past now future modal"
    takes: str = ""  # tags of the object; "" for none
    subject: str = "human"
    prefix: str = ""
    case: str = "acc"  # of the object
    preposition: str = ""  # before the object
    recipient: bool = False  # "gives *the boy* the book"
    place: str = ""  # "where", "whither" or "whence", then the names of the places that it goes with
    perfect: str = "haben"
    stative: bool = False  # no -ing form in the present
    swapped: bool = False  # gefallen: the German object is the English subject
    because: tuple[str, ...] = ()
    although: tuple[str, ...] = ()

    @property
    def infinitive(self) -> str:
        return self.prefix + self.german

    @property
    def zu_infinitive(self) -> str:
        return f"{self.prefix}zu{self.german}" if self.prefix else f"zu {self.german}"


@dataclass(frozen=True)
class Adverbial:
    """A phrase that stays as it is in German and in English."""

    german: str
    english: str


@dataclass(frozen=True)
class Place:
    """A place as location, goal and origin; "" where the corpus has no use for one."""

    where: Adverbial
    whither: Adverbial
    whence: Adverbial


PEOPLE = (
    Noun("Lehrer", "Lehrer", "m", "teacher", "human adult", pronoun="he"),
    Noun("Lehrerin", "", "f", "teacher", "human adult", pronoun="she"),
    Noun("Arzt", "Ärzte", "m", "doctor", "human adult", pronoun="he"),
    Noun("Ärztin", "", "f", "doctor", "human adult", pronoun="she"),
    Noun("Student", "Studenten", "m", "student", "human youth", pronoun="he", weak="Studenten"),
    Noun("Nachbar", "Nachbarn", "m", "neighbor", "human adult", pronoun="he", weak="Nachbarn"),
    Noun("Mann", "Männer", "m", "man", "human adult", "men", pronoun="he"),
    Noun("Frau", "Frauen", "f", "woman", "human adult", "women", pronoun="she"),
    Noun("Junge", "Jungen", "m", "boy", "human youth child", pronoun="he", weak="Jungen"),
    Noun("Mädchen", "Mädchen", "n", "girl", "human youth child", pronoun="she"),
    Noun("Kind", "Kinder", "n", "child", "human youth child crowd", "children"),  # plural only: it, he or she?
    Noun("Vater", "", "m", "father", "human kin parent", pronoun="he"),
    Noun("Mutter", "", "f", "mother", "human kin parent", pronoun="she"),
    Noun("Bruder", "", "m", "brother", "human kin", pronoun="he"),
    Noun("Schwester", "", "f", "sister", "human kin", pronoun="she"),
)

THINGS = (
    Noun("Buch", "Bücher", "n", "book", "read buy sell small give show own dear like"),
    Noun("Brief", "Briefe", "m", "letter", "read write small send"),
    Noun("Zeitung", "Zeitungen", "f", "newspaper", "press read buy bring cheap"),
    Noun("Film", "", "m", "film", "watch like"),
    Noun("Bild", "Bilder", "n", "picture", "buy sell show send like dear"),
    Noun("Apfel", "Äpfel", "m", "apple", "eat buy give bring"),
    Noun("Kuchen", "", "m", "cake", "eat buy bring cheap"),
    Noun("Suppe", "", "f", "soup", "eat mass"),
    Noun("Kaffee", "", "m", "coffee", "drink mass cheap"),
    Noun("Tee", "", "m", "tea", "drink mass cheap"),
    Noun("Milch", "", "f", "milk", "drink mass buy"),
    Noun("Mantel", "", "m", "coat", "wear buy small own like dear"),
    Noun("Jacke", "", "f", "jacket", "wear buy small own like dear"),
    Noun("Hemd", "", "n", "shirt", "wear buy own like dear"),
    Noun("Auto", "Autos", "n", "car", "machine buy sell own show like"),
    Noun("Fahrrad", "Fahrräder", "n", "bicycle", "machine buy sell small own like"),
    Noun("Tasche", "", "f", "bag", "buy small own give like dear"),
    Noun("Schlüssel", "Schlüssel", "m", "key", "small own give plain"),
    Noun("Geschenk", "Geschenke", "n", "present", "gift buy give bring send"),
    Noun("Tür", "", "f", "door", "open"),
    Noun("Fenster", "Fenster", "n", "window", "open"),
    Noun("Hund", "Hunde", "m", "dog", "animal sleep"),
    Noun("Katze", "Katzen", "f", "cat", "animal sleep"),
    Noun("Zug", "", "m", "train", "train"),
)

ADJECTIVES = {
    "jung": "young",
    "alt": "old",
    "nett": "nice",
    "krank": "sick",
    "neu": "new",
    "groß": "big",
    "klein": "small",
    "freundlich": "friendly",
    "schön": "beautiful",
    "rot": "red",
    "interessant": "interesting",
    # and in the predicate only:
    "müde": "tired",
    "hungrig": "hungry",
    "durstig": "thirsty",
    "teuer": "expensive",
    "billig": "cheap",
    "kaputt": "broken",
    "kalt": "cold",
    "warm": "warm",
}

# Which adjectives stand before a noun: the first row whose tags fit.
ATTRIBUTES = (
    ("kin mass train open press", ""),
    ("adult", "jung alt nett freundlich"),
    ("youth", "nett freundlich krank"),
    ("animal", "groß klein alt"),
    ("read watch", "neu alt interessant"),
    ("eat", "groß klein"),
    ("gift", "groß klein schön"),
    ("machine wear", "neu alt schön rot"),
    ("plain", "neu alt klein"),
    ("buy small", "neu alt schön klein"),
)


def _place(where: str, whither: str, whence: str = "|") -> Place:
    return Place(*(Adverbial(*pair.split("|")) for pair in (where, whither, whence)))


PLACES = {
    "Park": _place("im Park|in the park", "in den Park|to the park"),
    "Garten": _place("im Garten|in the garden", "in den Garten|to the garden"),
    "Schule": _place("in der Schule|at school", "in die Schule|to school", "von der Schule|from school"),
    "Stadt": _place("in der Stadt|in the city", "in die Stadt|to the city"),
    "Kino": _place("im Kino|at the cinema", "ins Kino|to the cinema"),
    "Museum": _place("im Museum|at the museum", "ins Museum|to the museum"),
    "Büro": _place("im Büro|at the office", "ins Büro|to the office", "vom Büro|from the office"),
    "Markt": _place("auf dem Markt|at the market", "auf den Markt|to the market"),
    "Bahnhof": _place("am Bahnhof|at the station", "zum Bahnhof|to the station", "vom Bahnhof|from the station"),
    "Haus": _place("zu Hause|at home", "nach Hause|home"),
    "Berlin": _place("in Berlin|in Berlin", "nach Berlin|to Berlin"),
    "Hamburg": _place("in Hamburg|in Hamburg", "nach Hamburg|to Hamburg"),
    "München": _place("in München|in Munich", "nach München|to Munich"),
    "Wien": _place("in Wien|in Vienna", "nach Wien|to Vienna"),
}
CITIES = "Berlin Hamburg München Wien"

EVER = "past now future modal habitual"

VERBS = (
    # transitive
    Verb(
        "lesen",
        "liest",
        "gelesen",
        "read read reading",
        EVER,
        takes="read",
        because=("object interessant",),
        although=("subject müde",),
    ),
    Verb("schreiben", "schreibt", "geschrieben", "write wrote writing", takes="write", although=("subject müde",)),
    Verb(
        "kaufen",
        "kauft",
        "gekauft",
        "buy bought buying",
        takes="buy",
        because=("object billig", "object schön"),
        although=("object teuer",),
    ),
    Verb(
        "verkaufen",
        "verkauft",
        "verkauft",
        "sell sold selling",
        takes="sell",
        because=("object alt",),
        although=("object schön",),
    ),
    Verb("suchen", "sucht", "gesucht", "look looked looking for", "past now modal", takes="small animal"),
    Verb("finden", "findet", "gefunden", "find found finding", "past", takes="small animal"),
    Verb("verlieren", "verliert", "verloren", "lose lost losing", "past", takes="small"),
    Verb(
        "sehen",
        "sieht",
        "gesehen",
        "see saw seeing",
        "past",
        takes="human animal watch",
        place="where Park Stadt Bahnhof Markt Kino",
    ),
    Verb("essen", "isst", "gegessen", "eat ate eating", EVER, takes="eat", because=("subject hungrig",)),
    Verb("trinken", "trinkt", "getrunken", "drink drank drinking", EVER, takes="drink", because=("subject durstig",)),
    Verb(
        "reparieren",
        "repariert",
        "repariert",
        "repair repaired repairing",
        takes="machine",
        because=("object kaputt",),
        although=("object alt", "subject müde"),
    ),
    Verb(
        "besuchen",
        "besucht",
        "besucht",
        "visit visited visiting",
        EVER,
        takes="human",
        because=("object krank",),
        although=("subject müde",),
    ),
    Verb(
        "treffen",
        "trifft",
        "getroffen",
        "meet met meeting",
        "past future modal",
        takes="human",
        place="where Park Stadt Kino Museum Bahnhof Markt",
        although=("subject müde",),
    ),
    Verb("kennen", "kennt", "gekannt", "know knew knowing", "now", takes="adult youth", stative=True),
    Verb(
        "helfen",
        "hilft",
        "geholfen",
        "help helped helping",
        EVER,
        takes="human",
        case="dat",
        because=("object krank", "object müde"),
        although=("subject müde", "subject krank"),
    ),
    Verb(
        "gehören",
        "gehört",
        "gehört",
        "belong belonged belonging to",
        "now",
        takes="human",
        case="dat",
        subject="own",
        stative=True,
    ),
    Verb(
        "gefallen",
        "gefällt",
        "gefallen",
        "like liked liking",
        "now past",
        takes="human",
        case="dat",
        subject="like",
        stative=True,
        swapped=True,
    ),
    Verb(
        "warten",
        "wartet",
        "gewartet",
        "wait waited waiting for",
        "past now modal",
        takes="human train",
        preposition="auf",
        place="where Bahnhof Park Büro",
        although=("subject müde", "it kalt"),
    ),
    Verb(
        "sprechen",
        "spricht",
        "gesprochen",
        "talk talked talking to",
        EVER,
        takes="human",
        case="dat",
        preposition="mit",
        place="where Park Büro Schule Museum",
    ),
    # with a separable prefix
    Verb(
        "rufen",
        "ruft",
        "angerufen",
        "call called calling",
        EVER,
        takes="human",
        prefix="an",
        because=("object krank",),
        although=("subject müde",),
    ),
    Verb(
        "laden", "lädt", "eingeladen", "invite invited inviting", takes="human", prefix="ein", because=("object nett",)
    ),
    Verb(
        "holen",
        "holt",
        "abgeholt",
        "pick picked picking up",
        EVER,
        takes="human",
        prefix="ab",
        place="whence Bahnhof Schule Büro",
        because=("object müde",),
        although=("subject krank",),
    ),
    Verb(
        "machen",
        "macht",
        "aufgemacht",
        "open opened opening",
        takes="open",
        prefix="auf",
        because=("it warm",),
        although=("it kalt",),
    ),
    Verb(
        "machen",
        "macht",
        "zugemacht",
        "close closed closing",
        takes="open",
        prefix="zu",
        because=("it kalt", "it regnen"),
        although=("it warm",),
    ),
    Verb(
        "ziehen",
        "zieht",
        "angezogen",
        "put put putting on",
        "past now modal",
        takes="wear",
        prefix="an",
        because=("it kalt", "it regnen"),
        although=("it warm",),
    ),
    Verb("bringen", "bringt", "mitgebracht", "bring brought bringing", takes="bring", prefix="mit", recipient=True),
    Verb(
        "stehen",
        "steht",
        "aufgestanden",
        "get got getting up",
        "past future modal habitual",
        prefix="auf",
        perfect="sein",
        although=("subject müde", "subject krank"),
    ),
    Verb(
        "kommen",
        "kommt",
        "angekommen",
        "arrive arrived arriving",
        "past future",
        subject="human train",
        prefix="an",
        perfect="sein",
        place=f"where Bahnhof {CITIES}",
    ),
    Verb(
        "sehen",
        "sieht",
        "ferngesehen",
        "watch watched watching television",
        EVER,
        prefix="fern",
        because=("subject müde", "it regnen"),
        although=("subject müde", "it warm"),
    ),
    # with a recipient
    Verb("geben", "gibt", "gegeben", "give gave giving", takes="give", recipient=True, because=("recipient nett",)),
    Verb("zeigen", "zeigt", "gezeigt", "show showed showing", takes="show", recipient=True, because=("object schön",)),
    Verb(
        "schicken",
        "schickt",
        "geschickt",
        "send sent sending",
        takes="send",
        recipient=True,
        because=("recipient krank", "recipient nett"),
    ),
    # intransitive
    Verb(
        "schlafen",
        "schläft",
        "geschlafen",
        "sleep slept sleeping",
        "past now modal",
        subject="human animal",
        because=("subject müde", "subject krank"),
    ),
    Verb(
        "arbeiten",
        "arbeitet",
        "gearbeitet",
        "work worked working",
        EVER,
        subject="adult kin",
        place=f"where Garten Schule Museum Büro Markt {CITIES}",
        although=("subject müde", "subject krank", "it warm"),
    ),
    Verb(
        "spielen",
        "spielt",
        "gespielt",
        "play played playing",
        EVER,
        subject="child",
        place="where Park Garten Haus",
        because=("it warm",),
        although=("it kalt", "it regnen"),
    ),
    Verb("wohnen", "wohnt", "gewohnt", "live lived living", "now past", place=f"where {CITIES}", stative=True),
    Verb(
        "bleiben",
        "bleibt",
        "geblieben",
        "stay stayed staying",
        place="where Haus",
        perfect="sein",
        because=("subject müde", "subject krank", "it kalt", "it regnen"),
        although=("it warm",),
    ),
    Verb(
        "gehen",
        "geht",
        "gegangen",
        "go went going",
        EVER,
        perfect="sein",
        place="whither Park Schule Stadt Kino Museum Büro Markt Bahnhof Haus",
        although=("it kalt", "it regnen", "subject müde", "subject krank"),
    ),
    Verb(
        "fahren",
        "fährt",
        "gefahren",
        "travel traveled traveling",
        perfect="sein",
        place=f"whither {CITIES}",
        although=("subject krank", "it kalt", "it regnen"),
    ),
)

# What may follow "um ... zu" after going to a place: the infinitive, and tags that narrow down its object.
PURPOSES = (
    ("Markt", "kaufen", "bring"),
    ("Stadt", "kaufen", "wear dear"),
    ("Stadt", "treffen", "human"),
    ("Bahnhof", "abholen", "human"),
    ("Park", "treffen", "human"),
    ("Kino", "sehen", "watch"),
    ("Berlin", "besuchen", "kin"),
    ("Hamburg", "besuchen", "human"),
    ("München", "besuchen", "human"),
    ("Wien", "besuchen", "kin"),
    ("Haus", "lesen", "read"),
    ("Haus", "schreiben", "write"),
)
ATTEMPTS = ("finden", "reparieren", "aufmachen", "zumachen", "anrufen", "verkaufen")
DUTIES = ("anrufen", "zumachen", "abholen", "mitbringen", "einladen", "kaufen")

# What somebody does with a thing after it was bought, written, ...: "er sucht das Buch, das sie gekauft hat".
HISTORIES = (
    ("kaufen", "lesen essen reparieren suchen verkaufen anziehen verlieren"),
    ("schreiben", "lesen suchen finden"),
    ("verlieren", "suchen finden"),
    ("reparieren", "kaufen verkaufen"),
    ("suchen", "finden"),
)
# What one does with a person that one tells more about.
ENCOUNTERS = ("kennen", "besuchen", "anrufen", "helfen", "einladen", "treffen", "warten", "sprechen")
# What people do if: they have time, it is raining, it is warm, they are tired.
CONDITIONS = {
    "Zeit": "besuchen helfen schreiben lesen reparieren anrufen einladen",
    "regnen": "bleiben fernsehen lesen",
    "warm": "spielen treffen aufmachen",
    "müde": "bleiben fernsehen",
}
AGES = (("parent", 40, 49), ("child", 6, 12), ("adult", 28, 49), ("youth kin", 20, 35))  # the first that fits
# What nobody knows the date of.
EVERYDAY = (
    "lesen",
    "suchen",
    "essen",
    "trinken",
    "warten",
    "sprechen",
    "aufmachen",
    "zumachen",
    "anziehen",
    "helfen",
    "aufstehen",
    "fernsehen",
    "schlafen",
    "spielen",
    "versuchen",
    "vergessen",
)
# What two people do side by side; and who goes away, and who does not.
TOGETHER = (
    "lesen",
    "schreiben",
    "reparieren",
    "essen",
    "trinken",
    "arbeiten",
    "schlafen",
    "spielen",
    "anrufen",
    "suchen",
    "aufmachen",
)
AWAY, NOT_AWAY = ("gehen", "fahren"), ("bleiben", "arbeiten", "schlafen", "fernsehen")
# What tells a person from others.
TELLING = (
    "wohnen",
    "arbeiten",
    "kennen",
    "kaufen",
    "verkaufen",
    "schreiben",
    "reparieren",
    "besuchen",
    "treffen",
    "helfen",
    "einladen",
    "anrufen",
    "warten",
    "sprechen",
    "fahren",
    "finden",
    "abholen",
)
PLACED = ("gehen", "fahren", "bleiben", "wohnen")  # not without a place
CLOCKED = ("aufstehen", "ankommen", "anrufen", "abholen", "gehen", "fahren", "treffen")  # at a certain hour
RAIN = Verb("regnen", "regnet", "geregnet", "rain rained raining", EVER, subject="")
TRY = Verb("versuchen", "versucht", "versucht", "try tried trying")
FORGET = Verb("vergessen", "vergisst", "vergessen", "forget forgot forgetting")

# How others' facts are introduced: German | English; {} is somebody.
FACTS = (
    "ich weiß, dass|I know that",
    "ich glaube, dass|I think that",
    "ich habe gehört, dass|I heard that",
    "wir wissen, dass|we know that",
    "{} sagt, dass|{} says that",
    "{} weiß, dass|{} knows that",
)
DOUBTS = (
    "ich weiß nicht, ob|I do not know whether",
    "weißt du, ob|do you know whether",
    "{} fragt, ob|{} asks whether",
    "wir wissen nicht, ob|we do not know whether",
)

TODAY, TOMORROW = Adverbial("heute", "today"), Adverbial("morgen", "tomorrow")
DAYS = {
    "past": (
        Adverbial("gestern", "yesterday"),
        Adverbial("gestern Abend", "last night"),
        TODAY,
        Adverbial("letzte Woche", "last week"),
    ),
    "now": (Adverbial("jetzt", "now"),),
    "future": (TODAY, TOMORROW, Adverbial("morgen Abend", "tomorrow evening"), Adverbial("nächste Woche", "next week")),
    "habitual": (
        Adverbial("jeden Tag", "every day"),
        Adverbial("jeden Morgen", "every morning"),
        Adverbial("jede Woche", "every week"),
        Adverbial("oft", "often"),
    ),
}
WEEKDAYS = {
    "Montag": "Monday",
    "Dienstag": "Tuesday",
    "Mittwoch": "Wednesday",
    "Donnerstag": "Thursday",
    "Freitag": "Friday",
    "Samstag": "Saturday",
    "Sonntag": "Sunday",
}
MONTHS = {
    "Januar": "January",
    "Februar": "February",
    "März": "March",
    "April": "April",
    "Mai": "May",
    "Juni": "June",
    "Juli": "July",
    "August": "August",
    "September": "September",
    "Oktober": "October",
    "November": "November",
    "Dezember": "December",
}
MONTH_LENGTHS = dict(zip(MONTHS, (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))
YEARS = range(2015, 2025)
UNITS = {
    "zwei": "two",
    "drei": "three",
    "vier": "four",
    "fünf": "five",
    "sechs": "six",
    "sieben": "seven",
    "acht": "eight",
    "neun": "nine",
    "zehn": "ten",
    "elf": "eleven",
    "zwölf": "twelve",
}
TENS = {"zwanzig": "twenty", "dreißig": "thirty", "vierzig": "forty"}
VEHICLES = {"Zug": "train", "Bus": "bus", "Auto": "car"}
