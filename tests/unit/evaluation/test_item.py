"""Lines of JSON: what they may say, and the pieces of the words that they name."""

import json

import pytest

from seq2seq.errors import DataError
from seq2seq.evaluation.focus import focus_bias, occurrences
from seq2seq.evaluation.item import Item
from seq2seq.text.tokenizer import Tokenizer

TEXT = "Der Hund, der hundert Hunde sah, war ein Hund."


def read(content, number=3):
    return Item.from_json(json.dumps(content), number)


# --- items


def test_all_fields_and_their_defaults():
    assert read({"text": "a b"}) == Item("a b", "", (), 1.0)
    full = {"text": "a b", "prefix": "c", "focus": ["b", "a b"], "strength": -2}
    assert read(full) == ("a b", "c", ("b", "a b"), -2)
    assert read({"text": "a b", "focus": ["b"]}).strength == 1.0
    assert read({"text": "a", "focus": [], "strength": 0}).focus == ()
    assert read({"text": "a\nb", "prefix": "c\nd", "focus": ["a\nb"]}) == ("a b", "c d", ("a b",), 1.0)
    assert Item.from_json("  \t", 1) == Item.from_json("", 1) == Item("")


TEXT_WORDS = 'a string, such as "Das Buch ist alt."'
PREFIX_WORDS = 'a string, such as "The book"'
FOCUS_WORDS = 'a list of words, such as ["Buch"]'


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"text": 1}, f"text must be {TEXT_WORDS}"),
        ({"text": None}, f"text must be {TEXT_WORDS}"),
        ({"text": "a", "prefix": 1}, f"prefix must be {PREFIX_WORDS}"),
        ({"text": "a", "focus": "a"}, f"focus must be {FOCUS_WORDS}"),
        ({"text": "a", "focus": [1]}, f"focus must be {FOCUS_WORDS}"),
        ({"text": "a", "focus": None}, f"focus must be {FOCUS_WORDS}"),
        ({"text": "a", "focus": ["a"], "strength": "2"}, "strength must be a number, such as 2.0 or -2.0"),
        ({"text": "a", "focus": ["a"], "strength": True}, "strength must be a number, such as 2.0 or -2.0"),
        ({"text": "a", "focus": ["a"], "strength": None}, "strength must be a number, such as 2.0 or -2.0"),
        ({"text": "a", "prefx": "b"}, "unknown key 'prefx': did you mean prefix?"),
        ({"text": "a", "x\ny": "b"}, "unknown key 'x\\ny'; allowed are text, prefix, focus, strength"),
        ({"prefix": "a"}, "text is missing: the line to translate"),
    ],
    ids=json.dumps,
)
def test_a_fault_names_its_field_and_what_that_must_be(content, fault):
    with pytest.raises(DataError) as raised:
        read(content)
    assert str(raised.value) == f"line 3: {fault}"


def test_all_faults_of_a_line_come_at_once():
    with pytest.raises(DataError) as raised:
        read({"txt": "a", "prefix": [], "strength": 2})
    assert str(raised.value).splitlines() == [
        "line 3: unknown key 'txt': did you mean text?",
        "line 3: text is missing: the line to translate",
        f"line 3: prefix must be {PREFIX_WORDS}",
        "line 3: strength changes nothing without focus, a list of words of the text",
    ]


