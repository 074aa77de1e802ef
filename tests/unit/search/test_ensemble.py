"""An ensemble against plain Python: the normalised geometric mean of tables, searched by enumeration."""

import math
from itertools import product
from typing import NamedTuple

import pytest
import torch

from seq2seq.search.beam import SearchOptions, beam_search
from seq2seq.search.ensemble import Ensemble, together
from seq2seq.search.sampling import SamplingOptions, sample

EOS = 2


class Unattending:
    """A member without attention weights."""

    def __init__(self, model):
        self.model = model

    def start(self, source, lengths, bias=None):
        return self.model.start(source, lengths, bias)

    def step(self, tokens, state):
        return self.model.step(tokens, state)._replace(weights=None)


class CountingState(NamedTuple):
    """A state of another kind: of each row, how many tokens it has read and their sum."""

    counts: torch.Tensor  # (R)
    sums: torch.Tensor  # (R)

    def select(self, rows, grid, sentences=None):
        return CountingState(self.counts[rows], self.sums[rows])


class CountingStep(NamedTuple):
    logits: torch.Tensor
    weights: None
    state: CountingState


class CountingModel:
    """Knows no source; bf16 logits that rise with the number of tokens and fall with the distance to their sum."""

    def __init__(self, vocabulary_size):
        self.vocabulary_size = vocabulary_size

    def start(self, source, lengths, bias=None):
        zeros = torch.zeros(len(source), dtype=torch.long)
        return CountingState(zeros, zeros)

    def step(self, tokens, state):
        after = state._replace(counts=state.counts + 1, sums=state.sums + tokens)
        logits = [self.logits(*row) for row in zip(after.counts.tolist(), after.sums.tolist(), strict=True)]
        return CountingStep(torch.tensor(logits).bfloat16(), None, after)

    def logits(self, count, total):
        """All of them numbers that bf16 holds."""
        return [count * (token == EOS) - 0.5 * ((total + token) % 5) for token in range(self.vocabulary_size)]

    def log_probs(self, source, prefix):
        logits = self.logits(len(prefix) + 1, 1 + sum(prefix))
        log_z = math.log(sum(map(math.exp, logits)))
        return [logit - log_z for logit in logits]


def plain(members, source, prefix):
    """In float64: the mean of the members' log-probabilities, less the log of what it sums to."""
    columns = zip(*(member.log_probs(source, prefix) for member in members), strict=True)
    means = [sum(column) / len(members) for column in columns]
    log_z = math.log(sum(map(math.exp, means)))
    return [value - log_z for value in means]


def plain_log_prob(members, source, tokens):
    return sum(plain(members, source, tokens[:t])[token] for t, token in enumerate([*tokens, EOS]))


def search(model, batch, sources, max_lengths, options, special):
    source, lengths = batch(sources)
    return beam_search(model, source, lengths, torch.tensor(max_lengths), options, special)


@pytest.fixture
def members(table_model):
    return [table_model(seed=1), table_model(seed=2), CountingModel(7)]


@pytest.mark.parametrize("count", [2, 3])
def test_a_wide_beam_finds_what_enumeration_finds(members, count, batch):
    members = members[:count]
    special, words = members[0].special, members[0].words
    sources, max_lengths = [[5, 8], [9], [4, 4, 4]], [5, 4, 2]
    options = SearchOptions(beam_size=121, n_best=5, length_penalty="average")
    found = search(Ensemble(members), batch, sources, max_lengths, options, special)
    for source, max_length, hypotheses in zip(sources, max_lengths, found, strict=True):
        everything = []
        for size in range(max_length):
            for tokens in product(words, repeat=size):
                log_prob = plain_log_prob(members, source, list(tokens))
                everything.append((list(tokens), log_prob, log_prob / (size + 1)))
        everything.sort(key=lambda hypothesis: -hypothesis[2])
        for hypothesis, (tokens, log_prob, score) in zip(hypotheses[:5], everything[:5], strict=False):
            assert hypothesis.tokens == tokens
            assert hypothesis[1:3] == (pytest.approx(log_prob, abs=1e-5), pytest.approx(score, abs=1e-5))


def test_a_narrow_beam_follows_the_mean_at_each_step(members, batch, sources):
    """Three beams in plain Python, over many sentences that end at different steps."""
    special, words, width, longest = members[0].special, members[0].words, 3, 7
    options = SearchOptions(beam_size=width, length_penalty="none")
    found = search(Ensemble(members), batch, sources, [longest] * len(sources), options, special)
    for source, hypotheses in zip(sources, found, strict=True):
        live, ended = [([], 0.0)], []
        while live:
            grown = []
            for tokens, total in live:
                following = plain(members, source, tokens)
                allowed = [EOS] if len(tokens) == longest - 1 else [EOS, *words]
                grown += [([*tokens, token], total + following[token]) for token in allowed]
            kept = sorted(grown, key=lambda one: -one[1])[: width - len(ended)]
            ended += [(tokens[:-1], total) for tokens, total in kept if tokens[-1] == EOS]
            live = [one for one in kept if one[0][-1] != EOS]
        tokens, total = max(ended, key=lambda one: one[1])
        assert hypotheses[0].tokens == tokens
        assert hypotheses[0].log_prob == pytest.approx(total, abs=1e-5)


