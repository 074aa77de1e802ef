"""The rules of a translation, seen through the beam search; test_sampling.py sees them through sampling."""

import pytest
import torch

from seq2seq.search.beam import SearchOptions, beam_search

PAD, BOS, EOS, UNK = 0, 1, 2, 3


def search(model, batch, sources, max_lengths, options, prefixes=None):
    source, lengths = batch(sources)
    return beam_search(model, source, lengths, torch.tensor(max_lengths), options, model.special, prefixes)


def test_lengths_are_each_sentence_s_own(table_model, batch, sources):
    model, max_lengths = table_model(eos_bias=-5.0), [1 + i % 7 for i in range(len(sources))]
    found = search(model, batch, sources, max_lengths, SearchOptions(beam_size=3, n_best=3))
    for hypotheses, source, max_length in zip(found, sources, max_lengths, strict=True):
        assert max(len(hypothesis.tokens) for hypothesis in hypotheses) == max_length - 1
        for hypothesis in hypotheses:  # EOS at the end is forced, and paid for
            assert hypothesis.log_prob == pytest.approx(model.forced_score(source, hypothesis.tokens))


@pytest.mark.parametrize("min_length", [1, 2, 5])
def test_min_length_counts_eos(table_model, batch, sources, min_length):
    model = table_model(eos_bias=4.0)
    options = SearchOptions(beam_size=4, n_best=4, min_length=min_length)
    found = search(model, batch, sources, [9] * len(sources), options)
    assert min(len(hypothesis.tokens) for hypotheses in found for hypothesis in hypotheses) == min_length - 1


def test_a_large_min_length_forces_every_max_length(table_model, batch, sources):
    model, max_lengths = table_model(eos_bias=4.0), [1 + i % 7 for i in range(len(sources))]
    found = search(model, batch, sources, max_lengths, SearchOptions(beam_size=2, min_length=10**6))
    for hypotheses, max_length in zip(found, max_lengths, strict=True):
        assert {len(hypothesis.tokens) for hypothesis in hypotheses} == {max_length - 1}


def test_suppressed_ids_are_never_generated_but_count_in_the_distribution(table_model, batch, sources):
    model = table_model()
    model.table[:, [PAD, BOS, UNK]] += 4.0
    found = search(model, batch, sources, [8] * len(sources), SearchOptions(beam_size=5, n_best=5))
    for source, hypotheses in zip(sources, found, strict=True):
        for hypothesis in hypotheses:
            assert set(hypothesis.tokens) <= set(model.words)
            assert hypothesis.log_prob == pytest.approx(model.forced_score(source, hypothesis.tokens))
            assert hypothesis.log_prob < -2 * (len(hypothesis.tokens) + 1)


def test_prefixes_are_forced(table_model, batch, sources):
    model, options = table_model(eos_bias=1.0), SearchOptions(beam_size=4, n_best=4)
    prefixes = [[4, 5, 6, 4, 5, 6][: i % 7] for i in range(len(sources))]
    found = search(model, batch, sources, [8] * len(sources), options, prefixes)
    for source, prefix, hypotheses in zip(sources, prefixes, found, strict=True):
        assert len(hypotheses) == 4
        for hypothesis in hypotheses:
            assert hypothesis.tokens[: len(prefix)] == prefix
            assert hypothesis.log_prob == pytest.approx(model.forced_score(source, hypothesis.tokens))
    free = search(model, batch, sources, [8] * len(sources), options)
    assert free == search(model, batch, sources, [8] * len(sources), options, [[]] * len(sources))


def test_a_prefix_may_hold_unk_and_raises_a_max_length_that_is_too_short(table_model, batch):
    model = table_model()
    prefix = [4, UNK, 5, 6, 4]
    for max_length in (1, 5, 6):
        [[hypothesis]] = search(model, batch, [[7, 7]], [max_length], SearchOptions(beam_size=3), [prefix])
        assert hypothesis.tokens == prefix
        assert hypothesis.log_prob == pytest.approx(model.forced_score([7, 7], prefix))


def test_a_prefix_with_eos_or_for_another_number_of_sentences_is_refused(table_model, batch):
    with pytest.raises(ValueError, match=r"a forced prefix holds EOS \(id 2\)"):
        search(table_model(), batch, [[5]], [5], SearchOptions(), [[4, EOS]])
    with pytest.raises(ValueError, match="zip"):
        search(table_model(), batch, [[5]], [5], SearchOptions(), [[4], [4]])
