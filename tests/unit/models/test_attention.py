import math

import pytest
import torch

from seq2seq.models.attention import Attention
from seq2seq.models.memory import Encoded, Memory
from seq2seq.models.scores import AdditiveScore, DotScore, GeneralScore, Score

LENGTHS = [5, 1, 3]
QUERY, MEMORY = 3, 4


@pytest.fixture(params=["dot", "general", "additive"])
def attention(request):
    torch.manual_seed(0)
    score = {
        "dot": DotScore(),
        "general": GeneralScore(QUERY, MEMORY),
        "additive": AdditiveScore(QUERY, MEMORY, 6),
    }[request.param]
    return Attention(score)


@pytest.fixture
def query_size(attention):
    return MEMORY if type(attention.score) is DotScore else QUERY


def encoded_of(draw):
    memory = draw(len(LENGTHS), max(LENGTHS), MEMORY)
    return Encoded(memory, torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None], None)


def reference(attention, query, encoded, b, q):
    """Weights and context of one query in plain Python, from the score of each real position by itself."""
    real = [s for s in range(encoded.mask.shape[1]) if encoded.mask[b, s]]
    states = {s: encoded.memory[b, s].double() for s in real}
    score = attention.score.double()
    energies = {
        s: score(query[b, q].double()[None, None], score.project(h[None, None])).item() for s, h in states.items()
    }
    attention.score.float()
    total = sum(math.exp(energy) for energy in energies.values())
    weights = {s: math.exp(energy) / total for s, energy in energies.items()}
    context = [sum(weights[s] * states[s][i].item() for s in real) for i in range(MEMORY)]
    return weights, context


def test_weights_are_a_softmax_over_real_positions_and_context_is_their_mean(attention, query_size, tensors):
    draw = tensors(1)
    query, encoded = 2 * draw(3, 4, query_size), encoded_of(draw)
    context, weights = attention(query, attention.prepare(encoded))
    assert context.shape == (3, 4, MEMORY)
    assert weights.shape == (3, 4, 5)
    for b in range(3):
        for q in range(4):
            expected_weights, expected_context = reference(attention, query, encoded, b, q)
            for s in range(5):
                assert weights[b, q, s].item() == pytest.approx(expected_weights.get(s, 0.0), abs=1e-6)
            assert context[b, q].tolist() == pytest.approx(expected_context, abs=1e-5)


def test_weights_sum_to_one_and_are_exactly_zero_on_padding(attention, query_size, tensors):
    draw = tensors(2)
    encoded = encoded_of(draw)
    weights = attention(30 * draw(3, 7, query_size), attention.prepare(encoded)).weights
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 7))
    padding = ~encoded.mask[:, None].expand_as(weights)
    assert (weights[padding] == 0).all()
    assert (weights[1, :, 0] == 1).all()  # of a single word


def test_what_stands_at_padding_changes_nothing(attention, query_size, tensors):
    draw = tensors(3)
    query, encoded = draw(3, 2, query_size), encoded_of(draw)
    dirty = encoded._replace(memory=torch.where(encoded.mask[..., None], encoded.memory, 1e4))
    clean = attention(query, attention.prepare(encoded))
    for was, now in zip(clean, attention(query, attention.prepare(dirty)), strict=True):
        assert torch.equal(was, now)


def test_queries_of_a_sentence_know_nothing_of_each_other(attention, query_size, tensors):
    draw = tensors(4)
    query, memory = draw(3, 6, query_size), attention.prepare(encoded_of(draw))
    together = attention(query, memory)
    for q in range(6):
        alone = attention(query[:, q : q + 1], memory)
        torch.testing.assert_close(alone.context, together.context[:, q : q + 1], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(alone.weights, together.weights[:, q : q + 1], atol=1e-6, rtol=1e-5)


def test_keys_are_projected_when_prepared_and_never_again(tensors):
    class Counting(Score):
        calls = 0

        def project(self, memory):
            self.calls += 1
            return 2 * memory

        def forward(self, query, keys):
            return query @ keys.transpose(1, 2)

    attention, draw = Attention(Counting()), tensors(5)
    encoded = encoded_of(draw)
    memory = attention.prepare(encoded)
    for _ in range(4):
        attention(draw(3, 2, MEMORY), memory)
    assert attention.score.calls == 1
    assert torch.equal(memory.keys, 2 * encoded.memory)
    assert torch.equal(memory.values, encoded.memory)
    assert torch.equal(memory.mask, encoded.mask)


def test_the_memory_of_some_sentences_in_another_order(tensors):
    draw = tensors(6)
    memory = Memory(draw(3, 5, 2), draw(3, 5, 4), torch.arange(5) < torch.tensor(LENGTHS)[:, None])
    chosen = memory.select(torch.tensor([2, 0]))
    for field, kept in zip(memory, chosen, strict=True):
        assert torch.equal(kept, torch.stack([field[2], field[0]]))
