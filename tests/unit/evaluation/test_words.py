"""Pieces make the words that a reader sees, and attention between them is that of Clark et al. 2019, section 4.1."""

import pytest
import torch

from seq2seq.evaluation.words import Words, merged, readable
from seq2seq.text.tokenizer import Tokenizer

LINES = ["Ein Hund läuft schnell durch den Schnee .", "Zwei Hunde laufen .", "Der Schnee ist tief und kalt ."] * 3


@pytest.mark.parametrize(
    ("pieces", "texts", "owners"),
    [
        (["▁Ein", "▁Hund", "chen", "▁läuft", "</s>"], ["Ein", "Hundchen", "läuft", "</s>"], [0, 1, 1, 2, 3]),
        (["▁", "E", "i", "▁", "a"], ["Ei", "a"], [0, 0, 0, 1, 1]),  # characters: a space begins its word
        (["▁", "▁", "▁a", "▁", "</s>"], ["a", "</s>"], [0, 0, 0, 0, 1]),
        (["▁", "</s>"], ["</s>"], [0, 0]),
        (["▁"], [""], [0]),
        (["▁a", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "b"], ["a😀b"], [0] * 6),
        (["▁a", "<0xE3>", "<0x80>", "<0x80>", "b"], ["a", "b"], [0, 1, 1, 1, 1]),  # an ideographic space, in bytes
        (["<unk>", "▁a", "<unk>", "<unk>"], ["<unk>", "a", "<unk>", "<unk>"], [0, 1, 2, 3]),
        (["▁a", "</s>", "b"], ["a</s>b"], [0, 0, 0]),  # only the last is the end of sentence
        (["</s>"], ["</s>"], [0]),
        ([], [], []),
    ],
)
def test_words_begin_at_spaces(pieces, texts, owners):
    assert Words.of(pieces) == Words(texts, owners)


def test_scripts_without_spaces_are_parted_between_pieces_where_asked():
    pieces = ["▁我", "喜欢", "Jazz", "es", "。", "▁สวัสดี", "ครับ"]
    assert Words.of(pieces).texts == ["我喜欢Jazzes。", "สวัสดีครับ"]
    assert Words.of(pieces, unspaced=True).texts == ["我", "喜欢", "Jazzes。", "สวัสดี", "ครับ"]


@pytest.mark.parametrize("model_type", ["bpe", "unigram", "char"])
@pytest.mark.parametrize(
    "line", ["Zwei Hunde laufen .", "  der  tiefe\tSchnee 😀 ", "Ünbekannt 我 喜欢\u3000你", "<unk>x a <unk>,", "x"]
)
def test_they_are_the_words_that_split_finds(model_type, line):
    tokenizer = Tokenizer.train(LINES, model_type=model_type, vocab_size="auto")
    words = Words.of(tokenizer.pieces(tokenizer.encode(line)))
    assert words.texts == line.split()


def test_bytes_are_read_as_the_character_that_they_spell():
    euro = ["<0xE2>", "<0x82>", "<0xAC>"]
    assert readable(["▁", *euro, "a", *euro]) == [" ", "€", "", "", "a", "€", "", ""]
    assert readable([*euro[:2], "a"]) == ["\ufffd", "", "a"]
    assert readable(euro[:2]) == ["\ufffd", ""]
    assert readable(["<0x80>", *euro]) == ["\ufffd", "€", "", ""]
    assert readable([euro[0], *euro]) == ["\ufffd", "€", "", ""]


def test_attention_is_summed_over_source_pieces_and_averaged_over_target_pieces():
    attention = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.0, 0.5, 0.5], [0.2, 0.2, 0.6]])
    target, source = Words(["a", "b"], [0, 0, 0, 1]), Words(["x", "y"], [0, 0, 1])
    expected = torch.tensor([[(0.3 + 0.6 + 0.5) / 3, (0.7 + 0.4 + 0.5) / 3], [0.4, 0.6]])
    torch.testing.assert_close(merged(attention, target, source), expected)


def test_the_same_by_loops_over_words():
    attention = torch.rand(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64).softmax(-1)
    target, source = Words(list("abc"), [0, 1, 1, 1, 2, 2, 2]), Words(list("wxyz"), [0, 1, 1, 2, 3])
    for row, column in ((row, column) for row in range(3) for column in range(4)):
        of_row = [i for i, owner in enumerate(target.owners) if owner == row]
        of_column = [j for j, owner in enumerate(source.owners) if owner == column]
        expected = sum(float(attention[i, j]) for i in of_row for j in of_column) / len(of_row)
        assert float(merged(attention, target, source)[row, column]) == pytest.approx(expected)
    torch.testing.assert_close(merged(attention, target, source).sum(1), torch.ones(3, dtype=torch.float64))


def test_pieces_that_are_words_keep_their_attention():
    attention = torch.eye(3)
    words = Words.of(["▁a", "▁b", "</s>"])
    assert torch.equal(merged(attention, words, words), attention)
