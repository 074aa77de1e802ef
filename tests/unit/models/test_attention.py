"""From scores to context, against loops over queries and source words."""

import math
from itertools import product

import pytest
import torch
from torch import nn

from seq2seq.grid import Grid
from seq2seq.models.attention import Attention, AttentionState, Treatment
from seq2seq.models.coverage import LinguisticCoverage
from seq2seq.models.dropout import Dropout
from seq2seq.models.memory import Encoded, Memory
from seq2seq.models.normalizers import softmax, sparsemax
from seq2seq.models.priors import DiagonalPrior
from seq2seq.models.scores import AdditiveScore, DotScore, GeneralScore, Score
from seq2seq.models.windows import GlobalWindow, MonotonicWindow, PredictiveWindow

TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}
LENGTHS, STEPS = [5, 1, 3], 4
QUERY, MEMORY, VALUE, HALF_WIDTH = 3, 4, 6, 1
STRENGTH, WIDTH, SLOPE = 1.3, 2.0, 0.75  # a slope that float32 holds, since priors go by it

SCORES = {
    "dot": lambda: DotScore(),
    "general": lambda: GeneralScore(QUERY, MEMORY),
    "additive": lambda: AdditiveScore(QUERY, MEMORY, 7),
}
WINDOWS = {
    "none": lambda query: GlobalWindow(),
    "local_m": lambda query: MonotonicWindow(HALF_WIDTH),
    "local_p": lambda query: PredictiveWindow(query, HALF_WIDTH),
}


class Case:
    """An attention in float64 with all that may be asked of it, and something to attend to."""

    def __init__(self, draw, score="general", window="none", coverage=False, projected=False, dropout=0.0, **options):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.query_size = MEMORY if score == "dot" else QUERY
            self.score, self.window = SCORES[score](), window
            treatment = Treatment(
                options.get("normalizer", softmax),
                WINDOWS[window](self.query_size),
                options.get("prior"),
                LinguisticCoverage(7 if score == "additive" else self.query_size, MEMORY, 3.0) if coverage else None,
                nn.Linear(MEMORY, VALUE, bias=False) if projected else None,
                Dropout(dropout),
                options.get("temperature", 1.0),
            )
            self.attention = Attention(self.score, treatment, VALUE if projected else MEMORY).double().eval()
            for parameter in self.attention.parameters():
                parameter.data.mul_(2.0)
        mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
        self.encoded = Encoded(draw(len(LENGTHS), max(LENGTHS), MEMORY), mask, None)
        self.query = 2 * draw(len(LENGTHS), STEPS, self.query_size)
        self.bias = draw(len(LENGTHS), max(LENGTHS))

    def run(self, bias=None, first=0):
        memory = self.attention.prepare(self.encoded, bias)
        return self.attention(self.query, memory, self.attention.start(memory)._replace(step=first))


@pytest.fixture
def case(tensors, float64):
    return lambda score="general", **options: Case(tensors(1, torch.float64), score, **options)


def energies(case, b, query):
    """The score of each real position by itself."""
    states = case.encoded.memory[b, : LENGTHS[b]]
    return [case.score(query[None, None], case.score.project(h[None, None])).item() for h in states]


def inside(case, length, query, t):
    """How near each position of the window is, as the factor of its weight; none outside (Luong et al. 2015, 3.2)."""
    window = case.attention.window
    if case.window == "none":
        return dict.fromkeys(range(length), 1.0)
    if case.window == "local_m":
        centre = min(t, length - 1)
        return {s: 1.0 for s in range(length) if abs(s - centre) <= HALF_WIDTH}
    share = torch.sigmoid(window.position(torch.tanh(window.query_projection(query)))).item()
    sigma = HALF_WIDTH / 2
    near = {s: abs(s - length * share) for s in range(length)}
    return {s: math.exp(-(d**2) / (2 * sigma**2)) for s, d in near.items() if d <= HALF_WIDTH}


def softmax_of(scores):
    total = sum(math.exp(score) for score in scores.values())
    return {s: math.exp(score) / total for s, score in scores.items()}


def sparsemax_of(scores):
    """[z - tau]_+ with the tau at which the sum is 1, found by halving."""
    low, high = min(scores.values()) - 1, max(scores.values())
    for _ in range(100):
        tau = (low + high) / 2
        if sum(max(score - tau, 0) for score in scores.values()) > 1:
            low = tau
        else:
            high = tau
    return {s: max(score - tau, 0) for s, score in scores.items()}


