"""What a model gives for a sentence doesn't depend on the sentences beside it, nor on padding or order."""

import pytest
import torch

from seq2seq.models.seq2seq import SearchState
from seq2seq.search.beam import SearchOptions, beam_search
from seq2seq.search.protocol import SpecialIds
from seq2seq.training.loss import cross_entropy

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
ORDERS = [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]]
BEAMS = 4
PAD, BOS, EOS, UNK = 3, 1, 2, 0


def forced(model, batch):
    """Of each sentence: logits of its tokens, their loss, and its weights without padding."""
    logits, weights = model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
    gold = batch.target_output[batch.target_mask]
    target_lengths = batch.target_mask.sum(dim=1).tolist()
    results = []
    for row, (part, targets) in enumerate(zip(logits.split(target_lengths), gold.split(target_lengths), strict=True)):
        seen = None
        if weights is not None:
            assert (weights[row, :, batch.source_lengths[row] :] == 0).all()
            seen = weights[row, : len(targets), : batch.source_lengths[row]]
        results.append((part, cross_entropy(part, targets, 0.1).smoothed, seen))
    return results, cross_entropy(logits, gold, 0.1).smoothed


@torch.no_grad()
def test_teacher_forcing(variant, model, pairs, pad):
    alone = [forced(model, pad([pair]))[0][0] for pair in pairs]
    assert len({len(logits) for logits, _, _ in alone}) == len(pairs)
    for order in ORDERS:
        for extra in (0, 3):
            together, loss = forced(model, pad([pairs[i] for i in order], extra))
            torch.testing.assert_close(loss, sum(alone[i][1] for i in order), **TOLERANCE)
            for i, result in zip(order, together, strict=True):
                for value, expected in zip(result, alone[i], strict=True):
                    if value is None:
                        assert expected is None
                        assert variant.attention == "none"
                    else:
                        torch.testing.assert_close(value, expected, **TOLERANCE)


class Tiled:
    """The same model with its memory copied to every beam, B * K sentences of one row each, and moved with them."""

    def __init__(self, model):
        self.model = model

    def start(self, source, lengths, beams):
        rows = torch.arange(len(source)).repeat_interleave(beams)
        return TiledState(self.model.start(source[rows], lengths[rows], 1), beams)

    def step(self, tokens, state):
        logits, weights, following = self.model.step(tokens, state.inner)
        return Stepped(logits, weights, TiledState(following, state.beams))


class TiledState:
    def __init__(self, inner, beams):
        self.inner, self.beams = inner, beams

    def select(self, rows):
        memory = None if self.inner.memory is None else self.inner.memory.select(rows)
        return TiledState(SearchState(self.inner.decoder.select(rows), memory, 1), self.beams)

    def keep(self, sentences):
        return self.select(torch.cat([torch.arange(self.beams) + self.beams * i for i in sentences.tolist()]))


class Stepped:
    def __init__(self, logits, weights, state):
        self.logits, self.weights, self.state = logits, weights, state


def search(model, pairs, pad, extra=0):
    batch = pad(pairs, extra)
    options = SearchOptions(beam_size=BEAMS, n_best=2, return_attention=True)
    special = SpecialIds(BOS, EOS, (PAD, BOS, UNK))
    limits = 2 * batch.source_lengths + 3
    found = beam_search(model, batch.source, batch.source_lengths, limits, options, special)
    return [hypotheses[:2] for hypotheses in found]  # those that are searched for in earnest


def assert_same(found, expected):
    assert [hypothesis.tokens for hypothesis in found] == [hypothesis.tokens for hypothesis in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
        assert one.score == pytest.approx(other.score, abs=1e-4)
        if one.weights is None:
            assert other.weights is None
        else:
            torch.testing.assert_close(one.weights, other.weights, atol=1e-4, rtol=0)


@torch.no_grad()
def test_search(variant, model, pairs, pad):
    alone = [search(model, [pair], pad)[0] for pair in pairs]
    assert len({len(hypothesis.tokens) for hypotheses in alone for hypothesis in hypotheses}) > 1
    for (source, _), hypotheses in zip(pairs, alone, strict=True):
        for hypothesis in hypotheses:
            if variant.attention == "none":
                assert hypothesis.weights is None
            else:
                assert hypothesis.weights.shape == (len(hypothesis.tokens) + 1, len(source) + 1)
                torch.testing.assert_close(hypothesis.weights.sum(1), torch.ones(len(hypothesis.tokens) + 1))
    for order, extra in zip(ORDERS, (0, 3), strict=True):
        for i, found in zip(order, search(model, [pairs[i] for i in order], pad, extra), strict=True):
            assert_same(found, alone[i])
    for found, expected in zip(search(Tiled(model), pairs, pad), alone, strict=True):
        assert_same(found, expected)


@torch.no_grad()
def test_what_search_finds_is_what_forced_scoring_gives(variant, model, pairs, pad):
    sources = [source for source, _ in pairs]
    found = [hypotheses[0] for hypotheses in search(model, pairs, pad)]
    scored, _ = forced(model, pad([(source, best.tokens) for source, best in zip(sources, found, strict=True)]))
    for hypothesis, (logits, _, weights) in zip(found, scored, strict=True):
        log_probs = logits.log_softmax(-1)[range(len(logits)), [*hypothesis.tokens, EOS]]
        assert hypothesis.log_prob == pytest.approx(log_probs.sum().item(), abs=1e-4)
        if weights is not None:
            torch.testing.assert_close(hypothesis.weights, weights, atol=1e-4, rtol=0)