@pytest.mark.parametrize("content", [["a"], "a", 1, None, True], ids=json.dumps)
def test_what_is_no_object_is_refused_with_all_that_is_allowed(content):
    with pytest.raises(DataError) as raised:
        read(content)
    assert str(raised.value) == (
        'line 3: must be an object such as {"text": "...", "prefix": "...", "focus": ["..."], "strength": 1.0}, of '
        "which only text is needed"
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": ', "Expecting value at column 10"),
        ("a", "Expecting value at column 1"),
        ('{"text": "a', "Unterminated string starting at column 10"),
        ('{"text": "a"} b', "Extra data at column 15"),
        ('{"text": ' + "1" * 5000 + "}", "a number has too many digits"),
        ("[" * 100_000, "too many lists or objects inside each other"),
        ('{"a":' * 100_000, "too many lists or objects inside each other"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_json_is_refused(line, reason):
    with pytest.raises(DataError) as raised:
        Item.from_json(line, 7)
    assert str(raised.value) == f"line 7: not valid JSON ({reason}); input_format=text reads plain lines"


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_a_blank_text_has_no_prefix(text):
    with pytest.raises(DataError) as raised:
        read({"text": text, "prefix": "The"})
    assert str(raised.value) == (
        "line 3: a prefix needs a text, for the translation of a blank text is blank; give a text, or leave the "
        "prefix out"
    )
    assert read({"text": text, "prefix": ""}).text.strip() == ""


def test_a_prefix_is_no_book():
    assert read({"text": "a", "prefix": "b" * 10_000}).prefix == "b" * 10_000
    with pytest.raises(DataError) as raised:
        read({"text": "a", "prefix": "b" * 10_001})
    assert str(raised.value) == "line 3: prefix has 10,001 characters, and at most 10,000 are allowed; shorten it"


@pytest.mark.parametrize("strength", ["NaN", "Infinity", "-Infinity", "1e39", "1" + "0" * 400])
def test_a_strength_that_is_not_finite_is_refused(strength):
    with pytest.raises(DataError, match=r"^line 2: strength must be a finite number such as 2\.0 or -2\.0, not "):
        Item.from_json(f'{{"text": "a", "focus": ["a"], "strength": {strength}}}', 2)


def test_a_strength_alone_is_refused():
    with pytest.raises(DataError) as raised:
        read({"text": "a", "strength": 2})
    assert str(raised.value) == "line 3: strength changes nothing without focus, a list of words of the text"


@pytest.mark.parametrize("word", ["Hun", "hund", "unde", "Der Hund sah", "ah", "Katze"])
def test_a_word_that_is_not_there_is_refused(word):
    with pytest.raises(DataError) as raised:
        read({"text": TEXT, "focus": ["Hund", word]})
    assert str(raised.value) == (
        f'line 3: the focus "{word}" is not in the text as a whole word; spell it as it stands there (case counts), or '
        "leave it out"
    )


def test_an_empty_word_is_refused():
    for word in ("", "  "):
        with pytest.raises(DataError, match=r"^line 3: focus has an empty word; leave it out$"):
            read({"text": TEXT, "focus": [word]})


# --- where words stand


@pytest.mark.parametrize(
    ("line", "word", "starts"),
    [
        (TEXT, "Hund", [4, 41]),
        (TEXT, "der", [10]),
        (TEXT, "Hund,", [4]),
        (TEXT, ",", [8, 31]),
        (TEXT, "ein Hund", [37]),
        (TEXT, TEXT, [0]),
        ("a a a", "a a", [0, 2]),  # also where they overlap
        ("Tür 1 11 T1", "1", [4]),
        ("l'eau d'eau", "eau", [2, 8]),
        ("cafe\u0301 cafe", "cafe", [6]),  # the first has an accent of its own
        ("cafe\u0301", "cafe\u0301", [0]),
        ("(Hund) [Hund]", "Hund", [1, 8]),
        ("a.c abc", "a.c", [0]),  # no pattern
        ("我喜欢猫和狗", "猫", [3]),  # written without spaces
        ("แมวกินปลา", "กิน", [3]),
        ("Straße Strasse", "Straß", []),
        ("snake_case case", "case", [6, 11]),
        ("", "a", []),
    ],
)
def test_whole_words(line, word, starts):
    assert occurrences(line, word) == [(start, start + len(word)) for start in starts]


# --- their pieces


@pytest.fixture(scope="module")
def tokenizers():
    lines = [TEXT, "Die Hunde sahen hundert Katzen .", "der Hund , ein Hund"] * 5
    return {kind: Tokenizer.train(lines, model_type=kind, vocab_size="auto") for kind in ("bpe", "char", "word")}


def raised(tokenizer, line, words, strength=1.5):
    """The pieces that a focus raises."""
    bias = focus_bias(line, words, strength, tokenizer)
    pieces = tokenizer.pieces(tokenizer.encode(line))
    assert len(bias) == len(pieces)
    assert set(bias) <= {0.0, strength}
    return [piece for piece, number in zip(pieces, bias, strict=True) if number]


def test_characters_of_a_word_are_raised_and_no_others(tokenizers):
    char = tokenizers["char"]
    assert "".join(raised(char, TEXT, ["Hund"])) == "HundHund"
    assert focus_bias("der Hund", ["Hund"], -2.0, char) == [0.0] * 5 + [-2.0] * 4  # the first stands before the line
    assert "".join(raised(char, TEXT, ["der", "war ein"])) == "derwar▁ein"
    assert raised(char, "der 😀 x", ["😀"]) == ["<0xF0>", "<0x9F>", "<0x98>", "<0x80>"]
    assert raised(char, "x\u2581y Hund", ["Hund"]) == [*"Hund"]  # behind a character that had to be escaped


@pytest.mark.parametrize("line", [TEXT, "  Hund,  der\u2581 Hund\u2581", "😀Hund 漢字 Hund", "Hund"])
@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_subwords_of_a_word_are_raised_wherever_it_stands(tokenizers, kind, line):
    text = "".join(raised(tokenizers[kind], line, ["Hund"]))
    assert text.replace("▁", "").replace(",", "").replace(".", "") == "Hund" * len(occurrences(line, "Hund"))


def test_words_of_a_word_model_known_or_not(tokenizers):
    word = tokenizers["word"]
    assert raised(word, "ein Kamel und ein Hund", ["Hund"]) == ["▁Hund"]
    assert raised(word, "ein Kamel , ein Hund", ["Kamel"]) == ["<unk>"]
    assert raised(word, TEXT, ["hundert"]) == ["▁hundert"]
    assert raised(word, TEXT, ["Hund"]) == ["▁Hund,", "▁Hund."]  # a piece is raised whole


def test_a_piece_of_two_words_of_the_focus_is_raised_once(tokenizers):
    assert focus_bias("ein Hund", ["Hund", "ein Hund", "Hund"], 2.0, tokenizers["word"]) == [2.0, 2.0]
