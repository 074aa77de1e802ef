"""Pairs in other pieces: the same text, drawn by seed, epoch and batch alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from seq2seq.config import Config
from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.subwords import SubwordSampling
from seq2seq.data.text import ParallelText
from seq2seq.errors import ConfigError
from seq2seq.text.pair import TokenizerPair

SOURCES = [f"der große Hund sieht {animal} im Garten" for animal in ("Katzen", "Vögel", "zwei Mäuse", "den Mond")] * 8
TARGETS = [f"the big dog sees {animal} in the garden" for animal in ("cats", "birds", "two mice", "the moon")] * 8


@pytest.fixture(scope="module")
def tokenizers() -> TokenizerPair:
    return TokenizerPair.train(SOURCES, TARGETS, shared=True, model_type="bpe", vocab_size="auto")


@pytest.fixture(scope="module")
def corpus(tokenizers: TokenizerPair) -> EncodedCorpus:
    return EncodedCorpus.encode(ParallelText("train", SOURCES, TARGETS, ()), tokenizers)


@pytest.fixture(scope="module")
def sampling(tokenizers: TokenizerPair) -> SubwordSampling:
    return SubwordSampling(tokenizers, 0.3, longest=256, seed=1)


ROWS = torch.tensor([3, 0, 17, 5, 9, 30])


def ids(corpus: EncodedCorpus) -> list[tuple[list[int], list[int]]]:
    return [(source.tolist(), target.tolist()) for source, target in map(corpus.pair, range(len(corpus)))]


def test_the_pairs_are_the_same_text_in_other_pieces(
    corpus: EncodedCorpus, sampling: SubwordSampling, tokenizers: TokenizerPair
) -> None:
    drawn = ids(sampling.draw(corpus, ROWS, epoch=0, batch=0))
    for row, (source, target) in zip(ROWS.tolist(), drawn, strict=True):
        assert tokenizers.source.decode(source) == SOURCES[row]
        assert tokenizers.target.decode(target) == TARGETS[row]
    assert drawn != [ids(corpus)[row] for row in ROWS.tolist()]


def test_draws_depend_on_seed_epoch_and_batch_and_on_nothing_else(
    corpus: EncodedCorpus, sampling: SubwordSampling
) -> None:
    def draw(sampling: SubwordSampling, epoch: int, batch: int) -> list[tuple[list[int], list[int]]]:
        return ids(sampling.draw(corpus, ROWS, epoch, batch))

    first = draw(sampling, 0, 0)
    others = [draw(sampling, 0, 1), draw(sampling, 1, 0), draw(replace(sampling, seed=2), 0, 0)]
    assert first not in others
    assert draw(sampling, 0, 0) == first  # whatever was drawn meanwhile


def test_a_side_is_not_cut_as_the_other_one_is(tokenizers: TokenizerPair) -> None:
    """The same text on both sides comes in other pieces on each, or else the model could copy what it should learn."""
    corpus = EncodedCorpus.encode(ParallelText("train", SOURCES, SOURCES, ()), tokenizers)
    drawn = ids(SubwordSampling(tokenizers, 0.3, 256, 1).draw(corpus, torch.arange(32), 0, 0))
    assert any(source != target for source, target in drawn)


def test_too_long_a_side_and_an_unknown_word_keep_their_usual_pieces(corpus: EncodedCorpus) -> None:
    usual = [ids(corpus)[row] for row in ROWS.tolist()]
    short = SubwordSampling(
        TokenizerPair.train(SOURCES, TARGETS, shared=True, model_type="bpe", vocab_size="auto"),
        0.9,
        longest=max(len(side) for pair in usual for side in pair),
        seed=1,
    )
    for drawn, before in zip(ids(short.draw(corpus, ROWS, 0, 0)), usual, strict=True):
        for side, side_before in zip(drawn, before, strict=True):
            assert len(side) <= short.longest
            assert side == side_before or len(side) > len(side_before)
    unknown = EncodedCorpus.of_ids([[5, 0, 6]], [[7, 8]])
    assert short.tokenizers.source.unk_id == 0
    assert ids(short.draw(unknown, torch.tensor([0]), 0, 0))[0][0] == [5, 0, 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"tokenizer": {"name": "unigram"}, "data": {"bpe_dropout": 0.1}},
            "data.bpe_dropout=0.1 is for tokenizer=bpe, and this is tokenizer=unigram; set data.bpe_dropout=0",
        ),
        (
            {"tokenizer": {"name": "char"}, "data": {"unigram_alpha": 0.2}},
            "data.unigram_alpha=0.2 is for tokenizer=unigram, and this is tokenizer=char; set data.unigram_alpha=0",
        ),
    ],
)
def test_each_kind_of_tokenizer_has_its_own_sampling(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Config.from_dict(options)
    assert str(error.value) == message


def test_it_is_off_unless_asked_for(tokenizers: TokenizerPair) -> None:
    assert SubwordSampling.of(Config.from_dict({}), tokenizers) is None
    config = Config.from_dict({"data": {"bpe_dropout": 0.1, "max_length": 99}, "seed": 7})
    assert SubwordSampling.of(config, tokenizers) == SubwordSampling(tokenizers, 0.1, 99, 7)


@pytest.mark.parametrize("kind", ["unigram", "char"])
def test_a_model_from_elsewhere_is_looked_at_itself(kind: str) -> None:
    others = TokenizerPair.train(SOURCES, TARGETS, shared=True, model_type=kind, vocab_size="auto")
    config = Config.from_dict({"data": {"bpe_dropout": 0.1}, "tokenizer": {"model": "other.model"}})
    with pytest.raises(ConfigError) as error:
        SubwordSampling.of(config, others)
    assert str(error.value) == (
        f"data.bpe_dropout=0.1 is for bpe models, and tokenizer.model=other.model is a {kind} model; "
        "set data.bpe_dropout=0"
    )
