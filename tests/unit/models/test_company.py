"""What a model gives for a sentence doesn't depend on the sentences beside it, nor on padding or order."""

import functools

import pytest
import torch
from torch.nn import functional as F

from seq2seq.grid import Grid
from seq2seq.search.beam import SearchOptions, beam_search
from seq2seq.search.protocol import SpecialIds

TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}
ANOTHER = (2, 0, 1)  # order of the sentences,
EXTRA = 3  # with so many columns of padding that nobody needs
BEAMS = 3
PAD, BOS, EOS, UNK = 3, 1, 2, 0
RAISED = (2, 5, 0)  # a position of each sentence
MUCH = 1e4


def forced(model, batch):
    """Of each sentence: logits of its tokens, their loss, and its weights without padding."""
    features, weights = model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
    logits = model.output(features)
    gold = batch.target_output[batch.target_mask]
    target_lengths = batch.target_mask.sum(dim=1).tolist()
    results = []
    for row, (part, targets) in enumerate(zip(logits.split(target_lengths), gold.split(target_lengths), strict=True)):
        seen = None
        if weights is not None:
            assert (weights[row, :, batch.source_lengths[row] :] == 0).all()
            seen = weights[row, : len(targets), : batch.source_lengths[row]]
        results.append((part, F.cross_entropy(part, targets, reduction="sum"), seen))
    return results, F.cross_entropy(logits, gold, reduction="sum")


@torch.no_grad()
def test_teacher_forcing(variant, model, pairs, pad):
    alone = [forced(model, pad([pair]))[0][0] for pair in pairs]
    assert len({len(logits) for logits, _, _ in alone}) == len(pairs)
    together, loss = forced(model, pad([pairs[i] for i in ANOTHER], EXTRA))
    torch.testing.assert_close(loss, sum(loss for _, loss, _ in alone), **TOLERANCE)
    for i, result in zip(ANOTHER, together, strict=True):
        for value, expected in zip(result, alone[i], strict=True):
            assert (value is None) == (expected is None)
            if value is not None:
                torch.testing.assert_close(value, expected, **TOLERANCE)
        assert (result[2] is not None) == variant.attends


class Tiled:
    """The same model with its memory copied to every beam, B * K sentences of one row each, and moved with them."""

    def __init__(self, model):
        self.model = model

    def start(self, source, lengths, bias):
        return TiledState(self.model.start(source, lengths))

    def step(self, tokens, state):
        logits, weights, following = self.model.step(tokens, state.inner)
        return Stepped(logits, weights, TiledState(following))


class TiledState:
    def __init__(self, inner):
        self.inner = inner

    def select(self, rows, grid, sentences=None):
        return TiledState(self.inner.select(rows, Grid.full(len(rows)), rows))


class Stepped:
    def __init__(self, logits, weights, state):
        self.logits, self.weights, self.state = logits, weights, state


def search(model, pairs, pad, extra=0, bias=None):
    batch = pad(pairs, extra)
    options = SearchOptions(beam_size=BEAMS, n_best=2, return_attention=True)
    special = SpecialIds(BOS, EOS, (PAD, BOS, UNK))
    limits = batch.source_lengths + 1
    found = beam_search(model, batch.source, batch.source_lengths, limits, options, special, bias=bias)
    return [hypotheses[:2] for hypotheses in found]  # those that are searched for in earnest


@pytest.fixture(scope="module")
def together(pairs, pad):
    """What a search finds for all sentences at once, in another order: one search a model."""
    return functools.cache(lambda model: search(model, [pairs[i] for i in ANOTHER], pad, EXTRA))


def assert_same(found, expected):
    assert [hypothesis.tokens for hypothesis in found] == [hypothesis.tokens for hypothesis in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert (one.weights is None) == (other.weights is None)
        if one.weights is not None:
            torch.testing.assert_close(one.weights, other.weights, atol=1e-4, rtol=0)


@torch.no_grad()
def test_search(variant, model, together, pairs, pad):
    alone = [search(model, [pair], pad)[0] for pair in pairs]
    for (source, _), hypotheses in zip(pairs, alone, strict=True):
        for hypothesis in hypotheses:
            assert (hypothesis.weights is not None) == variant.attends
            if variant.attends:
                assert hypothesis.weights.shape == (len(hypothesis.tokens) + 1, len(source) + 1)
    for i, found in zip(ANOTHER, together(model), strict=True):
        assert_same(found, alone[i])
    for found, expected in zip(search(Tiled(model), pairs, pad), alone, strict=True):
        assert_same(found, expected)


@torch.no_grad()
def test_what_search_finds_is_what_forced_scoring_gives(model, together, pairs, pad):
    found = [hypotheses[0] for hypotheses in together(model)]
    pairs = [(pairs[i][0], best.tokens) for i, best in zip(ANOTHER, found, strict=True)]
    for hypothesis, (logits, _, weights) in zip(found, forced(model, pad(pairs))[0], strict=True):
        log_probs = logits.log_softmax(-1)[range(len(logits)), [*hypothesis.tokens, EOS]]
        assert hypothesis.log_prob == pytest.approx(log_probs.sum().item(), abs=1e-4)
        if weights is not None:
            torch.testing.assert_close(hypothesis.weights, weights, atol=1e-4, rtol=0)


def test_a_bias_turns_all_attention_to_a_position(variant, model, pairs, pad):
    """At every step and of every hypothesis, however many sentences have ended; but no window opens for it."""
    source = pad(pairs).source
    bias = MUCH * torch.nn.functional.one_hot(torch.tensor(RAISED), source.shape[1])
    seen = 0
    for hypotheses, position in zip(search(model, pairs, pad, bias=bias), RAISED, strict=True):
        for hypothesis in hypotheses if variant.attends else []:
            inside = hypothesis.weights[:, position] > 0
            seen += int(inside.sum())
            torch.testing.assert_close(hypothesis.weights[inside, position], hypothesis.weights[inside].sum(dim=1))
            if variant.config.attention.window == "none":
                assert inside.all()
    assert seen or not variant.attends


@torch.no_grad()
def test_a_bias_of_zeros_is_none(model, pairs, pad):
    batch = pad(pairs)
    states = [model.start(batch.source, batch.source_lengths, bias) for bias in (None, torch.zeros(batch.source.shape))]
    for tokens in 4 + torch.arange(3 * len(pairs)).view(3, -1) % 10:
        (without, *_), (logits, *_) = steps = [model.step(tokens, state) for state in states]
        assert torch.equal(logits, without)
        states = [step.state for step in steps]
