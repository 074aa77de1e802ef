"""A search among each sentence's own tokens, against the search over all with every other token masked."""

import math
from itertools import chain
from typing import NamedTuple

import pytest
import torch
from torch import nn

from seq2seq.search.beam import SearchOptions, beam_search
from seq2seq.search.protocol import SpecialIds
from seq2seq.search.sampling import SamplingOptions, sample
from seq2seq.search.shortlist import Shortlist, rows

VOCABULARY, FEATURES = 23, 5


class Decoded(NamedTuple):
    features: torch.Tensor
    weights: torch.Tensor
    state: object


class Step(NamedTuple):
    logits: torch.Tensor
    weights: torch.Tensor
    state: object


class MaskedState(NamedTuple):
    inner: object
    allowed: torch.Tensor  # (B, V)

    def select(self, chosen, grid, sentences=None):
        allowed = self.allowed if sentences is None else self.allowed[sentences]
        return MaskedState(self.inner.select(chosen, grid, sentences), allowed)


class Masked:
    """The reference: logits over the whole vocabulary, -inf at what a sentence may not use."""

    def __init__(self, model, allowed):
        self.model, self.allowed = model, allowed

    def start(self, source, lengths, bias=None):
        return MaskedState(self.model.start(source, lengths, bias), self.allowed)

    def step(self, tokens, state):
        features, weights, inner = self.model.features(tokens, state.inner)
        owners = state.inner.grid.owners(tokens.device)
        logits = self.model.output(features).masked_fill(~state.allowed[owners], -torch.inf)
        return Step(logits, weights, state._replace(inner=inner))


@pytest.fixture(scope="module")
def model(table_model):
    """The table model with features in its table, and an output layer behind it."""

    class Halved(table_model):
        def __init__(self):
            super().__init__(FEATURES, seed=3)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(8)
                self.output = nn.Linear(FEATURES, VOCABULARY)

        def features(self, tokens, state):
            features, weights, after = super().step(tokens, state)
            return Decoded(features, weights, after)

        def step(self, tokens, state):
            raise AssertionError("the whole output layer is not asked for")

    return Halved()


