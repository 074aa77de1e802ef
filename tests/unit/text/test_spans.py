"""Characters of the line behind each piece, against spans counted from the pieces' own bytes."""

import io
import random

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seq2seq.text.tokenizer import Tokenizer

SPACE = "\u2581"
LOSSLESS = ("bpe", "unigram", "char")
LINES = ["der Hund läuft über die Straße", "die Katze schläft", "zwölf Hunde , eine Katze ."] * 5
NASTY = [
    " ",
    "  ",
    "\t",
    "\0",
    "漢",
    "😀",
    "e\u0301",
    "\ufffd",
    SPACE,
    "\u2585",
    "\ue581",
    "_",
    "=",
    "der",
    "Hund",
    "<s>",
]
ESCAPES = {SPACE: "\ue581_", "\u2585": "\ue581=", "\ue581": "\ue581\ue581"}

any_line = st.one_of(
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])),
    st.lists(st.sampled_from(NASTY)).map("".join),
)


def trained(**options: object) -> Tokenizer:
    """A model as SentencePiece trains it by default."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, hard_vocab_limit=False, minloglevel=2, **options
    )
    return Tokenizer(model.getvalue())


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    return {kind: Tokenizer.train(LINES, model_type=kind, vocab_size="auto") for kind in (*LOSSLESS, "word")}


@pytest.fixture(scope="module")
def theirs(
    tokenizers: dict[str, Tokenizer], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, sentencepiece.SentencePieceProcessor]:
    folder = tmp_path_factory.mktemp("models")
    for kind, tokenizer in tokenizers.items():
        tokenizer.save(folder / kind)
    return {kind: sentencepiece.SentencePieceProcessor(model_file=str(folder / kind)) for kind in tokenizers}


def counted(theirs: sentencepiece.SentencePieceProcessor, tokenizer: Tokenizer, line: str) -> list[tuple[int, int]]:
    """Spans of a model without normalisation: each piece takes as many bytes as it has, the first space none."""
    owners = [-1]  # the character behind each byte; -1 for the space that is put in front
    for i, character in enumerate(line):
        owners += [i] * len(ESCAPES.get(character, character).encode())
    spans, place = [], 0
    for piece in map(theirs.id_to_piece, tokenizer.encode(line)):
        size = 1 if piece.startswith("<0x") else len(piece.replace(SPACE, " ").encode())
        characters = [owner for owner in owners[place : place + size] if owner >= 0]
        spans.append((characters[0], characters[-1] + 1) if characters else (0, 0))
        place += size
    assert place == len(owners) or not line
    return spans


@pytest.mark.parametrize("kind", LOSSLESS)
@given(line=any_line)
@settings(max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_spans_are_the_bytes_of_each_piece(
    tokenizers: dict[str, Tokenizer], theirs: dict[str, sentencepiece.SentencePieceProcessor], kind: str, line: str
) -> None:
    expected = counted(theirs[kind], tokenizers[kind], line)
    # A character in bytes has its span at each of them, which is what counting says too.
    assert tokenizers[kind].spans(line) == expected


def test_spans_of_a_line_seen_by_eye(tokenizers: dict[str, Tokenizer]) -> None:
    char, word = tokenizers["char"], tokenizers["word"]
    assert char.pieces(char.encode("ü 😀")) == [SPACE, "ü", SPACE, "<0xF0>", "<0x9F>", "<0x98>", "<0x80>"]
    assert char.spans("ü 😀") == [(0, 0), (0, 1), (1, 2), *[(2, 3)] * 4]
    assert word.spans("der Hund") == [(0, 3), (3, 8)]
    assert word.spans("  die   Katze") == [(2, 5), (5, 13)]
    assert all(tokenizer.spans("") == [] for tokenizer in tokenizers.values())


def test_lone_surrogates_are_characters_too(tokenizers: dict[str, Tokenizer]) -> None:
    spans = tokenizers["char"].spans("a\ud800b")
    assert spans[-1] == (2, 3)
    assert set(spans[2:-1]) == {(1, 2)}


@pytest.mark.parametrize("kind", [*LOSSLESS, "word"])
def test_there_is_a_span_for_each_piece(tokenizers: dict[str, Tokenizer], kind: str) -> None:
    chance = random.Random(3)
    for _ in range(200):
        line = " ".join(chance.choices([*NASTY, "Kamel", "die"], k=chance.randint(0, 6)))
        spans = tokenizers[kind].spans(line)
        assert len(spans) == len(tokenizers[kind].encode(line))
        assert all(0 <= start <= end <= len(line) for start, end in spans)
        assert spans == sorted(spans)


def test_a_normalised_character_has_its_span_at_all_of_its_pieces() -> None:
    foreign = trained(vocab_size=40)  # nmt_nfkc, extra spaces removed
    line = "  der   \ufb01nd \uff28und der"  # a ligature of f and i, a full-width H
    pieces = foreign.pieces(foreign.encode(line))
    spans = foreign.spans(line)
    texts = [line[start:end] for start, end in spans]
    assert len(pieces) == len(spans)
    assert "".join(pieces) == "▁der▁find▁Hund▁der"
    both = pieces.index("f"), pieces.index("i")
    assert [texts[place] for place in both] == ["\ufb01", "\ufb01"]
    assert spans[pieces.index("▁Hund")] == (11, 16)
    assert texts[-1] == "r"
    assert {character for text in texts for character in text} == set(line)


def test_bytes_of_what_a_normalisation_made_of_a_character_have_its_span() -> None:
    foreign = trained(vocab_size=300, byte_fallback=True)
    assert foreign.pieces(foreign.encode("\u337f"))[0] == SPACE  # four letters of Han, none of them in the vocabulary
    spans = foreign.spans("\u337f")
    assert len(spans) == 1 + 4 * 3
    assert spans == [(0, 0), *[(0, 1)] * 12]
