"""Writes the German-English corpus that ships in data/tiny: sentences of a small grammar, drawn at random.

A sentence is drawn once, as what it says (who does what to whom, and when), and then put into both languages.
The translation is therefore a function of the German sentence, and what is hard about it is what is hard about
German: the verb at the end, the separable prefix, case and gender, dates and hours that change their order.

    python scripts/make_tiny_corpus.py data/tiny
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import tiny_lexicon as lexicon
from tiny_lexicon import Adverbial, Noun, Verb
from tiny_sentences import (
    BARE,
    COUNTS,
    HE,
    IT,
    MODALS,
    MY,
    NO,
    NOT_ANY,
    SHE,
    THE,
    THEY,
    WE,
    WHAT,
    WHO,
    YOU,
    A,
    Clause,
    I,
    NounPhrase,
    Pair,
    Phrase,
    State,
    english_of,
    finished,
    is_ambiguous,
    is_definite,
    same_noun,
    says_no,
)

WEIL, OBWOHL = Pair("weil", "because"), Pair("obwohl", "although")
WEEKDAYS = tuple(lexicon.WEEKDAYS.values())
UNDENIED = ("aufstehen", "verlieren")
ASKED = tuple(verb for verb in lexicon.VERBS if not verb.swapped)


class Grammar:
    """Draws sentences; everything random comes from the one generator that it is given."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.verbs = {verb.infinitive: verb for verb in lexicon.VERBS}
        self.patterns: dict[Callable[[], Pair], int] = {
            self.statement: 30,
            self.question: 10,
            self.reason: 14,
            self.fronted_reason: 6,
            self.report: 11,
            self.relative: 11,
            self.infinitive: 8,
            self.purpose: 6,
            self.condition: 6,
            self.coordination: 7,
            self.number: 10,
            self.schedule: 7,
        }

    def sentence(self) -> Pair:
        """A sentence of a pattern drawn by weight."""
        pattern = self.rng.choices(list(self.patterns), list(self.patterns.values()))[0]
        pair = pattern()
        return pair if len(pair.german.split()) >= 4 else self.sentence()

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    # Who and what

    def noun_phrase(
        self, tags: str, owner: Phrase | None = None, habitual: bool = False, definite: bool = False
    ) -> NounPhrase:
        """A noun with one of the tags; `owner` is whose it may be, and nobody does a thing to himself."""
        taken = owner.noun.english if isinstance(owner, NounPhrase) else ""
        noun = self.rng.choice([n for n in lexicon.PEOPLE + lexicon.THINGS if n.has(tags) and n.english != taken])
        mine = owner.reference.possessive if owner and owner.reference.subject != "it" else MY
        if noun.has("kin"):
            return NounPhrase(noun, mine)
        if noun.has("mass"):
            return NounPhrase(noun, THE if definite or (not habitual and self.chance(0.5)) else BARE)
        plural = noun.has("crowd") or (noun.plural != "" and not noun.has("open animal") and self.chance(0.2))
        choices = [THE] * 4
        if not definite and not noun.has("open crowd") and not (habitual and noun.has("human")):
            choices += [A] * 3
        if noun.has("own") and not habitual and owner and "buy" not in tags and "dear" not in tags:
            choices += [mine] * 2
        if habitual and not noun.has("human"):
            choices = [A]
        determiner = self.rng.choice(choices)
        if plural and determiner is A:
            some = self.rng.choice([BARE, self.rng.choice(COUNTS)])
            determiner = THE if noun.has("human") else BARE if noun.has("machine") else some
        adjective = self._adjective(noun) if self.chance(0.3) else ""
        return NounPhrase(noun, determiner, plural, adjective)

    def _adjective(self, noun: Noun) -> str:
        row = next(adjectives for tags, adjectives in lexicon.ATTRIBUTES if noun.has(tags))
        return self.rng.choice(row.split() or [""])

    def subject(self, tags: str, tense: str, modal: str) -> Phrase:
        if tags.startswith(("human", "adult")) and self.chance(0.25):
            return self.rng.choice([I, YOU, HE, SHE, WE, THEY] if modal or tense == "past" else [HE, SHE, WE, THEY])
        return self.noun_phrase(tags, definite=True)

    def object(self, verb: Verb, subject: Phrase, tense: str, tags: str = "", definite: bool = False) -> Phrase | None:
        if not verb.takes:
            return None
        if "human" in (tags or verb.takes).split() and not definite and self.chance(0.15):
            fitting = {"ich": [HE, SHE], "du": [I, HE, SHE, WE], "wir": [HE, SHE]}
            return self.rng.choice(fitting.get(subject.agreement, [I, WE, HE, SHE]))
        return self.noun_phrase(tags or verb.takes, subject, tense == "habitual", definite)

    # When and where

    def day(self, tense: str, near: bool = False) -> Adverbial:
        """An adverbial of time that says which English tense the German one stands for; `near` is about now."""
        if near:
            return self.rng.choice(lexicon.DAYS[tense][: 3 if tense == "past" else 2])
        if tense == "past" and self.chance(0.45):
            return self.rng.choice([self._past_date, self._ago])()
        if tense == "future" and self.chance(0.35):
            return self._weekday_date()
        if tense in ("past", "future") and self.chance(0.2):
            german, english = self.rng.choice(list(lexicon.WEEKDAYS.items()))
            return Adverbial(f"am {german}", f"on {english}")
        return self.rng.choice(lexicon.DAYS[tense])

    def _month_and_day(self) -> tuple[str, int]:
        month = self.rng.choice(list(lexicon.MONTHS))
        return month, self.rng.randint(1, lexicon.MONTH_LENGTHS[month])

    def _past_date(self) -> Adverbial:
        (month, day), year = self._month_and_day(), self.rng.choice(lexicon.YEARS)
        return Adverbial(f"am {day}. {month} {year}", f"on {lexicon.MONTHS[month]} {day}, {year},")

    def _weekday_date(self) -> Adverbial:
        (month, day), weekday = self._month_and_day(), self.rng.choice(list(lexicon.WEEKDAYS))
        english = f"on {lexicon.WEEKDAYS[weekday]}, {lexicon.MONTHS[month]} {day},"
        return Adverbial(f"am {weekday}, dem {day}. {month},", english)

    def _ago(self) -> Adverbial:
        german, english = self.rng.choice(list(lexicon.UNITS.items()))
        unit = self.rng.choice([Pair("Tagen", "days"), Pair("Wochen", "weeks"), Pair("Jahren", "years")])
        return Adverbial(f"vor {german} {unit.german}", f"{english} {unit.english} ago")

    def hour(self, earliest: int = 2, latest: int = 12) -> Adverbial:
        """An hour; half past seven is "halb acht"."""
        names = [("ein", "one"), *lexicon.UNITS.items()]
        hour = self.rng.randint(earliest, latest)
        (german, english), (_, before) = names[hour - 1], names[hour - 2]
        return self.rng.choice(
            [
                Adverbial(f"um {german} Uhr", f"at {english} o'clock"),
                Adverbial(f"um halb {german}", f"at half past {before}"),
                Adverbial(f"um Viertel vor {german}", f"at a quarter to {english}"),
                Adverbial(f"um Viertel nach {german}", f"at a quarter past {english}"),
            ]
        )

    def place(self, verb: Verb) -> Adverbial | None:
        if not verb.place:
            return None
        relation, *names = verb.place.split()
        place = lexicon.PLACES[self.rng.choice(names)]
        place_of: dict[str, Adverbial] = {"where": place.where, "whither": place.whither, "whence": place.whence}
        return place_of[relation]

    def manner(self, verb: Verb, subject: Phrase, object_: Phrase | None) -> Adverbial | None:
        """By which means, with whom, for whom or for how much, where the verb goes with it."""
        if verb.infinitive == "fahren":
            german, english = self.rng.choice(list(lexicon.VEHICLES.items()))
            return Adverbial(f"mit dem {german}", f"by {english}")
        if verb.infinitive == "spielen":
            other = self.noun_phrase("animal", subject, definite=True)
            return Adverbial(f"mit {other.german('dat')}", f"with {other.english('obl')}")
        if verb.infinitive == "kaufen" and isinstance(object_, NounPhrase):
            if object_.noun.has("dear") and not object_.plural and self.chance(0.5):
                price = self.numeral()
                return Adverbial(f"für {price.german} Euro", f"for {price.english} euros")
            other = self.noun_phrase("kin", subject)
            return Adverbial(f"für {other.german('acc')}", f"for {other.english('obl')}")
        return None

    def numeral(self, least: int = 20, most: int = 49) -> Pair:
        """A number in words; the German unit comes before the ten."""
        units, tens = [("ein", "one"), *lexicon.UNITS.items()], list(lexicon.TENS.items())
        number = self.rng.randint(least, most)
        if number <= 12:
            return Pair(*units[number - 1])
        (german_ten, english_ten), unit = tens[number // 10 - 2], number % 10
        if not unit:
            return Pair(german_ten, english_ten)
        german_unit, english_unit = units[unit - 1]
        return Pair(f"{german_unit}und{german_ten}", f"{english_ten}-{english_unit}")

    # Clauses

    def clause(
        self,
        verbs: Iterable[Verb] = lexicon.VERBS,
        tenses: str = lexicon.EVER,
        subject: Phrase | None = None,
        object_tags: str = "",
        definite: bool = False,
        bare: bool = False,
    ) -> Clause:
        """Something that somebody does; `bare` leaves out everything that can be left out."""
        allowed = set(tenses.split())
        verb = self.rng.choice([verb for verb in verbs if allowed & set(verb.tenses.split())])
        tense = self.rng.choice([tense for tense in verb.tenses.split() if tense in allowed])
        modal = ""
        if tense == "modal":
            tense, modal = "future", self.rng.choice(list(MODALS))
        subject = subject or self.subject(verb.subject, tense, modal)
        if verb.takes == "wear" and subject.agreement == "wir":
            subject = self.rng.choice([HE, SHE])  # two do not put on one coat
        definite = definite or verb is self.verbs["verlieren"]
        object_ = self.object(verb, subject, tense, object_tags, definite)
        recipient = self.noun_phrase("human", subject, definite=self.chance(0.8)) if verb.recipient else None
        required = verb.infinitive in lexicon.PLACED or (verb.infinitive == "arbeiten" and not bare)
        clause = Clause(
            subject,
            verb,
            tense,
            modal,
            recipient,
            object_,
            place=self.place(verb) if required or self.chance(0.3) else None,
        )
        if bare or verb.stative:
            return clause
        near = verb.infinitive in lexicon.EVERYDAY and tense != "habitual"
        if (not modal and tense in ("habitual", "future")) or self.chance(0.7 if tense == "past" else 0.3):
            clause = replace(clause, day=self.day(tense, near))
        if verb.infinitive in lexicon.CLOCKED and self.chance(0.6):
            clause = self._with_hour(clause)
        if verb is self.verbs["aufstehen"] and not clause.clock:
            return replace(clause, day=lexicon.DAYS[tense][0], clock=self.hour(5, 9))
        if self.chance(0.35):
            return replace(clause, manner=self.manner(verb, subject, object_))
        return self._negated(clause) if self.chance(0.2) else clause

    def _with_hour(self, clause: Clause) -> Clause:
        days = ("yesterday", "today", "tomorrow", "every day", *(f"on {name}" for name in WEEKDAYS))
        if english_of(clause.day) not in days:
            return clause
        early = clause.verb.infinitive == "aufstehen"
        return replace(clause, clock=self.hour(5, 9) if early else self.hour())

    def _negated(self, clause: Clause) -> Clause:
        """The clause denied: with kein before an indefinite object, else with nicht."""
        if clause.tense == "habitual" or clause.clock or clause.recipient or clause.verb.infinitive in UNDENIED:
            return clause
        thing = clause.object
        if isinstance(thing, NounPhrase) and not thing.determiner.definite:
            if thing.determiner in COUNTS or clause.verb.preposition:
                return clause
            thing = replace(thing, determiner=NO if thing.determiner is A else NOT_ANY)
        return replace(clause, object=thing, negated=True)

    # Sentences

    def statement(self) -> Pair:
        """A main clause, the subject, the time or the object in front."""
        clause = self.clause()
        if (
            isinstance(clause.subject, NounPhrase)
            and clause.subject.noun.has("human")
            and not clause.negated
            and clause.subject.determiner is THE
            and not clause.subject.plural
            and self.chance(0.2)
        ):
            clause = replace(clause, subject=replace(clause.subject, determiner=A))
        fronts = ["subject"] * 3
        if clause.day and clause.day.german != "oft":
            fronts += ["day"] * 3
        if (
            isinstance(clause.object, NounPhrase)
            and is_definite(clause.object)
            and not clause.verb.preposition
            and not clause.negated
            and not is_ambiguous(clause)
        ):
            fronts += ["object"] * 3
        front = self.rng.choice(fronts)
        if front == "day":
            return finished(clause.german(front), f"{english_of(clause.day)} {clause.english(omitted=['day'])}")
        return finished(clause.german(front), clause.english())

    def question(self) -> Pair:
        """A question: yes or no, who, what, when or why."""
        clause = replace(self.clause(ASKED, "past future now modal"), negated=False)
        kind = self.rng.choice(["whether", "whether", "who", "object", "when", "why"])
        if says_no(clause.object) or clause.subject is I or (kind == "why" and clause.modal == "können"):
            return self.question()
        if kind == "who":
            clause = self.clause([verb for verb in lexicon.VERBS if "human" in verb.subject], "past future", WHO)
            if clause.negated:
                return self.question()
            return finished(clause.german(), clause.english(), "?")
        if kind == "object" and clause.object and not clause.verb.preposition:
            thing = isinstance(clause.object, NounPhrase) and not clause.object.noun.has("human")
            asked = WHAT if thing else WHO
            clause = replace(clause, object=asked, manner=None)
            english = f"{asked.subject} {clause.english(['object'], question=True)}"
            return finished(clause.german("object"), english, "?")
        dated = clause.tense != "now" and clause.verb.infinitive not in lexicon.EVERYDAY
        if kind == "when" and not clause.modal and dated:
            clause = replace(clause, day=None, clock=None)
            return finished(f"wann {clause.german('')}", f"when {clause.english(question=True)}", "?")
        if kind == "why":
            return finished(f"warum {clause.german('')}", f"why {clause.english(question=True)}", "?")
        return finished(clause.german(""), clause.english(question=True), "?")

    def _caused(self, conjunction: Pair, fronted: bool = False) -> tuple[Clause, Pair]:
        """A clause, and its reason (weil) or what speaks against it (obwohl)."""

        def causes(verb: Verb) -> list[str]:
            listed = verb.because if conjunction is WEIL else verb.although
            return [cause for cause in listed if not fronted or cause.startswith("subject")]

        verb = self.rng.choice([verb for verb in lexicon.VERBS if causes(verb)])
        who, adjective = self.rng.choice(causes(verb)).split()
        clause = self.clause([verb], "past now modal", definite=who == "object", bare=True)
        if clause.modal:
            clause = replace(clause, modal="wollen" if who == "subject" else self.rng.choice(["wollen", "müssen"]))
        if self.chance(0.4):
            clause = replace(clause, day=lexicon.TODAY if clause.modal else self.day(clause.tense, near=True))
        past = clause.tense == "past"
        if adjective == "regnen":
            rain = Clause(IT, lexicon.RAIN, "past" if past else "now")
            return clause, Pair(rain.german_final(), "it was raining" if past else rain.english())
        topic = {"subject": clause.subject, "object": clause.object, "recipient": clause.recipient, "it": IT}[who]
        assert topic is not None
        if who != "it" and isinstance(topic, NounPhrase):
            plain = replace(topic, adjective="")
            clause = replace(
                clause,
                subject=plain if who == "subject" else clause.subject,
                object=plain if who == "object" else clause.object,
                recipient=plain if who == "recipient" else clause.recipient,
            )
        named = topic if fronted else topic.reference
        if fronted:
            clause = replace(clause, subject=topic.reference)
        state = State(named, Adverbial(adjective, lexicon.ADJECTIVES[adjective]), past)
        return clause, Pair(state.german_final(), state.english())

    def reason(self) -> Pair:
        """A clause, then its reason or what speaks against it."""
        conjunction = self.rng.choice([WEIL, WEIL, OBWOHL])
        clause, cause = self._caused(conjunction)
        end = Pair(f", {conjunction.german} {cause.german}", f"{conjunction.english} {cause.english}")
        return self._followed(clause, end, self.chance(0.4))

    def fronted_reason(self) -> Pair:
        """The reason first; the main clause then begins with its verb."""
        conjunction = self.rng.choice([WEIL, OBWOHL])
        clause, cause = self._caused(conjunction, fronted=True)
        return finished(
            f"{conjunction.german} {cause.german}, {clause.german('')}",
            f"{conjunction.english} {cause.english}, {clause.english()}",
        )

    def report(self) -> Pair:
        """What somebody knows, says or asks: dass, ob and indirect questions."""
        introduction = self.rng.choice(lexicon.FACTS + lexicon.DOUBTS)
        german, english = introduction.split("|")
        speaker = NounPhrase(self.rng.choice([noun for noun in lexicon.PEOPLE if noun.has("adult")]), THE)
        german, english = german.format(speaker.german("nom")), english.format(speaker.english("nom"))
        mark = "?" if english.startswith("do you") else "."
        if introduction in lexicon.FACTS and self.chance(0.25):
            clause, cause = self._caused(WEIL)
            if clause.subject in (I, YOU, WE) or same_noun(clause.subject, speaker):
                return self.report()
            return finished(
                f"{german} {clause.german_final()}, weil {cause.german}",
                f"{english} {clause.english()} because {cause.english}",
                mark,
            )
        clause = self.clause()
        if clause.subject in (I, YOU, WE) or same_noun(clause.subject, speaker):
            return self.report()
        if introduction in lexicon.DOUBTS:
            clause = replace(clause, negated=False)
            if says_no(clause.object):
                return self.report()
            if self.chance(0.25) and clause.modal != "können":
                german, english = german.replace(", ob", ", warum"), english.replace("whether", "why")
        return finished(f"{german} {clause.german_final()}", f"{english} {clause.english()}", mark)

    def relative(self) -> Pair:
        """A relative clause about a person or a thing."""
        return self.rng.choice([self._relative_subject, self._relative_person, self._relative_thing])()

    def _person_described(self, other: str = "") -> tuple[NounPhrase, Pair]:
        """A person, and a relative clause about this person: who does (but the other thing), or whom somebody meets."""
        role = self.rng.choice(["subject", "object"])
        verb = self.verbs[self.rng.choice(lexicon.TELLING)]
        if verb.infinitive == other or (role == "object" and verb.takes not in ("human", "adult youth")):
            return self._person_described(other)
        tense = "now" if verb.stative or verb.infinitive in ("arbeiten", "warten") else "past"
        person = replace(self.noun_phrase("adult youth", definite=True), determiner=THE)
        if role == "subject":
            if not person.noun.has(verb.subject):
                return self._person_described(other)
            clause = self.clause([verb], tense, person)
        else:
            clause = replace(self.clause([verb], tense), object=person)
        if clause.negated or is_ambiguous(clause) or (role == "object" and same_noun(clause.subject, person)):
            return self._person_described(other)
        return person, Pair(clause.german_relative(role, person), clause.english_relative(role, person))

    def _relative_subject(self) -> Pair:
        person, description = self._person_described()
        person = replace(person, addition=description)
        if self.chance(0.3):
            adjective = self.rng.choice(["nett", "krank", "müde", "freundlich"])
            state = State(replace(person, adjective=""), Adverbial(adjective, lexicon.ADJECTIVES[adjective]))
            return finished(state.german(), state.english())
        verbs = [self.verbs[name] for name in ("wohnen", "schlafen", "anrufen", "einladen", "lesen", "helfen")]
        clause = self.clause(verbs, "past now", person, bare=True)
        return finished(clause.german(), clause.english())

    def _relative_person(self) -> Pair:
        outer = self.clause([self.verbs[name] for name in lexicon.ENCOUNTERS], "past now modal", bare=True)
        person, description = self._person_described(outer.verb.infinitive)
        if same_noun(outer.subject, person):
            return self._relative_person()
        return self._followed(replace(outer, object=person, place=None), description)

    def _relative_thing(self) -> Pair:
        before, after = self.rng.choice(lexicon.HISTORIES)
        first, second = self.verbs[before], self.verbs[self.rng.choice(after.split())]
        outer = self.clause([second], "past now modal", definite=True, bare=True)
        thing = outer.object
        if not isinstance(thing, NounPhrase) or not thing.noun.has(first.takes) or thing.noun.has("mass"):
            return self._relative_thing()
        thing = replace(thing, determiner=THE)
        owner = outer.subject.reference if self.chance(0.3) else None
        inner = replace(self.clause([first], "past", owner), object=thing, negated=False, manner=None)
        if same_noun(inner.subject, outer.subject):
            return self._relative_thing()
        description = Pair(inner.german_relative("object", thing), inner.english_relative("object", thing))
        return self._followed(replace(outer, object=thing), description)

    def infinitive(self) -> Pair:
        """Trying to do something, or having forgotten to: the infinitive with zu."""
        verb = self.rng.choice([lexicon.TRY, lexicon.FORGET])
        tense = self.rng.choice(["past", "now"]) if verb is lexicon.TRY else "past"
        names = lexicon.ATTEMPTS if verb is lexicon.TRY else lexicon.DUTIES
        outer = replace(self.clause([replace(verb, tenses=tense)]), negated=False)
        inner = self.clause([self.verbs[self.rng.choice(names)]], subject=outer.subject, bare=True)
        return self._followed(outer, Pair(f", {inner.german_zu()}", inner.english_to()), outer.day is not None)

    def purpose(self) -> Pair:
        """Going somewhere in order to do something: um ... zu."""
        name, verb, tags = self.rng.choice(lexicon.PURPOSES)
        travel = name in lexicon.CITIES.split()
        outer = self.clause([self.verbs["fahren" if travel else "gehen"]], "past now future modal")
        outer = replace(outer, place=lexicon.PLACES[name].whither, negated=False)
        inner = self.clause([self.verbs[verb]], subject=outer.subject, object_tags=tags, bare=True)
        if verb == "kaufen" and isinstance(inner.object, NounPhrase) and inner.object.determiner.definite:
            return self.purpose()  # nobody has met with it yet
        end = Pair(f", um {replace(inner, place=None).german_zu()}", replace(inner, place=None).english_to())
        return self._followed(outer, end, outer.day is not None)

    def _followed(self, clause: Clause, end: Pair, day_first: bool = False) -> Pair:
        """The clause, on wish with its time in front, and what comes after its last word in both languages."""
        if not clause.day or clause.day.german == "oft" or not day_first:
            return finished(f"{clause.german()} {end.german}", f"{clause.english()} {end.english}")
        return finished(
            f"{clause.german('day')} {end.german}", f"{english_of(clause.day)} {clause.english(['day'])} {end.english}"
        )

    def condition(self) -> Pair:
        """What somebody will do if: wenn, before or after the main clause."""
        condition, names = self.rng.choice(list(lexicon.CONDITIONS.items()))
        clause = self.clause([self.verbs[name] for name in names.split()], "future", bare=True)
        fronted = self.chance(0.6)
        day = lexicon.TOMORROW if condition != "müde" and self.chance(0.5) else None
        topic = clause.subject if fronted else clause.subject.reference
        cause: Clause | State
        if condition == "regnen":
            cause = Clause(IT, lexicon.RAIN, "habitual", day=day)
        elif condition == "warm":
            cause = State(IT, Adverbial("warm", "warm"), day=day)
        else:
            if fronted:
                clause = replace(clause, subject=topic.reference)
            english = lexicon.ADJECTIVES.get(condition, "time")
            cause = State(topic, Adverbial(condition, english), day=day, has=condition == "Zeit")
        if fronted:
            return finished(
                f"wenn {cause.german_final()}, {clause.german('')}", f"if {cause.english()}, {clause.english()}"
            )
        return self._followed(clause, Pair(f", wenn {cause.german_final()}", f"if {cause.english()}"))

    def coordination(self) -> Pair:
        """Two clauses of one time, joined by und or aber."""
        tense = self.rng.choice(["past", "now"])
        joint = self.rng.choice([Pair(" und", ", and"), Pair(", aber", ", but")])
        both = (lexicon.TOGETHER, lexicon.TOGETHER) if joint.german == " und" else (lexicon.AWAY, lexicon.NOT_AWAY)
        first, second = (self.clause([self.verbs[name] for name in names], tense, bare=True) for names in both)
        if (
            not isinstance(second.subject, NounPhrase)
            or not isinstance(first.subject, NounPhrase)
            or same_noun(first.subject, second.subject)
            or first.verb is second.verb
            or not second.subject.noun.has("human")
        ):
            return self.coordination()
        if second.verb.infinitive == "arbeiten":
            second = replace(second, place=None)
        if tense == "past":
            first = replace(first, day=self.day(tense, near=True) if self.chance(0.6) else None)
        end = Pair(f"{joint.german} {second.german()}", f"{joint.english} {second.english()}")
        return self._followed(first, end, day_first=True)

    def schedule(self) -> Pair:
        """What happens at a certain hour."""
        clause = self.clause([self.verbs[name] for name in lexicon.CLOCKED], "past future habitual")
        if not clause.clock:
            return self.schedule()
        return self._followed(clause, Pair("", ""), self.chance(0.5))

    def number(self) -> Pair:
        """Ages and prices."""
        kind = self.rng.choice(["age", "price", "small price"])
        if kind == "age":
            person = self.noun_phrase("adult youth kin", definite=True)
            if person.plural:
                return self.number()
            years = self.numeral(*next(range_ for tags, *range_ in lexicon.AGES if person.noun.has(tags)))
            person = replace(person, adjective="")
            state = State(person, Adverbial(f"{years.german} Jahre alt", f"{years.english} years old"))
            if self.chance(0.3):
                return finished(f"ich glaube, dass {state.german_final()}", f"I think that {state.english()}")
            return finished(state.german(), state.english())
        thing = replace(self.noun_phrase("dear" if kind == "price" else "cheap", definite=True), determiner=THE)
        if thing.plural:
            return self.number()
        price = self.numeral()
        if kind == "small price":
            euros = self.rng.randint(2, 9)
            price = Pair(f"{euros},50", f"{euros}.50")
        return finished(
            f"{thing.german('nom')} kostet {price.german} Euro", f"{thing.english('nom')} costs {price.english} euros"
        )


def words_of(pair: Pair) -> list[str]:
    """The German and the English words of a pair, without the marks around them."""
    return [f"{side} {word.strip('.,?')}" for side, text in zip("de", pair, strict=True) for word in text.split()]


def draw_splits(grammar: Grammar, sizes: dict[str, int]) -> Iterator[tuple[str, list[Pair]]]:
    """Draws the splits in turn, no German sentence twice.

    What comes after the first split uses only words that the first has seen often enough to learn them.
    """
    translations: dict[str, str] = {}
    counts: Counter[str] = Counter()
    enough = 0  # for the first split; then in proportion to it, 5 for 4,000 pairs
    for name, size in sizes.items():
        pairs: list[Pair] = []
        while len(pairs) < size:
            pair = grammar.sentence()
            if pair.german in translations:
                assert translations[pair.german] == pair.english, pair
            elif all(counts[word] >= enough for word in words_of(pair)):
                translations[pair.german] = pair.english
                pairs.append(pair)
        if not counts:
            counts.update(word for pair in pairs for word in words_of(pair))
            enough = min(5, size // 800)
        yield name, pairs


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Write a German-English corpus drawn from a small grammar.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where train, valid and test (.de and .en) go")
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices")
    parser.add_argument("--train", type=int, default=4000, metavar="N", help="pairs to train on")
    parser.add_argument("--valid", type=int, default=200, metavar="N", help="pairs to validate on")
    parser.add_argument("--test", type=int, default=200, metavar="N", help="pairs to test on")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    sizes = {"train": options.train, "valid": options.valid, "test": options.test}
    for name, pairs in draw_splits(Grammar(random.Random(options.seed)), sizes):
        for language, lines in (("de", [pair.german for pair in pairs]), ("en", [pair.english for pair in pairs])):
            text = "".join(f"{line}\n" for line in lines)
            (options.folder / f"{name}.{language}").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
