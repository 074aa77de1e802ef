"""The round trip, the vocabulary sizes, and the messages about them."""

import logging
import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seq2seq.errors import ConfigError, DataError
from seq2seq.text import tokenizer as module
from seq2seq.text.tokenizer import Tokenizer

WORDS = ["der", "die", "das", "Hund", "Katze", "Tür", "größte", "läuft", "über", "unter", "zwölf", ",", ".", "Straße"]
LOSSLESS = ("bpe", "unigram", "char")
SPACE = "\u2581"
NASTY = [
    " ",
    "  ",
    "\t",
    "\0",
    "\r",
    "\ufeff",
    "\u2028",
    "\x85",
    "\u00a0",
    "漢",
    "😀",
    "e\u0301",
    "\U0010ffff",
    "\ufffd",
]
NASTY += [SPACE, "\u2585", "\ue581", "_", "="]  # what is escaped, and what it is escaped with
NASTY += ["<s>", "</s>", "<unk>", "<pad>", "<0x41>", "<", ">", "der", "Hund"]

lines_of_any_text = st.one_of(
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])),
    st.lists(st.sampled_from(NASTY)).map("".join),
)
several_examples = settings(
    max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def sentences(count: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(3, 9))) for _ in range(count)]


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    lines = sentences(200)
    return {kind: Tokenizer.train(lines, model_type=kind, vocab_size="auto") for kind in (*LOSSLESS, "word")}


# --- text in, text out


@pytest.mark.parametrize("kind", LOSSLESS)
@given(line=lines_of_any_text)
@several_examples
def test_any_line_comes_back_exactly(tokenizers: dict[str, Tokenizer], kind: str, line: str) -> None:
    tokenizer = tokenizers[kind]
    ids = tokenizer.encode(line)
    assert tokenizer.decode(ids) == line
    assert tokenizer.encode_batch([line, "x", line]) == [ids, tokenizer.encode("x"), ids]
    assert not {0, 1, 2, 3} & set(ids)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_nasty_lines_come_back_exactly_and_never_as_specials(tokenizers: dict[str, Tokenizer], kind: str) -> None:
    for line in ["", *NASTY, *(f" {piece} " for piece in NASTY), "".join(NASTY), "\ue581_", "\ue581\ue581_", SPACE * 3]:
        ids = tokenizers[kind].encode(line)
        assert tokenizers[kind].decode(ids) == line
        assert not {0, 1, 2, 3} & set(ids), line


@pytest.mark.parametrize("kind", LOSSLESS)
def test_the_text_it_was_trained_on_may_hold_anything(kind: str) -> None:
    lines = [*sentences(30), "".join(NASTY), *NASTY, "\ud800", "\u2585 block \u2585", "", "   "]
    tokenizer = Tokenizer.train(lines, model_type=kind, vocab_size="auto", character_coverage=1.0)
    for line in lines:
        assert tokenizer.decode(tokenizer.encode(line)) == line.replace("\ud800", "\ufffd")
    assert len(tokenizer.encode("\u2585")) <= 3  # space, escape, mark: lines with U+2585 were learned from, not skipped


@pytest.mark.parametrize("vocab_size", [261, 263, 266])
def test_a_char_model_without_room_for_the_space_still_gives_text_back(vocab_size: int) -> None:
    tokenizer = Tokenizer.train(["abcdefghij" * 100], model_type="char", vocab_size=vocab_size)
    assert tokenizer.vocab_size == vocab_size
    for line in ["abc", " a b ", "", "   ", SPACE, "ü"]:
        assert tokenizer.decode(tokenizer.encode(line)) == line


def test_lone_surrogates_become_the_replacement_character(tokenizers: dict[str, Tokenizer]) -> None:
    assert tokenizers["bpe"].decode(tokenizers["bpe"].encode("a\ud800b\udfff")) == "a\ufffdb\ufffd"


