"""How noun phrases and clauses of the tiny corpus are put into German and into English.

A `Clause` says who does what, when and where; `german` and `english` order and inflect the same constituents by the
rules of either language. Cases are "nom", "acc" and "dat"; genders "m", "f", "n" and, without one, "pl".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import tiny_lexicon as lexicon
from tiny_lexicon import Adverbial, Noun, Verb

DEFINITE = {
    "nom": {"m": "der", "f": "die", "n": "das", "pl": "die"},
    "acc": {"m": "den", "f": "die", "n": "das", "pl": "die"},
    "dat": {"m": "dem", "f": "der", "n": "dem", "pl": "den"},
}
EIN_ENDINGS = {
    "nom": {"m": "", "f": "e", "n": "", "pl": "e"},
    "acc": {"m": "en", "f": "e", "n": "", "pl": "e"},
    "dat": {"m": "em", "f": "er", "n": "em", "pl": "en"},
}
ADJECTIVE_ENDINGS = {
    "weak": {
        "nom": {"m": "e", "f": "e", "n": "e", "pl": "en"},
        "acc": {"m": "en", "f": "e", "n": "e", "pl": "en"},
        "dat": {"m": "en", "f": "en", "n": "en", "pl": "en"},
    },
    "mixed": {
        "nom": {"m": "er", "f": "e", "n": "es", "pl": "en"},
        "acc": {"m": "en", "f": "e", "n": "es", "pl": "en"},
        "dat": {"m": "en", "f": "en", "n": "en", "pl": "en"},
    },
    "strong": {
        "nom": {"m": "er", "f": "e", "n": "es", "pl": "e"},
        "acc": {"m": "en", "f": "e", "n": "es", "pl": "e"},
        "dat": {"m": "em", "f": "er", "n": "em", "pl": "en"},
    },
}
# By agreement: first, second and third person singular; every plural.
GERMAN_FORMS = {
    "haben": {"ich": "habe", "du": "hast", "er": "hat", "wir": "haben"},
    "sein": {"ich": "bin", "du": "bist", "er": "ist", "wir": "sind"},
    "war": {"ich": "war", "du": "warst", "er": "war", "wir": "waren"},
    "können": {"ich": "kann", "du": "kannst", "er": "kann", "wir": "können"},
    "müssen": {"ich": "muss", "du": "musst", "er": "muss", "wir": "müssen"},
    "wollen": {"ich": "will", "du": "willst", "er": "will", "wir": "wollen"},
}
BE = {"ich": "am", "du": "are", "er": "is", "wir": "are"}
WAS = {"ich": "was", "du": "were", "er": "was", "wir": "were"}
MODALS = {"können": "can", "müssen": "have to", "wollen": "want to"}


class Pair(NamedTuple):
    """The same words in both languages."""

    german: str
    english: str


class Phrase(Protocol):
    """Who or what takes part: a noun phrase or a pronoun."""

    @property
    def agreement(self) -> str: ...

    @property
    def reference(self) -> Pronoun: ...

    def german(self, case: str) -> str: ...

    def english(self, case: str) -> str: ...


@dataclass(frozen=True)
class Pronoun:
    """A pronoun; `possessive` is the determiner for what it owns."""

    nom: str
    acc: str
    dat: str
    agreement: str
    subject: str
    object: str
    possessive: Determiner

    @property
    def reference(self) -> Pronoun:
        return self

    def german(self, case: str) -> str:
        return {"nom": self.nom, "acc": self.acc, "dat": self.dat}[case]

    def english(self, case: str) -> str:
        return self.subject if case == "nom" else self.object


@dataclass(frozen=True)
class Determiner:
    """A determiner; `kind` says how it and the adjective after it inflect."""

    german: str
    english: str
    kind: str  # "weak": der; "mixed": ein, kein, mein; "strong": nothing or a numeral
    definite: bool = False


THE = Determiner("der", "the", "weak", definite=True)
A = Determiner("ein", "a", "mixed")
NO = Determiner("kein", "a", "mixed")  # "not ... a": the clause says "not"
NOT_ANY = Determiner("kein", "any", "mixed")
BARE = Determiner("", "", "strong")
MY = Determiner("mein", "my", "mixed", definite=True)
HIS = Determiner("sein", "his", "mixed", definite=True)
HER = Determiner("ihr", "her", "mixed", definite=True)
OF_GIRL = Determiner("sein", "her", "mixed", definite=True)  # "das Mädchen" is neuter
THEIR = Determiner("ihr", "their", "mixed", definite=True)
COUNTS = [Determiner(german, english, "strong") for german, english in lexicon.UNITS.items()]

I = Pronoun("ich", "mich", "mir", "ich", "I", "me", MY)  # noqa: E741
YOU = Pronoun("du", "dich", "dir", "du", "you", "you", MY)
HE = Pronoun("er", "ihn", "ihm", "er", "he", "him", HIS)
SHE = Pronoun("sie", "sie", "ihr", "er", "she", "her", HER)
WE = Pronoun("wir", "uns", "uns", "wir", "we", "us", MY)
THEY = Pronoun("sie", "sie", "ihnen", "wir", "they", "them", THEIR)
IT = Pronoun("es", "es", "ihm", "er", "it", "it", HIS)
WHO = Pronoun("wer", "wen", "wem", "er", "who", "who", MY)
WHAT = Pronoun("was", "was", "was", "er", "what", "what", MY)
REFERENCES = {
    ("m", "he"): HE,
    ("f", "she"): SHE,
    ("n", "she"): replace(IT, subject="she", object="her", possessive=OF_GIRL),
    ("m", "it"): replace(HE, subject="it", object="it"),
    ("f", "it"): replace(SHE, subject="it", object="it"),
    ("n", "it"): IT,
}


@dataclass(frozen=True)
class NounPhrase:
    """Determiner, adjective, noun and what is said about it afterwards, such as a relative clause."""

    noun: Noun
    determiner: Determiner
    plural: bool = False
    adjective: str = ""
    addition: Pair = Pair("", "")

    @property
    def gender(self) -> str:
        return "pl" if self.plural else self.noun.gender

    @property
    def agreement(self) -> str:
        return "wir" if self.plural else "er"

    @property
    def reference(self) -> Pronoun:
        return THEY if self.plural else REFERENCES[self.noun.gender, self.noun.pronoun]

    def german(self, case: str) -> str:
        article = self.determiner.german
        if self.determiner.kind == "weak":
            article = DEFINITE[case][self.gender]
        elif self.determiner.kind == "mixed":
            article += EIN_ENDINGS[case][self.gender]
        adjective = self.adjective and self.adjective + ADJECTIVE_ENDINGS[self.determiner.kind][case][self.gender]
        return spaced(article, adjective, self._german_noun(case), self.addition.german)

    def _german_noun(self, case: str) -> str:
        if not self.plural:
            return self.noun.weak if self.noun.weak and case != "nom" else self.noun.german
        plural = self.noun.plural
        return plural + "n" if case == "dat" and plural[-1] not in "ns" else plural

    def english(self, case: str) -> str:
        noun = (self.noun.english_plural or self.noun.english + "s") if self.plural else self.noun.english
        words = spaced(lexicon.ADJECTIVES.get(self.adjective, ""), noun, self.addition.english)
        article = "an" if self.determiner.english == "a" and words[0] in "aeiou" else self.determiner.english
        return spaced(article, words)


@dataclass(frozen=True)
class Clause:
    """One verb with everything that belongs to it.

    The tense is "past" (a Perfekt in German), "now" (English -ing), "habitual" (simple present) or "future" (a
    German Präsens); with a modal verb it does not matter.
    """

    subject: Phrase
    verb: Verb
    tense: str
    modal: str = ""
    recipient: Phrase | None = None
    object: Phrase | None = None
    day: Adverbial | None = None
    clock: Adverbial | None = None
    manner: Adverbial | None = None
    place: Adverbial | None = None
    negated: bool = False

    def german(self, front: str = "subject") -> str:
        """A main clause with the named constituent before the finite verb, or with "" the verb first."""
        finite, closing = self._german_verbs()
        middle = dict(self._german_middle())
        return spaced(middle.pop(front, ""), finite, *middle.values(), closing)

    def german_final(self, omitted: str = "") -> str:
        """A subordinate clause: the finite verb last, joined with its prefix."""
        finite, closing = self._german_verbs()
        middle = [words for name, words in self._german_middle() if name != omitted]
        verbs = closing + finite if closing == self.verb.prefix else f"{closing} {finite}"
        return spaced(*middle, verbs)

    def german_zu(self) -> str:
        """The infinitive with zu."""
        return spaced(*[words for name, words in self._german_middle() if name != "subject"], self.verb.zu_infinitive)

    def german_relative(self, role: str, antecedent: NounPhrase) -> str:
        """The clause as a relative one, about the constituent in this role."""
        case = {"subject": "nom", "object": self.verb.case}[role]
        pronoun = "denen" if (case, antecedent.gender) == ("dat", "pl") else DEFINITE[case][antecedent.gender]
        preposition = self.verb.preposition if role == "object" else ""
        return f", {spaced(preposition, pronoun)} {self.german_final(omitted=role)} ,"

    def _german_verbs(self) -> tuple[str, str]:
        agreement = self.subject.agreement
        if self.modal:
            return GERMAN_FORMS[self.modal][agreement], self.verb.infinitive
        if self.tense == "past":
            return GERMAN_FORMS[self.verb.perfect][agreement], self.verb.participle
        return self.verb.third if agreement == "er" else self.verb.german, self.verb.prefix

    def _german_middle(self) -> list[tuple[str, str]]:
        verb, direct = self.verb, not self.verb.preposition
        fields = [("subject", self.subject.german("nom"))]
        times = [("day", german_of(self.day)), ("clock", german_of(self.clock))]
        recipient = [("recipient", self.recipient.german("dat"))] if self.recipient else []
        thing = [("object", spaced(verb.preposition, self.object.german(verb.case)))] if self.object else []
        early = direct and (isinstance(self.object, Pronoun) or (self.negated and is_definite(self.object)))
        if isinstance(self.object, Pronoun) and verb.subject in ("own", "like"):
            return thing + fields + times  # "ob ihr die Tasche gefällt"
        fields += thing + times + recipient if early else times + recipient + (thing if direct else [])
        if self.negated and not says_no(self.object):
            fields.append(("not", "nicht"))
        place = [("place", german_of(self.place))]
        fields += [("manner", german_of(self.manner)), *place] if direct else place + thing
        return [(name, words) for name, words in fields if words]

    def english(self, omitted: Sequence[str] = (), question: bool = False) -> str:
        """The clause without the constituents named; as a question the auxiliary comes first."""
        subject, object_ = (self.object, self.subject) if self.verb.swapped else (self.subject, self.object)
        assert subject is not None
        auxiliary, main = self._english_verbs(subject.agreement, supported=self.negated or question)
        often = "often" if self.day and self.day.english == "often" else ""
        actor = "" if "subject" in omitted else subject.english("nom")
        negation = "not" if self.negated else ""
        start = [auxiliary, actor, negation] if question else [actor, auxiliary, negation]
        if isinstance(object_, Pronoun) and main.endswith(" up") and "object" not in omitted:
            main, object_english = f"{main.removesuffix(' up')} {object_.english('obl')} up", ""  # "pick him up"
        else:
            object_english = object_.english("obl") if object_ else ""
        ends = {
            "recipient": self.recipient.english("obl") if self.recipient else "",
            "object": object_english,
            "place": english_of(self.place),
            "manner": english_of(self.manner),
            "clock": english_of(self.clock),
            "day": "" if often else english_of(self.day),
        }
        text = spaced(*start, often, main, *[words for name, words in ends.items() if name not in omitted])
        return text.replace("can not ", "cannot ")

    def english_to(self) -> str:
        """The infinitive with to."""
        statement = replace(self, tense="future", modal="").english(omitted=["subject"])
        return "to " + statement.removeprefix("will ")

    def english_relative(self, role: str, antecedent: NounPhrase) -> str:
        """The clause as a relative one, about the constituent in this role."""
        pronoun = "who" if role == "subject" and antecedent.noun.has("human") else "that"
        return f"{pronoun} {self.english(omitted=[role])}"

    def _english_verbs(self, agreement: str, supported: bool) -> tuple[str, str]:
        """The auxiliary, if any, and the rest; `supported` asks for do where there is none otherwise."""
        base, past, progressive, *rest = self.verb.english.split()
        if self.modal == "können":
            return "can", spaced(base, *rest)
        if self.modal:
            first, to = MODALS[self.modal].split()
            base, rest = first, [to, base, *rest]
        elif self.tense == "future":
            return "will", spaced(base, *rest)
        elif self.tense == "now" and not self.verb.stative:
            return BE[agreement], spaced(progressive, *rest)
        elif self.tense == "past":
            return ("did", spaced(base, *rest)) if supported else ("", spaced(past, *rest))
        singular = agreement == "er"
        if supported:
            return "does" if singular else "do", spaced(base, *rest)
        return "", spaced(english_third(base) if singular else base, *rest)


@dataclass(frozen=True)
class State:
    """What somebody is (or has): "der Arzt ist heute krank", "sie hat morgen Zeit"."""

    subject: Phrase
    predicate: Adverbial
    past: bool = False
    day: Adverbial | None = None
    has: bool = False

    @property
    def _finite(self) -> Pair:
        agreement = self.subject.agreement
        if self.has:
            return Pair(GERMAN_FORMS["haben"][agreement], "has" if agreement == "er" else "have")
        if self.past:
            return Pair(GERMAN_FORMS["war"][agreement], WAS[agreement])
        return Pair(GERMAN_FORMS["sein"][agreement], BE[agreement])

    def german(self) -> str:
        return spaced(self.subject.german("nom"), self._finite.german, german_of(self.day), self.predicate.german)

    def german_final(self) -> str:
        return spaced(self.subject.german("nom"), german_of(self.day), self.predicate.german, self._finite.german)

    def english(self) -> str:
        return spaced(self.subject.english("nom"), self._finite.english, self.predicate.english, english_of(self.day))


def same_noun(one: Phrase, other: Phrase) -> bool:
    return isinstance(one, NounPhrase) and isinstance(other, NounPhrase) and one.noun.english == other.noun.english


def is_ambiguous(clause: Clause) -> bool:
    """Whether the forms leave open who does it to whom: "die Frau besucht das Mädchen"."""
    subject, object_ = clause.subject, clause.object
    if not isinstance(object_, NounPhrase) or not object_.noun.has("human animal"):
        return False
    return subject.german("nom") == subject.german("acc") and object_.german("nom") == object_.german(clause.verb.case)


def spaced(*words: str) -> str:
    return " ".join(word for word in words if word)


def german_of(adverbial: Adverbial | None) -> str:
    return adverbial.german if adverbial else ""


def english_of(adverbial: Adverbial | None) -> str:
    return adverbial.english if adverbial else ""


def english_third(base: str) -> str:
    if base == "have":
        return "has"
    if base.endswith(("s", "x", "ch", "sh", "o")):
        return base + "es"
    return base[:-1] + "ies" if base.endswith("y") and base[-2] not in "aeiou" else base + "s"


def is_definite(phrase: Phrase | None) -> bool:
    return isinstance(phrase, Pronoun) or (isinstance(phrase, NounPhrase) and phrase.determiner.definite)


def says_no(phrase: Phrase | None) -> bool:
    return isinstance(phrase, NounPhrase) and phrase.determiner in (NO, NOT_ANY)


def finished(german: str, english: str, mark: str = ".") -> Pair:
    return Pair(written(german, mark), written(english, mark))


def written(text: str, mark: str) -> str:
    """Capital first, commas where they belong, and the mark at the end."""
    words: list[str] = []
    for word in re.sub(r",(?!\d)", " , ", text).split():
        if word != "," or (words and words[-1] != ","):
            words.append(word)
    text = " ".join(words).rstrip(" ,").replace(" ,", ",")
    return text[0].upper() + text[1:] + mark