def assert_formula(case, found, values, normalize, temperature=1.0, prior=False, bias=None, first=0):
    """normalize(score / temperature + prior + bias) over the window, times its factor; the context is of `values`."""
    for b, q in product(range(len(LENGTHS)), range(STEPS)):
        length, t = LENGTHS[b], first + q
        scores = {s: energy / temperature for s, energy in enumerate(energies(case, b, case.query[b, q]))}
        for s in scores:
            if prior:
                scores[s] -= STRENGTH * abs(s - min(SLOPE * t, length - 1)) / WIDTH
            if bias is not None:
                scores[s] += bias[b, s].item()
        factors = inside(case, length, case.query[b, q], t)
        weights = normalize({s: score for s, score in scores.items() if s in factors})
        weights = {s: weight * factors[s] for s, weight in weights.items()}
        assert found.weights[b, q].tolist() == pytest.approx([weights.get(s, 0.0) for s in range(5)], abs=1e-9)
        context = sum(weight * values[b, s] for s, weight in weights.items())
        torch.testing.assert_close(found.context[b, q], context, **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("score", SCORES)
def test_weights_are_a_softmax_over_real_positions_and_context_is_their_mean(score, case):
    case = case(score)
    found = case.run()
    assert found.context.shape == (3, STEPS, MEMORY)
    assert_formula(case, found, case.encoded.memory, softmax_of)
    padding = ~case.encoded.mask[:, None].expand_as(found.weights)
    assert (found.weights[padding] == 0).all()
    assert (found.weights[1, :, 0] == 1).all()  # of a single word


@torch.no_grad()
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("normalizer", "formula"), [(softmax, softmax_of), (sparsemax, sparsemax_of)])
@pytest.mark.parametrize("first", [0, 2])
def test_score_temperature_prior_and_bias_window_normalizer_factor(window, normalizer, formula, first, case):
    """In this order: temperature divides the score alone; the window masks before the weights, its factor comes after.

    A start `first` steps later moves what moves with the target.
    """
    prior = DiagonalPrior(STRENGTH, WIDTH, SLOPE)
    case = case(window=window, normalizer=normalizer, prior=prior, temperature=0.6)
    found = case.run(case.bias, first)
    assert_formula(case, found, case.encoded.memory, formula, 0.6, True, case.bias, first)
    assert found.state == AttentionState(first + STEPS)


@torch.no_grad()
def test_contexts_are_made_of_the_values_and_scores_of_the_memory(case, tensors):
    for projected in (False, True):
        made = case(projected=projected)
        apart = made.encoded._replace(values=tensors(2, torch.float64)(3, 5, MEMORY))
        for encoded, values in ((made.encoded, made.encoded.memory), (apart, apart.values)):
            made.encoded = encoded
            projection = made.attention.value_projection
            assert (projection is not None) == projected
            assert_formula(made, made.run(), projection(values) if projected else values, softmax_of)


@torch.no_grad()
@pytest.mark.parametrize("score", ["general", "additive"])
def test_coverage_changes_the_scores_of_the_steps_that_follow(score, case):
    """e_ij = a(s, U h_j + V C_{i-1,j}); C_ij = C_{i-1,j} + alpha_ij / Phi_j, Phi_j = N sigmoid(u h_j)."""
    case = case(score, coverage=True)
    coverage, found = case.attention.coverage, case.run()
    v, u = coverage.key_projection.weight[:, 0], coverage.fertility_projection.weight[0]
    for b, length in enumerate(LENGTHS):
        states, covered = case.encoded.memory[b, :length], torch.zeros(length, dtype=torch.float64)
        fertility = 3.0 * torch.sigmoid(states @ u)
        for q in range(STEPS):
            keys = [case.score.project(h[None, None]) + c * v for h, c in zip(states, covered, strict=True)]
            scores = torch.cat([case.score(case.query[b, q][None, None], key).flatten() for key in keys])
            weights = scores.softmax(0)
            torch.testing.assert_close(found.weights[b, q, :length], weights, **TOLERANCE)
            torch.testing.assert_close(found.context[b, q], weights @ states, **TOLERANCE)
            covered = covered + weights / fertility
        torch.testing.assert_close(found.state.coverage[b, :length, 0], covered, **TOLERANCE)
    assert found.state.step == STEPS
    twice = AttentionState(3, found.state.coverage).select(torch.tensor([2, 2, 0]))
    assert twice.step == 3
    assert torch.equal(twice.coverage, found.state.coverage[[2, 2, 0]])


@torch.no_grad()
@pytest.mark.parametrize("coverage", [False, True])
def test_what_stands_at_padding_changes_nothing(coverage, case):
    case = case("additive", window="local_p", coverage=coverage, projected=True)
    clean, mask = case.run(case.bias), case.encoded.mask
    dirty = torch.where(mask[..., None], case.encoded.memory, 1e4)
    case.encoded = case.encoded._replace(memory=dirty, values=dirty)
    for was, now in zip(clean[:2], case.run(torch.where(mask, case.bias, 1e4))[:2], strict=True):
        assert torch.equal(was, now)


