import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seq2seq.models.attention import Treatment
from seq2seq.models.coverage import LinguisticCoverage
from seq2seq.models.dropout import Dropout
from seq2seq.models.memory import Encoded
from seq2seq.models.multi_head import MultiHeadAttention
from seq2seq.models.normalizers import softmax, sparsemax
from seq2seq.models.priors import DiagonalPrior
from seq2seq.models.scores import AdditiveScore, DotScore, GeneralScore, MultiHeadScore, ScaledDotScore
from seq2seq.models.windows import GlobalWindow, MonotonicWindow, PredictiveWindow

TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}
LENGTHS, STEPS, HEADS = [5, 1, 3], 4, 3
QUERY, MEMORY, KEY, VALUE, CONTEXT = 5, 4, 6, 9, 7
SIZE = KEY // HEADS
SCORES = {
    "dot": DotScore,
    "scaled_dot": ScaledDotScore,
    "general": lambda: GeneralScore(SIZE, SIZE),
    "additive": lambda: AdditiveScore(SIZE, SIZE, SIZE),
}


def made(score="scaled_dot", normalizer=softmax, window=None, prior=None, coverage=None, dropout=0.0, temperature=1.0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        value_projection = nn.Linear(MEMORY, VALUE, bias=False)
        window = GlobalWindow() if window is None else window()
        treatment = Treatment(
            normalizer, window, prior, coverage and coverage(), value_projection, Dropout(dropout), temperature
        )
        heads = MultiHeadScore(QUERY, MEMORY, KEY, [SCORES[score]() for _ in range(HEADS)])
        attention = MultiHeadAttention(heads, treatment, VALUE, CONTEXT).double().eval()
        for parameter in attention.parameters():
            parameter.data.mul_(2.0)
    return attention


@pytest.fixture
def scene(tensors, float64):
    """Something to attend to, queries, and a bias."""
    draw = tensors(1, torch.float64)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    encoded = Encoded(draw(len(LENGTHS), max(LENGTHS), MEMORY), mask, None)
    return encoded, 2 * draw(len(LENGTHS), STEPS, QUERY), draw(len(LENGTHS), max(LENGTHS))


def energy(name, score, head, query, key):
    """The score of one head for one query and one source word, before any normalizer."""
    own = score.heads[head]
    if name == "additive":
        w, u, v = own.query_projection.weight, own.key_projection.weight, own.energy.weight[0]
        return v @ torch.tanh(w @ query + u @ key)
    if name == "general":
        return query @ own.key_projection.weight @ key
    return query @ key / (SIZE**0.5 if name == "scaled_dot" else 1.0)


@torch.no_grad()
@pytest.mark.parametrize("name", SCORES)
def test_heads_attend_by_themselves_and_one_matrix_joins_them(name, scene):
    """[head_1; ..; head_h] W_O, head_i = attention(W_q^i q, W_k^i h, W_v^i h): Vaswani et al. (2017), section 3.2.2."""
    attention, (encoded, queries, _) = made(name), scene
    memory = attention.prepare(encoded, None)
    context, weights, _ = attention(queries, memory, attention.start(memory))
    assert context.shape == (3, STEPS, CONTEXT)
    score = attention.score
    w_q, w_k = (layer.weight.split(SIZE) for layer in (score.query_projection, score.key_projection))
    w_v = attention.value_projection.weight.split(VALUE // HEADS)
    for b, length in enumerate(LENGTHS):
        states = encoded.memory[b, :length]
        for t in range(STEPS):
            parts, shares = [], []
            for i in range(HEADS):
                scores = [energy(name, score, i, w_q[i] @ queries[b, t], w_k[i] @ h) for h in states]
                shares.append(torch.stack(scores).softmax(0))
                parts.append(sum(share * (w_v[i] @ h) for share, h in zip(shares[-1], states, strict=True)))
            expected = attention.output_projection.weight @ torch.cat(parts)
            torch.testing.assert_close(context[b, t], expected, **TOLERANCE)
            torch.testing.assert_close(weights[b, t, :length], torch.stack(shares).mean(0), **TOLERANCE)
            assert (weights[b, t, length:] == 0).all()


PRIOR = DiagonalPrior(1.3, 2.0, 0.7)
# What is asked of attention, and whether torch's kernel can do it.
CASES = {
    "plain": ({}, True),
    "temperature": ({"temperature": 0.6}, True),
    "prior": ({"prior": PRIOR, "temperature": 0.6}, True),
    "local_m": ({"window": lambda: MonotonicWindow(1)}, True),
    "local_m and prior": ({"window": lambda: MonotonicWindow(1), "prior": PRIOR}, True),
    "local_p": ({"window": lambda: PredictiveWindow(QUERY, 1)}, False),
    "sparsemax": ({"normalizer": sparsemax}, False),
    "dot": ({"score": "dot"}, False),
    "additive": ({"score": "additive"}, False),
}


@torch.no_grad()
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("steps", [torch.arange(2, 2 + STEPS), torch.tensor([1])], ids=["steps", "beams"])
@pytest.mark.parametrize(("options", "fused"), CASES.values(), ids=CASES)
def test_the_context_alone_is_that_beside_the_weights(options, fused, steps, biased, scene, monkeypatch):
    attention, (encoded, queries, bias) = made(**options), scene
    memory, calls, kernel = attention.prepare(encoded, bias if biased else None), [], F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda *args, **kwargs: calls.append(kwargs) or kernel(*args, **kwargs)
    )
    expected, _, _ = attention.weigh(queries, memory, steps, None)
    assert calls == []
    torch.testing.assert_close(attention.context(queries, memory, steps), expected, **TOLERANCE)
    assert len(calls) == fused


def test_gradients_through_torchs_kernel_are_those_beside_the_weights(scene):
    attention, (encoded, queries, bias) = made(prior=PRIOR), scene
    grown = []
    for run in (attention.context, lambda *args: attention.weigh(*args, None)[0]):
        attention.zero_grad()
        run(queries, attention.prepare(encoded, bias), torch.arange(STEPS)).square().sum().backward()
        grown.append([parameter.grad for parameter in attention.parameters()])
    for one, other in zip(*grown, strict=True):
        torch.testing.assert_close(one, other, **TOLERANCE)


def test_torchs_kernel_drops_in_training_only(scene, monkeypatch):
    attention, (encoded, queries, _) = made(dropout=0.4), scene
    memory, calls, kernel = attention.prepare(encoded, None), [], F.scaled_dot_product_attention
    monkeypatch.setattr(
        F,
        "scaled_dot_product_attention",
        lambda *args, **kwargs: calls.append(kwargs["dropout_p"]) or kernel(*args, **kwargs),
    )
    for training in (False, True):
        attention.train(training).context(queries, memory, torch.arange(STEPS))
    assert calls == [0.0, 0.4]


@torch.no_grad()
@pytest.mark.parametrize("name", SCORES)
def test_coverage_is_of_the_heads_mean_weights_and_reaches_every_heads_keys(name, scene):
    """Head i scores with W_k^i h_j (as its own score projects it) + V^i C_j."""
    attention = made(name, coverage=functools.partial(LinguisticCoverage, KEY, MEMORY, 3.0))
    encoded, queries, _ = scene
    memory = attention.prepare(encoded, None)
    context, weights, _ = attention(queries, memory, attention.start(memory))
    score, coverage = attention.score, attention.coverage
    v, u = coverage.key_projection.weight[:, 0].split(SIZE), coverage.fertility_projection.weight[0]
    w_v = attention.value_projection.weight.split(VALUE // HEADS)
    for b, length in enumerate(LENGTHS):
        states, covered = encoded.memory[b, :length], torch.zeros(length, dtype=torch.float64)
        projected = score.key_projection(states).split(SIZE, dim=1)
        for t in range(STEPS):
            parts, shares = [], []
            for i, (head, query) in enumerate(
                zip(score.heads, score.query_projection(queries[b, t]).split(SIZE), strict=True)
            ):
                keys = head.project(projected[i]) + covered[:, None] * v[i]
                shares.append(head(query[None, None], keys[None])[0, 0].softmax(0))
                parts.append(shares[-1] @ (states @ w_v[i].T))
            mean = torch.stack(shares).mean(0)
            torch.testing.assert_close(weights[b, t, :length], mean, **TOLERANCE)
            expected = attention.output_projection.weight @ torch.cat(parts)
            torch.testing.assert_close(context[b, t], expected, **TOLERANCE)
            covered = covered + mean / (3.0 * torch.sigmoid(states @ u))


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 3])
def test_a_transformers_decoder_asks_for_weights_in_its_top_layer_only(layers, build, pairs, pad, monkeypatch):
    model, batch = (
        build(
            {"encoder": "mean", "decoder": "transformer", "attention": "multi_head"} | {"decoder.num_layers": layers}
        ),
        pad(pairs),
    )
    calls, kernel = [], F.scaled_dot_product_attention
    monkeypatch.setattr(
        F,
        "scaled_dot_product_attention",
        lambda *args, **kwargs: calls.append(args[0].shape[2]) or kernel(*args, **kwargs),
    )
    model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
    assert calls == [batch.target_input.shape[1]] * (2 * layers - 1)  # all steps at once: of the target, of the source
