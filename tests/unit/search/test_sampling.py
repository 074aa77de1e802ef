import math
from collections import Counter

import pytest
import torch

from seq2seq.grid import Grid
from seq2seq.search.beam import SearchOptions, beam_search
from seq2seq.search.decode import Beam
from seq2seq.search.sampling import Sampler, SamplingOptions, sample

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SOURCE = [5, 9]


def draw(model, batch, sources, max_lengths, options, seeds, prefixes=None):
    source, lengths = batch(sources)
    return sample(model, source, lengths, torch.tensor(max_lengths), options, model.special, seeds, prefixes)


def distribution(model, prefix, options):
    """The filtered next-token distribution from its definition, in plain Python: token -> probability."""
    log_probs = model.log_probs(SOURCE, prefix)
    allowed = sorted([EOS, *model.words], key=lambda token: -log_probs[token])
    allowed = allowed[: options.top_k or len(allowed)]
    mass = {token: math.exp(log_probs[token] / options.temperature) for token in allowed}
    total = sum(mass.values())
    nucleus, covered = {}, 0.0
    for token in allowed:
        if covered >= options.top_p:
            break
        nucleus[token] = mass[token] / total
        covered += nucleus[token]
    return {token: probability / covered for token, probability in nucleus.items()}


def assert_follows(counts, expected):
    """Only tokens of the distribution, and a chi-square statistic within five deviations of its mean."""
    draws = sum(counts.values())
    assert set(counts) <= set(expected)
    statistic = sum((counts[token] - draws * p) ** 2 / (draws * p) for token, p in expected.items())
    freedom = len(expected) - 1
    assert statistic <= freedom + 5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0},
        {"top_k": 3},
        {"top_k": 99},
        {"top_p": 0.6},
        {"top_p": 0.999},
        {"top_p": 1e-6},
        {"temperature": 1.7, "top_k": 5, "top_p": 0.7},
    ],
)
def test_draws_follow_the_filtered_distribution(table_model, batch, filters):
    model = table_model(vocabulary_size=12, scale=1.0)
    options = SamplingOptions(samples=6000, **filters)
    [hypotheses] = draw(model, batch, [SOURCE], [3], options, [17])
    assert len(hypotheses) == 6000
    firsts = Counter(([*hypothesis.tokens, EOS])[0] for hypothesis in hypotheses)
    expected = distribution(model, [], options)
    assert_follows(firsts, expected)
    likeliest = max((token for token in expected if token != EOS), key=lambda token: expected[token], default=None)
    if likeliest is not None:  # the second token, after the likeliest word
        seconds = Counter(([*h.tokens, EOS])[1] for h in hypotheses if h.tokens[:1] == [likeliest])
        assert_follows(seconds, distribution(model, [likeliest], options))


def test_log_prob_and_score_are_the_model_s_own(table_model, batch, sources):
    model = table_model(vocabulary_size=20, eos_bias=1.0)
    options = SamplingOptions(samples=3, temperature=3.0, top_k=8, top_p=0.9, length_penalty="gnmt", length_alpha=0.6)
    found = draw(model, batch, sources, [9] * len(sources), options, range(len(sources)))
    for source, hypotheses in zip(sources, found, strict=True):
        for hypothesis in hypotheses:
            log_prob = model.forced_score(source, hypothesis.tokens)
            assert hypothesis.log_prob == pytest.approx(log_prob)
            divisor = ((5 + len(hypothesis.tokens) + 1) / 6) ** 0.6
            assert hypothesis.score == pytest.approx(log_prob / divisor)


@pytest.mark.parametrize("filters", [{}, {"top_k": 5, "top_p": 0.9}])
def test_a_sample_depends_on_its_seed_and_not_on_its_company(table_model, batch, sources, filters):
    model, options = table_model(vocabulary_size=20), SamplingOptions(samples=3, **filters)
    seeds, max_lengths = [100 + i for i in range(len(sources))], [4 + i for i in range(len(sources))]
    together = draw(model, batch, sources, max_lengths, options, seeds)
    alone = [
        draw(model, batch, [source], [max_length], options, [seed])[0]
        for source, max_length, seed in zip(sources, max_lengths, seeds, strict=True)
    ]
    assert together == alone
    backwards = draw(model, batch, sources[::-1], max_lengths[::-1], options, seeds[::-1])
    assert backwards == together[::-1]
    assert min(model.batch_sizes) < len(sources)  # the finished were dropped on the way
    assert draw(model, batch, sources, max_lengths, options, [seed + 1 for seed in seeds]) != together