@torch.no_grad()
def test_raising_a_position_multiplies_its_weight_against_the_others(case):
    """softmax(z + b) is proportional to softmax(z) exp(b)."""
    case = case("additive", prior=DiagonalPrior(STRENGTH, WIDTH, SLOPE))
    before, bias = case.run().weights, torch.zeros(3, 5, dtype=torch.float64)
    bias[0, 3] = math.log(5)
    after = case.run(bias).weights
    assert (after[0, :, 3] > before[0, :, 3]).all()
    raised = before[0] * torch.tensor([1, 1, 1, 5, 1])
    torch.testing.assert_close(after[0], raised / raised.sum(-1, keepdim=True), **TOLERANCE)
    assert torch.equal(after[1:], before[1:])  # other sentences
    assert torch.equal(case.run(torch.zeros_like(bias)).weights, before)


def test_dropout_is_on_what_is_mixed_in_training_only(case):
    made = case(dropout=0.5)
    still = made.run()
    made.attention.train()
    torch.manual_seed(1)
    found = made.run()
    torch.manual_seed(1)
    dropped = Dropout(0.5)(still.weights)
    assert torch.equal(found.weights, still.weights)  # as they were: it is they that are shown and covered
    assert not torch.equal(dropped, still.weights)
    torch.testing.assert_close(found.context, dropped @ made.encoded.memory, **TOLERANCE)


@torch.no_grad()
def test_queries_of_a_sentence_know_nothing_of_each_other(case):
    case = case("additive", window="local_p")
    together, memory = case.run(), case.attention.prepare(case.encoded, None)
    for q in range(STEPS):
        alone = case.attention(case.query[:, q : q + 1], memory, AttentionState(q))
        torch.testing.assert_close(alone.context[:, 0], together.context[:, q], **TOLERANCE)
        torch.testing.assert_close(alone.weights[:, 0], together.weights[:, q], **TOLERANCE)


def test_keys_are_projected_when_prepared_and_never_again(tensors):
    class Counting(Score):
        calls = 0

        def project(self, memory):
            self.calls += 1
            return 2 * memory

        def forward(self, query, keys):
            return query @ keys.transpose(1, 2)

    case = Case(tensors(5), "dot")
    case.attention.score = counting = Counting()
    memory = case.attention.prepare(case.encoded, case.bias)
    state = case.attention.start(memory)
    for _ in range(4):
        grid = Grid.full(len(memory.mask), 6 // len(memory.mask))
        state = case.attention.step(tensors(6)(6, MEMORY), memory, state, grid).state
    assert state == AttentionState(4)
    assert counting.calls == 1
    assert torch.equal(memory.keys, 2 * case.encoded.memory)
    for field, expected in zip(memory[1:4], (case.encoded.memory, case.encoded.mask, case.bias), strict=True):
        assert field is expected


def test_the_memory_of_some_sentences_in_another_order(tensors):
    draw = tensors(6)
    mask = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
    for rest in ((), (draw(3, 5), draw(3, 5, 1))):
        memory = Memory(draw(3, 5, 2), draw(3, 5, 4), mask, *rest)
        chosen = memory.select(torch.tensor([2, 0]))
        for field, kept in zip(memory, chosen, strict=True):
            assert (field is None) == (kept is None)
            assert field is None or torch.equal(kept, torch.stack([field[2], field[0]]))


@torch.no_grad()
def test_weights_sum_to_one_and_are_zero_on_padding_and_outside_windows(variant, model, pairs, pad):
    if not variant.attends:
        return
    batch, options = pad(pairs, 2), variant.config.attention
    weights = model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask).weights
    steps, positions = torch.arange(weights.shape[1])[:, None], torch.arange(weights.shape[2])
    lengths = batch.source_lengths[:, None, None]
    outside = (positions >= lengths).expand_as(weights)
    if options.window == "local_m":
        outside = outside | ((positions - torch.minimum(steps, lengths - 1)).abs() > options.window_size)
    assert (weights >= 0).all()
    assert (weights[outside] == 0).all()
    if options.window != "local_p":
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
        assert options.normalizer != "softmax" or (weights[~outside] > 0).all()
        return
    assert (weights.sum(-1) <= 1).all()  # times the Gaussian
    count = (weights > 0).sum(-1)
    assert (count <= 2 * options.window_size + 1).all()
    if options.normalizer == "softmax":
        first, last = (weights > 0).float().argmax(-1), weights.shape[2] - (weights > 0).flip(-1).float().argmax(-1)
        assert (count == last - first).all()  # a window has no holes
        assert (count >= 1).all()