def test_a_step_gives_a_distribution_that_is_no_single_members(members, batch):
    source, lengths = batch([[5, 8], [9]])
    ensemble = Ensemble(members)
    output = ensemble.step(torch.tensor([1, 1]), ensemble.start(source, lengths))
    assert output.logits.dtype == torch.float32
    for row, ids in enumerate(([5, 8], [9])):
        expected = plain(members, ids, [])
        assert sum(map(math.exp, expected)) == pytest.approx(1)
        assert output.logits[row].log_softmax(0).tolist() == pytest.approx(expected, abs=1e-5)
        for member in members:
            assert expected != pytest.approx(member.log_probs(ids, []), abs=0.05)


@pytest.mark.parametrize("copies", [1, 2, 4])
def test_a_model_with_itself_is_that_model(table_model, batch, sources, copies):
    model = table_model(vocabulary_size=30, eos_bias=1.0)
    options = SearchOptions(beam_size=4, n_best=4, coverage_penalty=0.2, return_attention=True)
    arguments = (batch, sources, [9] * len(sources), options, model.special)
    alone = search(model, *arguments)
    doubled = search(Ensemble([model] * copies), *arguments)
    for one, other in zip(alone, doubled, strict=True):
        assert [hypothesis[:3] for hypothesis in one] == [hypothesis[:3] for hypothesis in other]
        for mine, its in zip(one, other, strict=True):
            assert torch.equal(mine.weights, its.weights)


def test_one_model_alone_needs_no_ensemble(table_model):
    model = table_model()
    assert together([model]) is model


def test_attention_is_the_mean_of_those_that_attend(table_model, batch):
    class Backwards(table_model):
        """Looks elsewhere."""

        def step(self, tokens, state):
            output = super().step(tokens, state)
            return output._replace(weights=output.weights.flip(1))

    model, other = table_model(), Backwards()
    source, lengths = batch([[5, 8, 6]])
    ensemble = Ensemble([model, Unattending(table_model(seed=3)), other])
    weights = ensemble.step(torch.tensor([1]), ensemble.start(source, lengths)).weights
    own = torch.tensor(model.weights([5, 8, 6], []))
    torch.testing.assert_close(weights, (own + own.flip(1)) / 2)
    assert not torch.equal(own, own.flip(1))
    silent = Ensemble([Unattending(model), Unattending(other)])
    assert silent.step(torch.tensor([1]), silent.start(source, lengths)).weights is None


def test_what_a_member_finds_impossible_is_impossible(table_model, batch):
    model, other = table_model(seed=1), table_model(seed=2)
    model.table[:, 5] = -math.inf
    hypotheses = search(Ensemble([other, model]), batch, [[5, 8], [9]], [6, 6], SearchOptions(), model.special)
    without = search(model, batch, [[5, 8], [9]], [6, 6], SearchOptions(), model.special)
    free = search(other, batch, [[5, 8], [9]], [6, 6], SearchOptions(), model.special)
    assert all(5 not in hypothesis.tokens for sentence in [*hypotheses, *without] for hypothesis in sentence)
    assert any(5 in hypothesis.tokens for sentence in free for hypothesis in sentence)


def test_the_bias_reaches_all_members(table_model, batch):
    seen = []

    class Biased(table_model):
        def start(self, source, lengths, bias=None):
            seen.append(bias)
            return super().start(source, lengths, bias)

    source, lengths = batch([[5, 8]])
    bias = torch.tensor([[1.0, 2.0]])
    Ensemble([Biased(seed=1), Biased(seed=2)]).start(source, lengths, bias)
    assert len(seen) == 2
    assert all(one is bias for one in seen)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_sentence_does_not_depend_on_its_company(members, batch, sources, beam_size):
    special, options = members[0].special, SearchOptions(beam_size=beam_size, n_best=beam_size)
    together_found = search(Ensemble(members), batch, sources, [8] * len(sources), options, special)
    assert len({len(sentence[0].tokens) for sentence in together_found}) > 2
    for source, expected in zip(sources, together_found, strict=True):
        (alone,) = search(Ensemble(members), batch, [source], [8], options, special)
        assert [hypothesis.tokens for hypothesis in alone] == [hypothesis.tokens for hypothesis in expected]
        for one, other in zip(alone, expected, strict=True):
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-5)


def test_samples_are_drawn_from_the_ensembles_distribution(members, batch):
    """Frequencies of the first token of many draws."""
    special, draws = members[0].special, 4000
    source, lengths = batch([[5, 8]])
    options = SamplingOptions(samples=draws)
    (found,) = sample(Ensemble(members), source, lengths, torch.tensor([2]), options, special, [7])
    expected = {token: math.exp(value) for token, value in enumerate(plain(members, [5, 8], []))}
    mass = sum(expected[token] for token in [EOS, *members[0].words])  # the others are suppressed
    for word in members[0].words:
        drawn = sum(hypothesis.tokens[:1] == [word] for hypothesis in found) / draws
        assert drawn == pytest.approx(expected[word] / mass, abs=0.03)