def test_no_global_random_state_is_used(table_model, batch):
    state = torch.random.get_rng_state()
    draw(table_model(), batch, [SOURCE], [9], SamplingOptions(samples=2), [1])
    assert torch.equal(state, torch.random.get_rng_state())


def test_samples_come_in_the_order_of_drawing(table_model, batch):
    """Sorting by score would make the first of several samples a biased one."""
    options = SamplingOptions(samples=40, length_penalty="none")
    [hypotheses] = draw(table_model(), batch, [SOURCE], [9], options, [3])
    assert len(hypotheses) == 40  # none is given up because another can't be beaten
    scores = [hypothesis.score for hypothesis in hypotheses]
    assert scores != sorted(scores, reverse=True)
    lengths = [len(hypothesis.tokens) for hypothesis in hypotheses]
    assert lengths != sorted(lengths)


def test_top_k_1_is_greedy(table_model, batch, sources):
    model = table_model(vocabulary_size=30)
    greedy = SearchOptions(beam_size=1)
    source, lengths = batch(sources)
    limits = torch.full((len(sources),), 12)
    found = draw(model, batch, sources, [12] * len(sources), SamplingOptions(top_k=1), range(len(sources)))
    assert found == beam_search(model, source, lengths, limits, greedy, model.special)


def test_the_rules_of_the_search_hold(table_model, batch, sources):
    model = table_model(eos_bias=1.0)
    model.table[:, [PAD, BOS, UNK]] += 3.0
    prefixes = [[4, UNK, 6, 5][: i % 5] for i in range(len(sources))]
    max_lengths = [3 + i % 5 for i in range(len(sources))]
    options = SamplingOptions(samples=20, min_length=3, return_attention=True)
    found = draw(model, batch, sources, max_lengths, options, range(len(sources)), prefixes)
    for i, hypotheses in enumerate(found):
        assert len(hypotheses) == 20
        for hypothesis in hypotheses:
            tokens, prefix = hypothesis.tokens, prefixes[i]
            assert tokens[: len(prefix)] == prefix
            assert set(tokens[len(prefix) :]) <= set(model.words)
            assert 3 <= len(tokens) + 1 <= max(max_lengths[i], len(prefix) + 1)
            torch.testing.assert_close(hypothesis.weights, torch.tensor(model.weights(sources[i], tokens)))


def test_every_sample_can_be_forced_to_its_max_length(table_model, batch, sources):
    options = SamplingOptions(samples=4, min_length=10**6)
    found = draw(table_model(eos_bias=3.0), batch, sources, [6] * len(sources), options, range(len(sources)))
    assert {len(hypothesis.tokens) for hypotheses in found for hypothesis in hypotheses} == {5}


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24, 1.0])  # 1: where rounding may put it
@pytest.mark.parametrize("filters", [{}, {"top_p": 0.5}, {"top_k": 3}])
def test_the_ends_of_the_interval_draw_tokens_that_are_allowed(uniform, filters):
    sentences, vocabulary_size = 200, 300
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.randn(sentences, vocabulary_size, generator=generator).log_softmax(dim=1)
    log_probs[:, [0, 1, 150, 298, 299]] = -torch.inf
    beam = Beam(*[torch.zeros(sentences, 1)] * 4)
    sampler = Sampler(SamplingOptions(**filters), torch.full((1, sentences, 1), uniform))
    choice = sampler.choose(log_probs, beam, 0, list(range(sentences)), Grid.full(sentences))
    assert choice.totals.isfinite().all()


def test_broken_logits_end_in_an_error(table_model, batch):
    model = table_model()
    model.table[:] = float("nan")
    with pytest.raises(ValueError, match="no translation of sentence 0"):
        draw(model, batch, [SOURCE], [5], SamplingOptions(), [1])


def test_a_seed_is_needed_for_each_sentence(table_model, batch):
    with pytest.raises(ValueError, match="zip"):
        draw(table_model(), batch, [SOURCE], [5], SamplingOptions(), [1, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples=0 must be at least 1"),
        ({"temperature": 0.0}, "temperature=0.0 must be positive; for the likeliest token use top_k=1"),
        ({"top_k": -1}, "top_k=-1 must be positive, or 0 for the whole vocabulary"),
        ({"top_p": 0.0}, "top_p=0.0 must be above 0 and at most 1"),
        ({"top_p": 1.1}, "top_p=1.1 must be above 0 and at most 1"),
        ({"length_penalty": "wu"}, "length_penalty=wu is unknown"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SamplingOptions(**options)
