"""Blocked n-grams and the penalty on repetition, in beam search and in sampling."""

import math
from collections import Counter
from itertools import product

import pytest
import torch

from seq2seq.search.beam import SearchOptions, beam_search
from seq2seq.search.repetition import Repetition
from seq2seq.search.sampling import SamplingOptions, sample

PAD, BOS, EOS, UNK = 0, 1, 2, 3


def search(model, batch, sources, max_lengths, options, prefixes=None):
    source, lengths = batch(sources)
    return beam_search(model, source, lengths, torch.tensor(max_lengths), options, model.special, prefixes)


def draw(model, batch, sources, max_lengths, options, prefixes=None):
    source, lengths = batch(sources)
    seeds = range(len(sources))
    return sample(model, source, lengths, torch.tensor(max_lengths), options, model.special, seeds, prefixes)


def repeats(tokens, size):
    ngrams = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    return len(ngrams) - len(set(ngrams))


def penalised(model, source, tokens, penalty):
    """Sum of the log-probabilities, each multiplied where its token was said before; EOS never was."""
    values = [model.log_probs(source, tokens[:t])[token] for t, token in enumerate([*tokens, EOS])]
    return sum(
        value * (penalty if token in tokens[:t] else 1)
        for t, (token, value) in enumerate(zip([*tokens, EOS], values, strict=True))
    )


@pytest.fixture
def prone(table_model):
    """A model that would say the same words for ever, in every state."""
    model = table_model(vocabulary_size=8, scale=0.3, eos_bias=-4.0)
    model.table[:, [4, 5]] += 3.0
    return model


# --- against enumeration


@pytest.mark.parametrize(("size", "count"), [(1, 1 + 3 + 6 + 6), (2, 1 + 3 + 9 + 24 + 60), (3, 1 + 3 + 9 + 27 + 78)])
def test_all_hypotheses_without_repeated_ngrams_are_found_and_no_others(table_model, batch, size, count):
    model, source = table_model(), [5, 8]
    expected = []
    for length in range(5):
        for tokens in product(model.words, repeat=length):
            if not repeats(tokens, size):
                expected.append((model.forced_score(source, list(tokens)) / (length + 1), list(tokens)))
    assert len(expected) == count
    options = SearchOptions(beam_size=130, n_best=130, block_ngram=size)
    [found] = search(model, batch, [source], [5], options)
    assert [hypothesis.tokens for hypothesis in found] == [tokens for _, tokens in sorted(expected, reverse=True)]
    for hypothesis, (score, _) in zip(found, sorted(expected, reverse=True), strict=True):
        assert hypothesis.score == pytest.approx(score)  # blocking changes no log-probability
        assert hypothesis.log_prob == pytest.approx(score * (len(hypothesis.tokens) + 1))


@pytest.mark.parametrize("penalty", [1.2, 5.0])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_ranking_is_that_of_the_penalised_sums_and_log_prob_the_model_s_own(table_model, batch, penalty, alpha):
    model, source = table_model(), [5, 8]
    expected = [
        (penalised(model, source, list(tokens), penalty) / (length + 1) ** alpha, list(tokens))
        for length in range(5)
        for tokens in product(model.words, repeat=length)
    ]
    expected.sort(reverse=True)
    for n_best in (1, 5, 121):
        options = SearchOptions(beam_size=121, n_best=n_best, length_alpha=alpha, repetition_penalty=penalty)
        [found] = search(model, batch, [source], [5], options)
        for hypothesis, (score, tokens) in zip(found[:n_best], expected, strict=False):
            assert hypothesis.tokens == tokens
            assert hypothesis.score == pytest.approx(score)
            assert hypothesis.log_prob == pytest.approx(model.forced_score(source, tokens))
    assert len(found) == 121


# --- what it is for


def test_what_would_be_said_for_ever_is_said_once(prone, batch, sources):
    greedy = search(prone, batch, sources, [12] * 12, SearchOptions(beam_size=1))
    assert all(repeats(hypothesis.tokens, 3) for [hypothesis] in greedy)
    for size in (1, 2, 3, 4):
        for options in (SearchOptions(beam_size=1, block_ngram=size), SearchOptions(beam_size=4, block_ngram=size)):
            for hypotheses in search(prone, batch, sources, [12] * 12, options):
                assert all(repeats(hypothesis.tokens, size) == 0 for hypothesis in hypotheses)
                if size > 1:  # and no more is blocked than need be
                    assert any(repeats(hypothesis.tokens, size - 1) > 0 for hypothesis in hypotheses)


def test_greedy_search_takes_the_best_by_the_penalised_log_probability(prone, batch, sources):
    options = SearchOptions(beam_size=1, repetition_penalty=8.0)
    for source, [hypothesis] in zip(sources, search(prone, batch, sources, [9] * len(sources), options), strict=True):
        for t, token in enumerate(hypothesis.tokens):
            following = prone.log_probs(source, hypothesis.tokens[:t])
            values = {
                word: following[word] * (8 if word in hypothesis.tokens[:t] else 1) for word in [EOS, *prone.words]
            }
            assert token == max(values, key=values.get)
        assert len(set(hypothesis.tokens)) == 4  # unpenalised, only 4 and 5 are said


# --- ends and prefixes


def test_when_all_words_are_blocked_the_sentence_ends(prone, batch, sources):
    """Even before min_length; the penalised model would rather never end."""
    for options in (
        SearchOptions(block_ngram=1, min_length=10),
        SamplingOptions(samples=3, block_ngram=1, min_length=10),
    ):
        run = search if isinstance(options, SearchOptions) else draw
        for hypotheses in run(prone, batch, sources, [12] * len(sources), options):
            assert {frozenset(hypothesis.tokens) for hypothesis in hypotheses} == {frozenset(prone.words)}
            assert {len(hypothesis.tokens) for hypothesis in hypotheses} == {len(prone.words)}


