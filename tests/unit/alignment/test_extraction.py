"""Links out of attention: argmax and threshold, EOS left out, steps shifted."""

import pytest
import torch

from seq2seq.alignment.extraction import Extraction
from seq2seq.alignment.links import parse
from seq2seq.evaluation.words import Words

SOURCE = Words.of(["▁Ein", "▁Hund", "chen", "</s>"])
TARGET = Words.of(["▁A", "▁small", "▁do", "g", "</s>"])
ATTENTION = torch.tensor(
    [
        [0.8, 0.1, 0.1, 0.0],  # A
        [0.4, 0.3, 0.3, 0.0],  # small: most of all to the word in two pieces
        [0.0, 0.5, 0.1, 0.4],  # do
        [0.9, 0.1, 0.0, 0.0],  # g: (do + g) / 2 = 0.45, 0.35, 0.2
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def links(attention=ATTENTION, target=TARGET, source=SOURCE, **options):
    return Extraction(**options).links(attention, target, source)


def test_each_target_word_is_linked_to_where_it_looks_most():
    assert links() == parse("0-0 1-1 0-2")


def test_the_threshold_links_all_that_is_looked_at_enough():
    assert links(method="threshold", threshold=0.34) == parse("0-0 0-1 1-1 0-2 1-2")
    assert links(method="threshold", threshold=0.5) == parse("0-0 1-1")
    assert links(method="threshold", threshold=0.95) == frozenset()


def test_a_word_that_looks_at_eos_alone_has_no_link():
    attention = torch.tensor([[0.0, 0.0, 1.0], [0.3, 0.1, 0.6], [0.0, 0.0, 1.0]])
    words = Words.of(["▁a", "▁b", "</s>"])
    assert links(attention, words, words) == parse("0-1")  # and 0.6 on EOS doesn't hide 0.3 on a word


def test_the_first_of_several_is_taken():
    words = Words.of(["▁a", "▁b", "</s>"])
    assert links(torch.tensor([[0.5, 0.5, 0.0]] * 3), words, words) == parse("0-0 0-1")


@pytest.mark.parametrize(("shift", "expected"), [(0, "0-0 1-1 2-2"), (1, "1-0 2-1 3-2"), (-1, "0-0 0-1 1-2")])
def test_the_attention_of_another_step(shift, expected):
    """Steps that attend to source words 0, 1, 2 and, writing EOS, 3."""
    attention = torch.zeros(4, 5)
    attention[torch.arange(4), torch.arange(4)] = 1.0
    target, source = Words.of(["▁a", "▁b", "▁c", "</s>"]), Words.of(["▁v", "▁w", "▁x", "▁y", "</s>"])
    assert links(attention, target, source, shift=shift) == parse(expected)


def test_the_shift_is_one_of_pieces():
    """Word 0 has two pieces: its links are those of pieces 1 and 2."""
    attention = torch.tensor([[1.0, 0, 0, 0], [0, 0.4, 0.6, 0], [0, 1.0, 0, 0], [0, 0, 0, 1.0]])
    target, source = Words.of(["▁a", "b", "▁c", "</s>"]), Words.of(["▁v", "▁w", "▁x", "</s>"])
    assert links(attention, target, source, shift=1) == parse("1-0")  # word 1 looks at EOS


def test_no_words_no_links():
    nothing = Words.of(["</s>"])
    assert links(torch.ones(1, 1), nothing, nothing) == frozenset()
    assert links(torch.ones(1, 4) / 4, nothing, SOURCE) == frozenset()
    assert links(torch.ones(5, 1), TARGET, nothing) == frozenset()
