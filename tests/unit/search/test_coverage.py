"""The coverage penalty of Wu et al. (2016), and a bias on its way to the model."""

import math
from itertools import product

import pytest
import torch

from seq2seq.search.beam import SearchOptions, beam_search
from seq2seq.search.sampling import SamplingOptions, sample
from seq2seq.search.scoring import CoveragePenalty

EOS = 2


def search(model, batch, sources, max_lengths, options, bias=None):
    source, lengths = batch(sources)
    return beam_search(model, source, lengths, torch.tensor(max_lengths), options, model.special, None, bias)


def coverage_penalty(model, source, tokens, beta):
    """beta * sum_i log(min(sum_j p_ij, 1)), with EOS among the j and every real position among the i."""
    columns = zip(*model.weights(source, tokens), strict=True)
    return beta * sum(math.log(max(min(sum(column), 1.0), 1e-6)) for column in columns)


def test_the_formula():
    penalty = CoveragePenalty(0.5)
    coverage = torch.tensor([[[0.25, 1.0, 3.5], [0.5, 0.5, 1.0]]])
    assert penalty.score(coverage).tolist() == [pytest.approx([0.5 * math.log(0.25), math.log(0.5)])]
    assert penalty.score(torch.zeros(2)).item() == pytest.approx(math.log(1e-6))  # never minus infinity


@pytest.mark.parametrize(("name", "alpha"), [("average", 1.0), ("gnmt", 0.6), ("none", 1.0)])
@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_a_beam_wide_enough_finds_what_enumeration_finds(table_model, batch, name, alpha, beta):
    model, sources, max_lengths = table_model(eos_bias=1.0), [[5, 8, 4, 4], [9], [4, 7]], [5, 4, 2]
    divisors = {"average": lambda n: n**alpha, "gnmt": lambda n: ((5 + n) / 6) ** alpha, "none": lambda n: 1.0}
    for n_best in (1, 4, 121):
        options = SearchOptions(
            beam_size=121, n_best=n_best, length_penalty=name, length_alpha=alpha, coverage_penalty=beta
        )
        found = search(model, batch, sources, max_lengths, options)
        for source, max_length, hypotheses in zip(sources, max_lengths, found, strict=True):
            expected = [
                (
                    model.forced_score(source, list(tokens)) / divisors[name](size + 1)
                    + coverage_penalty(model, source, list(tokens), beta),
                    list(tokens),
                )
                for size in range(max_length)
                for tokens in product(model.words, repeat=size)
            ]
            expected.sort(reverse=True)
            assert [h.tokens for h in hypotheses[:n_best]] == [tokens for _, tokens in expected[:n_best]]
            for hypothesis, (score, tokens) in zip(hypotheses, expected[:n_best], strict=False):
                assert hypothesis.score == pytest.approx(score, abs=1e-5)
                assert hypothesis.log_prob == pytest.approx(model.forced_score(source, tokens))


def test_it_prefers_translations_that_read_the_whole_source(table_model, batch):
    """With the same log-probability for all, the one that attends everywhere wins; it needs more tokens for that."""
    model = table_model()
    model.table[:] = 0.0
    model.table[:, EOS] = 1.0
    [plain, *_] = search(model, batch, [[5, 8, 4, 4]], [9], SearchOptions(beam_size=40, n_best=40))[0]
    options = SearchOptions(beam_size=40, n_best=40, coverage_penalty=5.0)
    [best, *_] = search(model, batch, [[5, 8, 4, 4]], [9], options)[0]
    unread = [coverage_penalty(model, [5, 8, 4, 4], hypothesis.tokens, 5.0) for hypothesis in (plain, best)]
    assert unread[0] < -5 < -0.5 < unread[1] <= 0
    assert len(best.tokens) > len(plain.tokens)


def test_padding_and_company_do_not_count(table_model, batch, sources):
    model = table_model(vocabulary_size=9, eos_bias=1.0)
    options = SearchOptions(beam_size=4, n_best=4, coverage_penalty=0.7)
    max_lengths = [3 + i % 7 for i in range(len(sources))]
    together = search(model, batch, sources, max_lengths, options)
    assert len(set(model.batch_sizes)) > 2
    for source, max_length, hypotheses in zip(sources, max_lengths, together, strict=True):
        [alone] = search(model, batch, [source], [max_length], options)
        assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
        assert [h.score for h in hypotheses] == pytest.approx([h.score for h in alone])
        for hypothesis in hypotheses:
            score = hypothesis.log_prob / (len(hypothesis.tokens) + 1)
            expected = score + coverage_penalty(model, source, hypothesis.tokens, 0.7)
            assert hypothesis.score == pytest.approx(expected, abs=1e-5)


def test_samples_are_scored_with_it(table_model, batch, sources):
    model = table_model(eos_bias=1.0)
    source, lengths = batch(sources)
    options = SamplingOptions(samples=4, coverage_penalty=0.3, length_penalty="none")
    limits = torch.full((len(sources),), 8)
    found = sample(model, source, lengths, limits, options, model.special, range(len(sources)))
    for sentence, hypotheses in zip(sources, found, strict=True):
        for hypothesis in hypotheses:
            expected = hypothesis.log_prob + coverage_penalty(model, sentence, hypothesis.tokens, 0.3)
            assert hypothesis.score == pytest.approx(expected, abs=1e-5)


def test_weights_in_bf16_are_summed_in_float32(table_model, batch):
    class Bf16(table_model):
        def step(self, tokens, state):
            output = super().step(tokens, state)
            return output._replace(weights=output.weights.bfloat16())

    model = Bf16(eos_bias=-5.0)
    options = SearchOptions(beam_size=2, coverage_penalty=1.0, return_attention=True)
    [[hypothesis, *_]] = search(model, batch, [[5, 6, 7, 8, 9, 4] * 5], [14], options)
    unread = hypothesis.weights.double().sum(dim=0).clamp(max=1).log().sum().item()  # of the rounded weights
    assert hypothesis.score == pytest.approx(hypothesis.log_prob / (len(hypothesis.tokens) + 1) + unread, abs=1e-4)


def test_a_model_without_weights_is_refused(table_model, batch):
    class WithoutAttention(table_model):
        def step(self, tokens, state):
            return super().step(tokens, state)._replace(weights=None)

    with pytest.raises(ValueError, match="coverage_penalty is above 0, but the model gives no attention weights"):
        search(WithoutAttention(), batch, [[5]], [5], SearchOptions(coverage_penalty=0.1))


@pytest.mark.parametrize("given", [None, torch.tensor([[0.5, -1.0], [0.0, 2.0]])])
def test_a_bias_goes_to_the_model_as_it_is(table_model, batch, given):
    class Biased(table_model):
        def start(self, source, lengths, bias=None):
            self.bias = bias
            return super().start(source, lengths)

    model, (source, lengths), limits = Biased(), batch([[5, 6], [7]]), torch.tensor([4, 4])
    beam_search(model, source, lengths, limits, SearchOptions(), model.special, bias=given)
    assert model.bias is given
    model.bias = "nothing yet"
    sample(model, source, lengths, limits, SamplingOptions(), model.special, [1, 2], bias=given)
    assert model.bias is given
