"""What is added to the attention scores of a line's pieces."""

import logging
import math
import random

import pytest
import torch

from seq2seq.errors import DataError
from seq2seq.evaluation.searching import override
from seq2seq.evaluation.translator import Translator

SOURCES = ["der Hund sieht das Haus", "die Katze hört uns", "ein Kind findet den Weg nach Hause", "unser Nachbar"]
TARGETS = ["the dog sees the house", "the cat hears us", "a child finds the way home", "our neighbour"]
LINES = [*SOURCES, "uns", "das Haus sieht den Hund", SOURCES[1]]
PARTS = {"bpe, luong_general": ("bpe", "lstm", "luong_general"), "word, bahdanau": ("word", "gru", "bahdanau")}


@pytest.fixture(scope="module")
def translators(make_translator):
    parts = {**PARTS, "none": ("word", "gru", "none")}
    return {name: make_translator(SOURCES, TARGETS, *of_one) for name, of_one in parts.items()}


@pytest.fixture(params=PARTS)
def translator(request, translators):
    return translators[request.param]


@pytest.fixture
def words(translators):
    return translators["word, bahdanau"]


def having(translator, **search):
    changed = override(translator.search, search)
    return Translator(translator.model, translator.tokenizers, translator.limit, changed, translator.runtime)


def biases(translator, seed=0):
    """Numbers for each line's pieces, with EOS for every second line; none for the third."""
    chance = random.Random(seed)
    sizes = [len(translator.tokenizers.source.encode(line)) + i % 2 for i, line in enumerate(LINES)]
    return [None if i == 2 else [chance.uniform(-3, 3) for _ in range(size)] for i, size in enumerate(sizes)]


def test_weights_are_multiplied_by_its_exponential(translator):
    """At the first step, whose query no bias has changed: w_i exp(b_i) / sum_j w_j exp(b_j)."""
    given = biases(translator)
    plain = translator.translate(LINES, attention=True)
    biased = translator.translate(LINES, attention=True, attention_bias=given)
    for before, after, bias in zip(plain, biased, given, strict=True):
        numbers = torch.zeros(before.attention.shape[1])
        if bias is not None:
            numbers[: len(bias)] = torch.tensor(bias)
        mass = before.attention[0] * numbers.exp()
        torch.testing.assert_close(after.attention[0], mass / mass.sum(), atol=1e-5, rtol=1e-4)
        assert after.source_tokens == before.source_tokens


@pytest.mark.parametrize("search", [{}, {"sample": True, "n_best": 2}], ids=str)
def test_a_large_bias_holds_the_attention_at_every_step(translator, search):
    """In beam search and in sampling; a large negative one turns it away."""
    sizes = [len(translator.tokenizers.source.encode(line)) for line in LINES]
    held = [[100.0] + [0.0] * (size - 1) for size in sizes]
    for translation in having(translator, **search).translate(LINES, attention=True, attention_bias=held):
        for hypothesis in translation.hypotheses:
            assert hypothesis.attention[:, 0].min() > 0.999
    away = [[-100.0] * size for size in sizes]
    for translation in having(translator, **search).translate(LINES, attention=True, attention_bias=away):
        assert translation.attention[:, -1].min() > 0.999  # EOS alone is left


def test_nothing_is_changed_by_nothing(translator):
    sizes = [len(translator.tokenizers.source.encode(line)) for line in LINES]
    plain = translator.translate(LINES, attention=True)
    for nothing in ([None] * 7, [[]] * 7, [[0.0] * size for size in sizes], [[0.0] * (size + 1) for size in sizes]):
        for one, other in zip(plain, translator.translate(LINES, attention=True, attention_bias=nothing), strict=True):
            assert (one.text, one.score) == (other.text, other.score)
            assert torch.equal(one.attention, other.attention)


def test_a_bias_is_its_line_s_own_in_any_company(translator):
    given = biases(translator, seed=1)
    alone = [
        translator.translate([line], attention=True, attention_bias=[bias])[0]
        for line, bias in zip(LINES, given, strict=True)
    ]
    plain = translator.translate(LINES)
    assert sum(one.text != other.text for one, other in zip(alone, plain, strict=True)) > 2
    assert alone[2].text == plain[2].text
    for batch_size in (64, 3):
        together = translator.translate(LINES, attention=True, attention_bias=given, batch_size=batch_size)
        for one, other in zip(alone, together, strict=True):
            assert one.text == other.text
            assert one.score == pytest.approx(other.score, abs=1e-4)
            torch.testing.assert_close(one.attention, other.attention, atol=1e-4, rtol=0)


def test_a_cut_line_has_its_bias_cut(words, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("seq2seq"), "propagate", True)
    short, full = "ein Kind findet", "ein Kind findet den Weg"
    numbers = [1.0, -2.0, 0.5, 9.0, 9.0]
    limited = having(words, max_source_length=3)
    for of_eos in ([-1.0], []):  # what is said of EOS stays with it
        [expected] = words.translate([short], attention=True, attention_bias=[[*numbers[:3], *of_eos]])
        [cut] = limited.translate([full], attention=True, attention_bias=[[*numbers, *of_eos]])
        assert (cut.text, cut.source_tokens) == (expected.text, expected.source_tokens)
        torch.testing.assert_close(cut.attention, expected.attention)
    assert "cut from 5 to 3 tokens" in caplog.text


def test_blank_lines_may_have_one(words):
    [blank, spoken] = words.translate(["", "uns"], attention_bias=[[1.0], [1.0, 2.0]])
    assert (blank.text, blank.score) == ("", 0.0)
    assert spoken.text == words.translate(["uns"], attention_bias=[[1.0, 2.0]])[0].text


@pytest.mark.parametrize("size", [1, 3, 6, 50])
def test_a_bias_of_another_length_is_refused(words, size):
    with pytest.raises(DataError) as raised:
        words.translate(["uns", "der Hund sieht uns"], attention_bias=[None, [1.0] * size], first_line=5)
    assert str(raised.value) == (
        f"line 6: attention_bias has {size} numbers for a line of 4 source pieces; give one for each of "
        "translate(...)[i].source_tokens, before any cut (the last, for </s>, may be left out)"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39, 10**400])
def test_numbers_that_are_not_finite_are_refused(words, value):
    with pytest.raises(DataError) as raised:
        words.translate(["der Hund"], attention_bias=[[1.0, value]])
    assert str(raised.value) == (
        f"line 1: number 2 of attention_bias is {value}, and only finite numbers can be added to a score; a large "
        "negative one such as -100 turns attention away"
    )


def test_one_entry_a_line_is_needed(words):
    with pytest.raises(DataError, match=r"^there are 2 lines but attention_bias has 1 entries$"):
        words.translate(["uns", "uns"], attention_bias=[None])


def test_a_model_without_attention_refuses_it(translators):
    translator = translators["none"]
    with pytest.raises(DataError) as raised:
        translator.translate(["uns", "uns"], attention_bias=[None, [1.0]], first_line=3)
    assert str(raised.value) == (
        "line 4: this model has no attention that a focus or attention_bias could change; leave it out, or use a model "
        "with attention"
    )
    assert len(translator.translate(["uns", "uns"], attention_bias=[None, []])) == 2