@pytest.fixture(scope="module")
def allowed(sources):
    """Lists of three to nine words; by chance some hold a special id, and words that no other has."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.zeros(len(sources), VOCABULARY, dtype=torch.bool)
    for sentence in range(len(sources)):
        mask[sentence, torch.randint(0, VOCABULARY, (3 + sentence % 7,), generator=generator)] = True
    return mask


COMMON = [17, 5]


def with_shared(allowed, prefixes=None, common=COMMON):
    mask = allowed.clone()
    mask[:, [0, 1, 2, 3, *common]] = True
    for sentence, prefix in enumerate(prefixes or []):
        mask[sentence, prefix] = True
    return mask


def shortlisted(model, batch, sources, allowed, search, options, prefixes=None, common=COMMON, **more):
    source, lengths = batch(sources)
    shortlist = Shortlist(common, allowed, model.special, prefixes)
    limits = torch.full((len(sources),), 8)
    return shortlist.read(
        search(
            shortlist.of(model, torch.device("cpu")),
            source,
            lengths,
            limits,
            options,
            shortlist.special,
            prefixes=shortlist.prefixes,
            **more,
        )
    )


def assert_same(found, expected):
    assert [[one.tokens for one in sentence] for sentence in found] == [
        [one.tokens for one in sentence] for sentence in expected
    ]
    for one, other in zip(chain(*found), chain(*expected), strict=True):
        assert (one.log_prob, one.score) == pytest.approx((other.log_prob, other.score), abs=1e-5)
        assert (one.weights is None) == (other.weights is None)
        if one.weights is not None:
            torch.testing.assert_close(one.weights, other.weights)


@pytest.mark.parametrize(
    "options",
    [
        {"beam_size": 1},
        {"beam_size": 5, "n_best": 5},
        {"beam_size": 30, "n_best": 4},  # more than there are tokens
        {"block_ngram": 2, "repetition_penalty": 1.4, "return_attention": True},
        {"coverage_penalty": 0.3, "min_length": 4, "length_penalty": "gnmt"},
    ],
    ids=str,
)
@pytest.mark.parametrize("forced", [False, True])
def test_it_is_the_search_with_all_else_masked(model, batch, sources, allowed, options, forced):
    options = SearchOptions(**options)
    prefixes = [[[], [3, 7], [19]][i % 3] for i in range(len(sources))] if forced else None
    source, lengths = batch(sources)
    limits = torch.full((len(sources),), 8)
    masked = Masked(model, with_shared(allowed, prefixes))
    expected = beam_search(masked, source, lengths, limits, options, model.special, prefixes)
    found = shortlisted(model, batch, sources, allowed, beam_search, options, prefixes)
    assert_same(found, expected)
    assert len({len(one.tokens) for sentence in found for one in sentence}) > 2
    if forced:
        assert all(one.tokens[:2] == [3, 7] for one in found[1])


def test_samples_are_those_of_the_masked_vocabulary(model, batch, sources, allowed):
    """A draw goes by the order of the tokens, which is that of the ids where none but the special ones are shared."""
    options, seeds = SamplingOptions(samples=4, temperature=1.5), range(len(sources))
    source, lengths = batch(sources)
    masked = Masked(model, with_shared(allowed, common=[]))
    expected = sample(masked, source, lengths, torch.full((len(sources),), 8), options, model.special, seeds)
    found = shortlisted(model, batch, sources, allowed, sample, options, common=[], seeds=seeds)
    assert_same(found, expected)


@pytest.mark.parametrize("size", [1, 7])
def test_a_sentence_does_not_depend_on_its_company(model, batch, sources, allowed, size):
    options = SearchOptions(beam_size=4, n_best=2, return_attention=True)
    together = shortlisted(model, batch, sources, allowed, beam_search, options)
    apart = []
    for start in range(0, len(sources), size):
        part = slice(start, start + size)
        apart += shortlisted(model, batch, sources[part], allowed[part], beam_search, options)
    assert_same(apart, together)


def test_scores_are_shares_of_the_list(model, batch, sources, allowed):
    """log p(y | list) = sum_t log p(y_t) - log sum of p over the list, in plain Python."""
    found = shortlisted(model, batch, sources, allowed, beam_search, SearchOptions(beam_size=2))
    weight, bias = model.output.weight.tolist(), model.output.bias.tolist()
    for source, mask, hypotheses in zip(sources, with_shared(allowed).tolist(), found, strict=True):
        tokens = hypotheses[0].tokens
        total = 0.0
        for step, token in enumerate([*tokens, model.special.eos]):
            features = model.table[model.hash(source, tokens[:step])].tolist()
            logits = [
                sum(map(math.prod, zip(row, features, strict=True))) + b for row, b in zip(weight, bias, strict=True)
            ]
            mass = sum(math.exp(logit) for logit, is_allowed in zip(logits, mask, strict=True) if is_allowed)
            total += logits[token] - math.log(mass)
        assert hypotheses[0].log_prob == pytest.approx(total, abs=1e-4)


def test_special_ids_that_are_one_and_lie_anywhere(sources, allowed):
    """A foreign vocabulary may begin and end sentences by one id, and have unknown pieces last."""
    special = SpecialIds(bos=9, eos=9, suppressed=[22, 4])
    shortlist = Shortlist([5, 22, 17], allowed, special, [[12]] * len(sources))
    assert (shortlist.special.bos, shortlist.special.eos, [*shortlist.special.suppressed]) == (0, 0, [1, 2])
    assert shortlist.shared.tolist() == [9, 22, 4, 5, 17]
    for sentence, mask in enumerate(allowed.tolist()):
        expected = {token for token in range(VOCABULARY) if mask[token]} | {12}
        own = shortlist.own[sentence][~shortlist.padding[sentence]].tolist()
        assert own == sorted(expected - {9, 22, 4, 5, 17})  # each of them once


def test_nothing_but_what_all_may_use(model, batch, sources, allowed):
    """No sentence has tokens of its own."""
    none = torch.zeros_like(allowed)
    options = SearchOptions(beam_size=3)
    source, lengths = batch(sources)
    masked = Masked(model, with_shared(none))
    expected = beam_search(masked, source, lengths, torch.full((len(sources),), 8), options, model.special)
    assert_same(shortlisted(model, batch, sources, none, beam_search, options), expected)


def test_only_the_tokens_of_the_lists_are_computed(model, batch, sources, allowed):
    shortlist = Shortlist(COMMON, allowed[:2], model.special, None)
    short = shortlist.of(model, torch.device("cpu"))
    step = short.step(torch.zeros(2, dtype=torch.long), short.start(*batch(sources[:2])))
    longest = int(with_shared(allowed[:2]).sum(dim=1).amax())
    assert step.logits.shape == (2, longest)
    assert longest < VOCABULARY


def test_rows_of_a_layer():
    ids, features = torch.tensor([4, 0, 6]), torch.randn(2, FEATURES, generator=torch.Generator().manual_seed(0))
    for bias in (True, False):
        layer = nn.Linear(FEATURES, 7, bias=bias)
        part = rows(layer, ids)
        torch.testing.assert_close(part.layer(features), layer(features)[:, ids])
        torch.testing.assert_close(features @ part.weight.T + part.bias, layer(features)[:, ids])


def test_another_kind_of_layer_is_asked_for_its_rows():
    class Doubling(nn.Module):
        def __init__(self, ids):
            super().__init__()
            self.ids = ids
            self.weight, self.bias = 2 * torch.eye(2)[ids], torch.zeros(len(ids))

        def select(self, ids):
            return Doubling(self.ids[ids])

        def forward(self, features):
            return features[:, self.ids] * 2

    part = rows(Doubling(torch.arange(2)), torch.tensor([1]))
    assert part.layer(torch.tensor([[3.0, 4.0]])).tolist() == [[8.0]]
    assert part.weight.tolist() == [[0.0, 2.0]]