def test_word_knows_words_and_marks_the_others(tokenizers: dict[str, Tokenizer]) -> None:
    word = tokenizers["word"]
    assert len(word.encode("der  Hund läuft ")) == 3
    assert word.decode(word.encode("der  Hund läuft ")) == "der Hund läuft"
    assert word.encode("Kamel der Kamel")[0] == word.encode("Kamel der Kamel")[2] == word.unk_id == 0
    assert word.decode(word.encode("Kamel der Kamel")) == "<unk> der <unk>"
    assert word.decode([word.bos_id, word.unk_id, word.eos_id]) == "<unk>"


def test_any_ids_decode_to_something(tokenizers: dict[str, Tokenizer]) -> None:
    for kind, tokenizer in tokenizers.items():
        chance = random.Random(kind)
        for _ in range(200):
            ids = chance.choices(range(tokenizer.vocab_size), k=chance.randint(0, 8))
            assert SPACE not in tokenizer.decode(ids).replace("\ue581_", "")
            assert len(tokenizer.pieces(ids)) == len(ids)
        assert tokenizer.decode([1, 2, 3]) == ""
    bpe = tokenizers["bpe"]
    spelled = bpe.pieces(range(bpe.vocab_size))
    assert bpe.decode([spelled.index("<0xC3>"), spelled.index("<0x41>")]) == "\ufffdA"  # a character cut short


def test_pieces_are_readable(tokenizers: dict[str, Tokenizer]) -> None:
    word, char = tokenizers["word"], tokenizers["char"]
    assert word.pieces(word.encode("der Hund")) == [f"{SPACE}der", f"{SPACE}Hund"]
    assert char.pieces([*char.encode("Tür"), 2]) == [SPACE, "T", "ü", "r", "</s>"]
    lines = [*sentences(20), f"a{SPACE}b"] * 3
    escaping = Tokenizer.train(lines, model_type="unigram", vocab_size="auto", character_coverage=1.0)
    assert "\ue581_" not in "".join(escaping.pieces(range(escaping.vocab_size)))