def test_eos_is_never_penalised_and_never_too_early(table_model, batch, sources):
    model = table_model(eos_bias=3.0)
    options = SearchOptions(beam_size=3, n_best=3, block_ngram=2, repetition_penalty=50.0, min_length=4)
    for source, hypotheses in zip(sources, search(model, batch, sources, [9] * 12, options), strict=True):
        for hypothesis in hypotheses:
            assert len(hypothesis.tokens) >= 3
            score = penalised(model, source, hypothesis.tokens, 50.0) / (len(hypothesis.tokens) + 1)
            assert hypothesis.score == pytest.approx(score)


@pytest.mark.parametrize("run", [search, draw])
def test_a_prefix_may_repeat_itself_and_counts_as_said(prone, batch, run):
    prefix = [4, 5, 4, 5, 4, UNK, UNK]
    kind = SearchOptions if run is search else SamplingOptions
    [[hypothesis, *_]] = run(prone, batch, [[7, 7]], [30], kind(block_ngram=2), [prefix])
    assert hypothesis.tokens[:7] == prefix
    assert len(hypothesis.tokens) > 9
    pairs = list(zip(hypothesis.tokens, hypothesis.tokens[1:], strict=False))
    assert not set(pairs[6:]) & set(pairs[:6])
    assert hypothesis.log_prob == pytest.approx(prone.forced_score([7, 7], hypothesis.tokens))


def test_a_prefix_is_not_penalised_for_what_it_repeats(table_model, batch):
    model, prefix = table_model(), [4, 4, 4]
    options = SearchOptions(beam_size=1, repetition_penalty=3.0, length_penalty="none")
    [[hypothesis]] = search(model, batch, [[6]], [4], options, [prefix])  # EOS is forced at the fourth step
    assert hypothesis.tokens == prefix
    assert hypothesis.score == pytest.approx(model.forced_score([6], prefix))
    [[longer]] = search(model, batch, [[6]], [30], options, [prefix])
    chosen = [*longer.tokens[3:], EOS]
    values = {word: model.log_probs([6], prefix)[word] * (3 if word == 4 else 1) for word in [EOS, *model.words]}
    assert chosen[0] == max(values, key=values.get)


# --- sampling


def test_draws_follow_the_penalised_distribution(table_model, batch):
    """p ~ exp(theta * log p / temperature) for what was said, without top_k and with it."""
    model, source, penalty, temperature = table_model(vocabulary_size=9, scale=0.7), [5, 9], 2.0, 1.5
    for top_k in (0, 4):
        options = SamplingOptions(samples=6000, repetition_penalty=penalty, temperature=temperature, top_k=top_k)
        [hypotheses] = draw(model, batch, [source], [4], options, [[6]])
        following = model.log_probs(source, [6])
        values = {word: following[word] * (penalty if word == 6 else 1) for word in [EOS, *model.words]}
        kept = sorted(values, key=values.get, reverse=True)[: top_k or None]
        mass = {word: math.exp(values[word] / temperature) for word in kept}
        counts = Counter(([*hypothesis.tokens, EOS])[1] for hypothesis in hypotheses)
        assert set(counts) == set(kept)
        for word in kept:
            p = mass[word] / sum(mass.values())
            assert counts[word] / 6000 == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / 6000))


def test_samples_keep_the_rules_and_the_model_s_own_log_prob(prone, batch, sources):
    options = SamplingOptions(samples=5, block_ngram=2, repetition_penalty=1.7, length_penalty="none")
    found = draw(prone, batch, sources, [4 + i for i in range(12)], options)
    for source, hypotheses in zip(sources, found, strict=True):
        for hypothesis in hypotheses:
            assert repeats(hypothesis.tokens, 2) == 0
            assert hypothesis.log_prob == pytest.approx(prone.forced_score(source, hypothesis.tokens))
            assert hypothesis.score == pytest.approx(penalised(prone, source, hypothesis.tokens, 1.7))
    alone = [draw(prone, batch, [sources[0]], [4], options)[0]]
    assert [hypothesis.tokens for hypothesis in found[0]] == [hypothesis.tokens for hypothesis in alone[0]]


# --- company, and nothing for nothing


def test_results_do_not_depend_on_company(table_model, batch):
    model = table_model(vocabulary_size=8, eos_bias=1.0)
    options = SearchOptions(beam_size=4, n_best=4, block_ngram=2, repetition_penalty=1.4)
    sources = [[4 + i % 11] * (1 + i % 3) for i in range(40)]
    max_lengths = [3 + i % 9 for i in range(len(sources))]
    together = search(model, batch, sources, max_lengths, options)
    assert len(set(model.batch_sizes)) > 2  # sentences were dropped on the way
    alone = [search(model, batch, [source], [n], options)[0] for source, n in zip(sources, max_lengths, strict=True)]
    assert together == alone


def test_tokens_are_remembered_only_where_an_option_asks_for_them(table_model, batch, monkeypatch):
    def refuse(*_):
        raise AssertionError("nothing asked for it")

    monkeypatch.setattr(Repetition, "apply", refuse)
    search(table_model(), batch, [[5]], [5], SearchOptions())
    with pytest.raises(AssertionError, match="nothing asked for it"):
        search(table_model(), batch, [[5]], [5], SearchOptions(block_ngram=3))
