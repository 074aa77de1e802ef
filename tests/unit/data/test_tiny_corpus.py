"""The corpus in data/tiny: its generator reproduces it, the splits are clean, and the languages agree.

What is asserted about grammar is read off the text itself, with tables written here and not with the generator's.
"""

import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SIZES = {"train": 4000, "valid": 200, "test": 200}
FILES = [f"{split}.{language}" for split in SIZES for language in ("de", "en")]
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
WEEKDAYS = {
    "Montag": "Monday",
    "Dienstag": "Tuesday",
    "Mittwoch": "Wednesday",
    "Donnerstag": "Thursday",
    "Freitag": "Friday",
    "Samstag": "Saturday",
    "Sonntag": "Sunday",
}
HOURS = {
    "ein": "one",
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
ADJECTIVE = r"(?:(?:alt|freundlich|groß|interessant|jung|klein|krank|nett|neu|rot|schön)en? )?"
# What a singular subordinate clause may end in besides a present in -t.
FINITE = {"bin", "bist", "habe", "hast", "ist", "kann", "kannst", "muss", "musst", "war", "warst", "will", "willst"}


def lines(name: str, folder: Path = ROOT / "data" / "tiny") -> list[str]:
    text = (folder / name).read_bytes().decode("utf-8")
    assert text.endswith("\n")
    assert "\r" not in text
    return text[:-1].split("\n")


@pytest.fixture(scope="module")
def splits() -> dict[str, list[tuple[str, str]]]:
    return {name: list(zip(lines(f"{name}.de"), lines(f"{name}.en"), strict=True)) for name in SIZES}


@pytest.fixture(scope="module")
def pairs(splits: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str]]:
    return [pair for split in splits.values() for pair in split]


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch):
    script = ROOT / "scripts" / "make_tiny_corpus.py"
    monkeypatch.syspath_prepend(str(script.parent))
    spec = importlib.util.spec_from_file_location("make_tiny_corpus", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def found(pattern: str, pairs: list[tuple[str, str]], least: int = 20) -> list[tuple[re.Match[str], str, str]]:
    """All matches in the German sides, with both sides; too few of them would make a test say nothing."""
    matches = [(match, german, english) for german, english in pairs for match in re.finditer(pattern, german)]
    assert len(matches) >= least
    return matches


def words(sentence: str) -> list[str]:
    return re.findall(r"[\w,.-]*\w", sentence)


def test_generator_reproduces_the_committed_files(generator, tmp_path: Path) -> None:
    generator.main([str(tmp_path / "tiny")])
    for name in FILES:
        assert (tmp_path / "tiny" / name).read_bytes() == (ROOT / "data" / "tiny" / name).read_bytes(), name


def test_generator_takes_sizes_and_seed(generator, tmp_path: Path) -> None:
    sizes = ["--train", "30", "--valid", "5", "--test", "0"]
    for seed in ("1", "2"):
        generator.main([str(tmp_path / seed), "--seed", seed, *sizes])
    assert [len(lines(name, tmp_path / "1")) for name in FILES[:4]] == [30, 30, 5, 5]
    assert (tmp_path / "1" / "test.de").read_bytes() == b""
    assert lines("train.de", tmp_path / "1") != lines("train.de", tmp_path / "2")


def test_sizes(splits: dict[str, list[tuple[str, str]]]) -> None:
    assert {name: len(split) for name, split in splits.items()} == SIZES


def test_no_german_sentence_occurs_twice(pairs: list[tuple[str, str]]) -> None:
    repeated = [german for german, count in Counter(german for german, _ in pairs).items() if count > 1]
    assert repeated == []


def test_translation_is_a_function_of_the_source(generator) -> None:
    """The same source, drawn again and again by different seeds, has the one translation."""
    import random

    translations: dict[str, str] = {}
    repetitions = 0
    for seed in range(4):
        grammar = generator.Grammar(random.Random(seed))
        for _ in range(4000):
            german, english = grammar.sentence()
            repetitions += german in translations
            assert translations.setdefault(german, english) == english
    assert repetitions > 500


@pytest.mark.parametrize("side", [0, 1])
def test_words_held_out_are_frequent_in_training(splits: dict[str, list[tuple[str, str]]], side: int) -> None:
    counts = Counter(word for pair in splits["train"] for word in words(pair[side]))
    for name in ("valid", "test"):
        rare = {word for pair in splits[name] for word in words(pair[side]) if counts[word] < 5}
        assert rare == set()


def test_sentences_are_of_moderate_length(pairs: list[tuple[str, str]]) -> None:
    lengths = [len(german.split()) for german, _ in pairs]
    assert min(lengths) >= 4
    assert max(lengths) <= 22
    assert 8 <= sum(lengths) / len(lengths) <= 10


def test_every_line_is_one_clean_sentence(pairs: list[tuple[str, str]]) -> None:
    for pair in pairs:
        for text in pair:
            assert re.fullmatch(r"[A-ZÄÖÜ][\wäöüÄÖÜß ,.'-]*\w[.?]", text), text
            assert not re.search(r"  | ,|,,| \.|,[.?]", text), text
        assert pair[0][-1] == pair[1][-1], pair


@pytest.mark.parametrize("conjunction", ["weil", "obwohl", "dass", "ob"])
def test_subordinate_clauses_end_in_the_finite_verb(pairs: list[tuple[str, str]], conjunction: str) -> None:
    # The commas and stops of a date do not end the clause; the next comma or full stop does.
    clause = rf", {conjunction} ((?:, dem \d+\. \w+,?|\d\.|[^,.?])+)[,.?]"
    for match, german, _ in found(clause, pairs):
        last = match[1].split()[-1]
        assert last in FINITE or last in {"sind", "waren"} or last.endswith(("t", "en")), german
        assert last not in {"gestern", "morgen", "an", "auf"}, german
        assert not re.search(r"(gegangen|gefahren|angerufen|eingeladen|gesehen|getroffen|geholfen)$", last), german


def test_clauses_of_one_person_end_in_a_singular_verb(pairs: list[tuple[str, str]]) -> None:
    for match, german, _ in found(r", (?:weil|obwohl) (?:er|es|ich|du) ([^,.]+)\.", pairs):
        assert match[1].split()[-1] in FINITE or match[1].endswith("t"), german


def test_weil_clauses_end_in_a_verb_of_state_or_weather(pairs: list[tuple[str, str]]) -> None:
    for match, german, english in found(r", weil ([^,.]+)\.", pairs):
        assert match[1].split()[-1] in {"ist", "sind", "bin", "bist", "war", "waren", "warst", "regnet", "hat"}, german
        assert " because " in english, english


def test_dates_put_the_day_after_the_month_in_english(pairs: list[tuple[str, str]]) -> None:
    for match, german, english in found(r"[Aa]m (\d+)\. (\w+) (\d{4})", pairs):
        day, month, year = match.groups()
        assert f"n {MONTHS[month]} {day}, {year}" in english, (german, english)
    for match, german, english in found(r"[Aa]m (\w+), dem (\d+)\. (\w+)", pairs):
        weekday, day, month = match.groups()
        assert f"n {WEEKDAYS[weekday]}, {MONTHS[month]} {day}" in english, (german, english)


def test_as_many_dates_on_either_side(pairs: list[tuple[str, str]]) -> None:
    for german, english in pairs:
        ordinals = re.findall(r"\b(\d+)\. [A-ZÄÖÜ]\w+", german)
        assert ordinals == re.findall(rf"(?:{'|'.join(MONTHS.values())}) (\d+)\b", english), (german, english)


def test_hours(pairs: list[tuple[str, str]]) -> None:
    german_hours = list(HOURS)
    for match, german, english in found(r"um halb (\w+)", pairs):
        before = HOURS[german_hours[german_hours.index(match[1]) - 1]]
        assert f"at half past {before}" in english, (german, english)
    for match, german, english in found(r"um Viertel (vor|nach) (\w+)", pairs):
        relation = {"vor": "to", "nach": "past"}[match[1]]
        assert f"at a quarter {relation} {HOURS[match[2]]}" in english, (german, english)
    for match, german, english in found(r"um (\w+) Uhr", pairs):
        assert f"at {HOURS[match[1]]} o'clock" in english, (german, english)


def test_the_unit_comes_first_in_german_and_last_in_english(pairs: list[tuple[str, str]]) -> None:
    for match, german, english in found(rf"\b({'|'.join(HOURS)})und({'|'.join(TENS)})\b", pairs):
        assert f"{TENS[match[2]]}-{HOURS[match[1]]}" in english, (german, english)


@pytest.mark.parametrize(
    ("participle", "base"),
    [
        ("angerufen", "call"),
        ("abgeholt", "pick"),
        ("eingeladen", "invite"),
        ("gekauft", "buy|bought"),
        ("gefahren", "travel"),
        ("gegangen", "go\\b|went"),
        ("geschrieben", "write|wrote"),
        ("geholfen", "help"),
    ],
)
def test_participles_have_their_auxiliary_and_their_verb(
    pairs: list[tuple[str, str]], participle: str, base: str
) -> None:
    auxiliaries = (
        {"ist", "sind", "bin", "bist"} if participle in ("gefahren", "gegangen") else {"hat", "haben", "habe", "hast"}
    )
    for _, german, english in found(rf"\b{participle}\b", pairs):
        assert auxiliaries & set(re.findall(r"\w+", german.lower())), german
        assert re.search(base, english), (german, english)


@pytest.mark.parametrize(
    ("preposition", "allowed"),
    [
        (
            "mit",
            {
                "dem",
                "der",
                "den",
                "denen",
                "einem",
                "einer",
                "meinem",
                "meiner",
                "seinem",
                "seiner",
                "ihrem",
                "ihrer",
                "mir",
                "ihm",
                "ihr",
                "uns",
            },
        ),
        ("für", {"meinen", "meine", "seinen", "seine", "ihren", "ihre"}),
        (
            "auf",
            {
                "den",
                "die",
                "das",
                "einen",
                "eine",
                "ein",
                "meinen",
                "meine",
                "seinen",
                "seine",
                "ihren",
                "ihre",
                "mich",
                "ihn",
                "sie",
                "uns",
            },
        ),
    ],
)
def test_cases_after_prepositions(pairs: list[tuple[str, str]], preposition: str, allowed: set[str]) -> None:
    numbers = rf"(?:(?:{'|'.join(HOURS)})und)?(?:{'|'.join(TENS)})"
    for match, german, _ in found(rf"\b{preposition} (\w+)(?: (Markt)\b)?", pairs):
        if match[2] or match[1] == "und" or re.fullmatch(numbers, match[1]):
            continue  # "auf dem Markt", "macht auf und", "für dreißig Euro"
        assert match[1] in allowed, german


@pytest.mark.parametrize(
    ("noun", "gender"),
    [
        ("Lehrerin", "f"),
        ("Tür", "f"),
        ("Zeitung", "f"),
        ("Arzt", "m"),
        ("Mantel", "m"),
        ("Zug", "m"),
        ("Buch", "n"),
        ("Hemd", "n"),
        ("Auto", "n"),
    ],
)
def test_articles_agree_with_the_gender(pairs: list[tuple[str, str]], noun: str, gender: str) -> None:
    articles = {"m": {"der", "den", "dem"}, "f": {"die", "der"}, "n": {"das", "dem"}}[gender]
    for match, german, _ in found(rf"\b([Dd](?:er|ie|as|en|em)) {ADJECTIVE}{noun}\b", pairs, least=5):
        assert match[1].lower() in articles, german


def test_weak_nouns_are_marked_outside_the_nominative(pairs: list[tuple[str, str]]) -> None:
    for match, german, _ in found(r"\b(?:den|dem|einen|einem) (?:\w+en )?(Student|Nachbar|Junge)(\w*)", pairs):
        assert match[1] + match[2] in {"Studenten", "Nachbarn", "Jungen"}, german


def test_english_chooses_a_or_an_by_the_next_sound(pairs: list[tuple[str, str]]) -> None:
    counts = Counter()
    for _, english in pairs:
        for article, initial in re.findall(r"\b([Aa]n?) (\w)", english):
            assert (article.lower() == "an") == (initial in "aeiou"), english
            counts[article.lower()] += 1
    assert min(counts["a"], counts["an"]) >= 20


def test_did_is_followed_by_the_base_form(pairs: list[tuple[str, str]]) -> None:
    past = {"bought", "sold", "found", "lost", "saw", "ate", "drank", "went", "wrote", "called", "repaired", "gave"}
    sentences = [english for _, english in pairs if re.search(r"\b[Dd]id\b", english)]
    assert len(sentences) >= 50
    for english in sentences:
        main = re.split(r",| that | who | because | although ", english)[0]
        if re.search(r"\b[Dd]id\b", main):
            assert not past & set(main.split()), english