# --- sizes


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_vocab_size_is_exact_up_to_the_largest_that_the_message_names(kind: str) -> None:
    lines = ["ab abc abd bcd", "xyz xy", "zxy abcd"] * 5
    characters = set("".join(lines).replace(" ", SPACE))
    smallest = 4 + 256 + len(characters)

    def size(wished: int) -> int:
        return Tokenizer.train(lines, model_type=kind, vocab_size=wished, character_coverage=1.0).vocab_size

    def is_given(wished: int) -> bool:
        try:
            return size(wished) == wished
        except ConfigError:
            return False

    most = next(wished for wished in range(smallest, 400) if not is_given(wished + 1))
    assert smallest < most == size(most)
    for too_large in (most + 1, 5000):
        with pytest.raises(ConfigError) as raised:
            size(too_large)
        assert str(raised.value) == (
            f"tokenizer.vocab_size={too_large} is more than this text can give: at most {most}; "
            f"set tokenizer.vocab_size={most} or auto"
        )
    for too_small in (smallest - 1, 0):
        with pytest.raises(ConfigError) as raised:
            size(too_small)
        assert str(raised.value) == (
            f"tokenizer.vocab_size={too_small} is too small for tokenizer={kind} and this text: "
            f"at least {smallest}; set tokenizer.vocab_size={smallest} or auto"
        )


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_every_size_between_the_limits_is_given_exactly(kind: str) -> None:
    chance = random.Random(5)
    lines = ["".join(chance.choices("abcdeilnrst ", k=40)) for _ in range(60)]
    with pytest.raises(ConfigError) as raised:
        Tokenizer.train(lines, model_type=kind, vocab_size=100_000)
    most = int(re.findall(r"at most (\d+)", str(raised.value))[0])
    for wished in [*range(280, most, max(1, (most - 280) // 15)), most]:
        assert Tokenizer.train(lines, model_type=kind, vocab_size=wished).vocab_size == wished


def test_auto_follows_the_number_of_words(caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(0)
    lines = [" ".join("".join(chance.choices("abcdefgh", k=6)) for _ in range(10)) for _ in range(700)]
    with caplog.at_level(logging.INFO, "seq2seq"):
        tokenizer = Tokenizer.train(lines, model_type="bpe", vocab_size="auto")
    assert tokenizer.vocab_size == 1700  # 8000 * (7,000 / 700,000) ** (1 / 3) = 1723.5
    assert caplog.messages == ["tokenizer.vocab_size=auto: 1700 pieces from 7000 words (this text)"]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_auto_has_room_for_many_characters_and_takes_what_little_text_gives(kind: str) -> None:
    chance = random.Random(0)
    phrases = ["".join(chance.choices([chr(0x4E00 + k) for k in range(100)], k=3)) for _ in range(900)]
    chinese = ["".join(chance.choices(phrases, k=20)) for _ in range(400)]
    model = Tokenizer.train(chinese, model_type=kind, vocab_size="auto", character_coverage=1.0)
    assert model.vocab_size == 2 * (4 + 256 + 101)  # 100 characters and the space; 400 words alone would make it 700
    little = Tokenizer.train(["a"], model_type=kind, vocab_size="auto")
    assert 262 <= little.vocab_size <= 263


def test_char_and_word_take_vocab_size_as_a_ceiling(caplog: pytest.LogCaptureFixture) -> None:
    lines = sentences(200)
    characters = 4 + 256 + len(set(SPACE + "".join(lines).replace(" ", "")))
    words = 4 + len({word for line in lines for word in line.split()})
    for kind, available in (("char", characters), ("word", words)):
        with caplog.at_level(logging.INFO, "seq2seq"):
            assert (
                Tokenizer.train(lines, model_type=kind, vocab_size=9000, character_coverage=1).vocab_size == available
            )
        assert caplog.messages == [f"tokenizer.vocab_size=9000 reduced to {available}, all that this text gives"]
        caplog.clear()
        with caplog.at_level(logging.INFO, "seq2seq"):
            auto = Tokenizer.train(lines, model_type=kind, vocab_size="auto", character_coverage=1)
        assert auto.vocab_size == available
        assert caplog.messages == [f"tokenizer.vocab_size=auto: {available} pieces (this text)"]
        caplog.clear()
        less = Tokenizer.train(lines, model_type=kind, vocab_size=available - 3, character_coverage=1)
        assert less.vocab_size == available - 3
        assert caplog.messages == []


@pytest.mark.parametrize(("kind", "smallest"), [("char", 261), ("word", 5)])
def test_a_ceiling_too_low_for_anything_is_refused(kind: str, smallest: int) -> None:
    with pytest.raises(ConfigError) as raised:
        Tokenizer.train(["ab c"], model_type=kind, vocab_size=smallest - 1)
    assert str(raised.value) == (
        f"tokenizer.vocab_size={smallest - 1} is too small for tokenizer={kind} and this text: at least {smallest}; "
        f"set tokenizer.vocab_size={smallest} or auto"
    )
    assert Tokenizer.train(["ab c"], model_type=kind, vocab_size=smallest).vocab_size == smallest


# --- training


@pytest.mark.parametrize("kind", [*LOSSLESS, "word"])
def test_the_same_lines_give_the_same_model_with_any_seed(kind: str) -> None:
    lines = sentences(150)
    first = Tokenizer.train(lines, model_type=kind, vocab_size="auto")
    second = Tokenizer.train(tuple(lines), model_type=kind, vocab_size="auto", seed=9)
    assert first.digest == second.digest


def test_large_corpora_are_sampled_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLED_LINES", 50)
    lines = [chr(0x4E00 + i) for i in range(120)]  # each line has a character of its own

    def learned(seed: int) -> set[str]:
        model = Tokenizer.train(lines, model_type="char", vocab_size="auto", character_coverage=1.0, seed=seed)
        return set(model.pieces(range(model.vocab_size))) & set(lines)

    assert len(learned(1)) == 50
    assert learned(1) == learned(1) != learned(2)


def test_long_lines_are_learned_from() -> None:
    tokenizer = Tokenizer.train(["kurz", "Q" + "lang " * 20_000], model_type="char", vocab_size="auto",
                                character_coverage=1.0)  # fmt: skip
    assert "Q" in tokenizer.pieces(range(tokenizer.vocab_size))


@pytest.mark.parametrize("lines", [[], ["", "  ", "\t"]])
def test_no_text_is_an_error(lines: list[str]) -> None:
    with pytest.raises(DataError) as raised:
        Tokenizer.train(lines, model_type="bpe", vocab_size="auto")
    assert str(raised.value) == "no tokenizer can be trained on this text: every line is empty"


def test_sentencepiece_keeps_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError):
        Tokenizer.train(sentences(20), model_type="bpe", vocab_size=10)
    tokenizer = Tokenizer.train(sentences(20), model_type="unigram", vocab_size="auto")
    tokenizer.decode(tokenizer.encode("neu"))
    assert capfd.readouterr() == ("", "")


# --- pieces drawn anew


@pytest.mark.parametrize(("kind", "alpha"), [("bpe", 0.2), ("unigram", 0.3)])
def test_drawn_pieces_spell_the_same_text_and_follow_from_the_seed(
    tokenizers: dict[str, Tokenizer], kind: str, alpha: float
) -> None:
    tokenizer, lines = tokenizers[kind], [*sentences(50, seed=3), "", "  ", "漢 <s> \u2581"]
    drawn = tokenizer.sample_batch(lines, alpha, seed=1)
    assert [tokenizer.decode(ids) for ids in drawn] == lines
    assert drawn != tokenizer.encode_batch(lines)
    assert tokenizer.sample_batch(lines, alpha, seed=2) != drawn
    assert tokenizer.sample_batch(lines, alpha, seed=1) == drawn


def test_bpe_dropout_leaves_a_merge_out_with_its_probability() -> None:
    """Provilkov et al. (2020), by hand on a word of three characters that two ways of two merges make one piece."""
    tokenizer = Tokenizer.train(["ab"] * 50, model_type="bpe", vocab_size="auto")
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    assert {SPACE + "a", "ab", SPACE + "ab"} <= set(pieces)
    merged, lines = tokenizer.encode("ab"), ["ab"] * 20_000
    assert len(merged) == 1
    for p in (0.1, 0.4):
        drawn = tokenizer.sample_batch(lines, p, seed=5)
        whole = sum(ids == merged for ids in drawn) / len(drawn)
        # Both merges of one way; or its first is left out, and both of the other way are made.
        assert whole == pytest.approx((1 - p) ** 2 + p * (1 - p) ** 2, abs=5 * (0.25 / len(lines)) ** 0.5)


def test_unigram_draws_by_the_pieces_probabilities() -> None:
    """Kudo (2018), 3.2: P(x)^alpha over all segmentations, so that a large alpha finds the best one alone."""
    tokenizer = Tokenizer.train(sentences(200), model_type="unigram", vocab_size="auto")
    lines = sentences(20, seed=9)
    assert tokenizer.sample_batch(lines, 50.0, seed=1) == tokenizer.encode_batch(lines)
    few, many = (sum(map(len, tokenizer.sample_batch(lines, alpha, seed=1))) for alpha in (1.0, 0.1))
    assert few < many


def test_a_model_knows_its_kind(tokenizers: dict[str, Tokenizer]) -> None:
    assert {kind: tokenizer.kind for kind, tokenizer in tokenizers.items()} == {kind: kind for kind in tokenizers}
