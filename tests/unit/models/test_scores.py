import math
from itertools import product

import pytest
import torch

from seq2seq.errors import DataError
from seq2seq.models.scores import (
    ACTIVATIONS,
    AdditiveScore,
    CosineScore,
    DotScore,
    GeneralScore,
    LocationScore,
    MultiHeadScore,
    NormedAdditiveScore,
    ScaledDotScore,
    ScaledGeneralScore,
)

QUERY, MEMORY, KEY, LONGEST = 3, 4, 6, 8

# a score of each kind, and the size of its query; dot products without a matrix need one size on both sides
SCORES = {
    "dot": (DotScore, MEMORY),
    "scaled_dot": (ScaledDotScore, MEMORY),
    "cosine": (CosineScore, MEMORY),
    "general": (lambda: GeneralScore(QUERY, MEMORY), QUERY),
    "scaled_general": (lambda: ScaledGeneralScore(QUERY, MEMORY), QUERY),
    "additive": (lambda: AdditiveScore(QUERY, MEMORY, KEY), QUERY),
    "additive_sigmoid": (lambda: AdditiveScore(QUERY, MEMORY, KEY, ACTIVATIONS["sigmoid"]), QUERY),
    "additive_relu": (lambda: AdditiveScore(QUERY, MEMORY, KEY, ACTIVATIONS["relu"]), QUERY),
    "normed": (lambda: NormedAdditiveScore(QUERY, MEMORY, KEY), QUERY),
    "normed_relu": (lambda: NormedAdditiveScore(QUERY, MEMORY, KEY, ACTIVATIONS["relu"]), QUERY),
    "location": (lambda: LocationScore(QUERY, LONGEST), QUERY),
    "heads_dot": (lambda: MultiHeadScore(QUERY, MEMORY, KEY, [ScaledDotScore() for _ in range(3)]), QUERY),
    "heads_general": (lambda: MultiHeadScore(QUERY, MEMORY, KEY, [GeneralScore(3, 3) for _ in range(2)]), QUERY),
    "heads_additive": (lambda: MultiHeadScore(QUERY, MEMORY, KEY, [AdditiveScore(3, 3, 5) for _ in range(2)]), QUERY),
    "heads_location": (lambda: MultiHeadScore(QUERY, MEMORY, KEY, [LocationScore(3, LONGEST) for _ in "ab"]), QUERY),
}


def scores_of(name, dtype=torch.float64):
    """A score away from its start, where gains are 1 and biases 0; and the size of its query."""
    build, query_size = SCORES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        score = build().to(dtype)
        with torch.no_grad():
            for parameter in score.parameters():
                parameter.mul_(1.5).add_(0.3 * torch.randn_like(parameter))
    return score, query_size


def weight(linear):
    """Of a layer without bias."""
    assert linear.bias is None
    return linear.weight.tolist()


def product_of(matrix, vector):
    return [sum(cell * x for cell, x in zip(row, vector, strict=True)) for row in matrix]


def dot(h_t, h_s, s, score):
    """Luong et al. (2015), section 3.1: h_t^T h_s."""
    return sum(a * b for a, b in zip(h_t, h_s, strict=True))


def scaled_dot(h_t, h_s, s, score):
    """Vaswani et al. (2017), eq. 1: q^T k / sqrt(d)."""
    return sum(a * b for a, b in zip(h_t, h_s, strict=True)) / math.sqrt(len(h_t))


def cosine(h_t, h_s, s, score):
    """Graves et al. (2014), section 3.3.1: the strength times u.v / (||u|| ||v||)."""
    lengths = math.sqrt(sum(a * a for a in h_t)) * math.sqrt(sum(b * b for b in h_s))
    return math.exp(score.log_gain.item()) * dot(h_t, h_s, s, score) / lengths


def general(h_t, h_s, s, score):
    """Luong et al. (2015), section 3.1: h_t^T W_a h_s."""
    w_a = weight(score.key_projection)
    return sum(h_t[i] * w_a[i][j] * h_s[j] for i in range(len(h_t)) for j in range(len(h_s)))


def scaled_general(h_t, h_s, s, score):
    return score.gain.item() * general(h_t, h_s, s, score)


def additive(s_i, h_j, s, score, g=math.tanh):
    """Bahdanau et al. (2015), A.1.2: v_a^T tanh(W_a s + U_a h_j)."""
    w_s, u_h = product_of(weight(score.query_projection), s_i), product_of(weight(score.key_projection), h_j)
    (v,) = weight(score.energy)
    return sum(v[i] * g(w_s[i] + u_h[i]) for i in range(len(v)))


def additive_sigmoid(s_i, h_j, s, score):
    return additive(s_i, h_j, s, score, sigmoid)


def additive_relu(s_i, h_j, s, score):
    return additive(s_i, h_j, s, score, relu)


def concat(h_t, h_s, s, score):
    """Luong et al. (2015), section 3.1: v_a^T tanh(W_a [h_t; h_s]), W_a joined from its two halves."""
    w_a = [[*left, *right] for left, right in zip(
        weight(score.query_projection), weight(score.key_projection), strict=True
    )]  # fmt: skip
    (v,) = weight(score.energy)
    return sum(v[i] * math.tanh(x) for i, x in enumerate(product_of(w_a, [*h_t, *h_s])))


def normed(s_i, h_j, s, score, g=math.tanh):
    """Salimans & Kingma (2016), eq. 2, for v_a: gain v / ||v||; and a bias within the nonlinearity."""
    w_s, u_h = product_of(weight(score.query_projection), s_i), product_of(score.key_projection.weight.tolist(), h_j)
    bias, (v,) = score.key_projection.bias.tolist(), weight(score.energy)
    length = math.sqrt(sum(x * x for x in v))
    return sum(score.gain.item() * v[i] / length * g(w_s[i] + u_h[i] + bias[i]) for i in range(len(v)))


def normed_relu(s_i, h_j, s, score):
    return normed(s_i, h_j, s, score, relu)


def location(h_t, h_s, s, score):
    """Luong et al. (2015), section 3.1: the s-th of W_a h_t."""
    return product_of(weight(score.location), h_t)[s]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def relu(x):
    return max(x, 0.0)


FORMULAS = [
    *(("dot", dot), ("scaled_dot", scaled_dot), ("cosine", cosine)),
    *(("general", general), ("scaled_general", scaled_general)),
    *(("additive", additive), ("additive", concat)),
    *(("additive_sigmoid", additive_sigmoid), ("additive_relu", additive_relu)),
    *(("normed", normed), ("normed_relu", normed_relu), ("location", location)),
]
HEADS = [
    *(("heads_dot", scaled_dot), ("heads_general", general)),
    *(("heads_additive", additive), ("heads_location", location)),
]


@pytest.mark.parametrize(("name", "formula"), FORMULAS, ids=lambda value: getattr(value, "__name__", ""))
def test_scores_are_those_of_the_papers(tensors, name, formula):
    score, query_size = scores_of(name)
    draw = tensors(1, torch.float64)
    query, memory = draw(2, 3, query_size), draw(2, 6, MEMORY)
    scores = score(query, score.project(memory))
    assert scores.shape == (2, 3, 6)
    for b, q, s in product(range(2), range(3), range(6)):
        expected = formula(query[b, q].tolist(), memory[b, s].tolist(), s, score)
        assert scores[b, q, s].item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("name", "formula"), HEADS, ids=lambda value: getattr(value, "__name__", ""))
def test_each_head_scores_its_own_projections(tensors, name, formula):
    """Vaswani et al. (2017), section 3.2.2: head i asks with W_q^i q among the W_k^i h."""
    score, query_size = scores_of(name)
    draw = tensors(1, torch.float64)
    query, memory = draw(2, 3, query_size), draw(2, 6, MEMORY)
    scores = score(query, score.project(memory))
    count = len(score.heads)
    size = KEY // count
    assert scores.shape == (count, 2, 3, 6)
    w_q, w_k = weight(score.query_projection), weight(score.key_projection)
    for i, b, q, s in product(range(count), range(2), range(3), range(6)):
        own = slice(i * size, (i + 1) * size)
        asked, found = product_of(w_q[own], query[b, q].tolist()), product_of(w_k[own], memory[b, s].tolist())
        expected = formula(asked, found, s, score.heads[i])
        assert scores[i, b, q, s].item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_keys_are_one_tensor_and_queries_may_be_a_batch_of_their_own(tensors, name):
    """Keys (B, S, A), so that sentences can be picked; a pick for each query gives what they give together."""
    score, query_size = scores_of(name)
    draw = tensors(5, torch.float64)
    query, memory = draw(2, 3, query_size), draw(2, 5, MEMORY)
    keys = score.project(memory)
    assert keys.shape[:2] == (2, 5)
    assert keys.dim() == 3
    together = score(query, keys)  # (..., B, Q, S)
    apart = score(query.reshape(6, 1, query_size), keys.index_select(0, torch.tensor([0, 0, 0, 1, 1, 1])))
    torch.testing.assert_close(apart.reshape(together.shape), together, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_scores_do_not_depend_on_the_padding_behind(tensors, name):
    score, query_size = scores_of(name)
    draw = tensors(6, torch.float64)
    query, memory = draw(2, 3, query_size), draw(2, 5, MEMORY)
    padded = torch.nn.functional.pad(memory, (0, 0, 0, 3))
    longer = score(query, score.project(padded))
    assert longer.isfinite().all()
    torch.testing.assert_close(longer[..., :5], score(query, score.project(memory)), rtol=1e-12, atol=1e-12)


def test_gains_and_biases_start_as_published():
    """tensorflow/nmt: scaled_luong's scalar at 1, normed_bahdanau's at sqrt(1/A) with a bias of 0."""
    assert ScaledGeneralScore(QUERY, MEMORY).gain.item() == 1
    normed = NormedAdditiveScore(QUERY, MEMORY, 16)
    assert normed.gain.item() == pytest.approx(0.25)
    assert normed.key_projection.bias.tolist() == [0] * 16
    assert normed.vector().norm().item() == pytest.approx(0.25)
    assert CosineScore().log_gain.exp().item() == pytest.approx(10)


def test_cosine_of_zero_vectors_is_zero_with_finite_gradients(tensors):
    """The memory is zero at padding, and a state may be before the first step."""
    score, draw = CosineScore(), tensors(7)
    query, memory = draw(1, 2, MEMORY), draw(1, 3, MEMORY)
    query[0, 1], memory[0, 2] = 0, 0
    query.requires_grad_()
    memory.requires_grad_()
    scores = score(query, score.project(memory))
    assert scores[0, 1].tolist() == [0, 0, 0]
    assert scores[0, :, 2].tolist() == [0, 0]
    (scores * draw(1, 2, 3)).sum().backward()
    for tensor in (query, memory, score.log_gain):
        assert tensor.grad.isfinite().all()
    assert scores[0, 0, :2].abs().max() > 0


def test_cosine_forgets_the_length_of_both_sides(tensors):
    score, draw = CosineScore(), tensors(8, torch.float64)
    query, memory = draw(1, 2, MEMORY), draw(1, 3, MEMORY)
    scores = score(query, score.project(memory))
    torch.testing.assert_close(score(query * 7, score.project(memory / 3)), scores, rtol=1e-12, atol=1e-12)


def test_location_refuses_a_source_beyond_its_positions(tensors):
    score, draw = LocationScore(QUERY, LONGEST), tensors(9)
    query = draw(2, 1, QUERY)
    assert score(query, score.project(draw(2, LONGEST, MEMORY))).shape == (2, 1, LONGEST)
    with pytest.raises(DataError) as error:
        score(query, score.project(draw(2, LONGEST + 1, MEMORY)))
    assert str(error.value) == (
        "a source of 9 tokens is longer than attention.max_source_length=8, the positions that location attention has "
        "weights for; split the sentence, or train with attention.max_source_length=9 or more"
    )


@pytest.mark.parametrize("name", SCORES)
def test_scores_run_in_bfloat16_under_autocast(tensors, name):
    score, query_size = scores_of(name, torch.float32)
    draw = tensors(10)
    query, memory = draw(2, 3, query_size), draw(2, 5, MEMORY)
    exact = score(query, score.project(memory))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        keys = score.project(memory.to(torch.bfloat16))
        scores = score(query.to(torch.bfloat16), keys)
    scale = exact.abs().max().item()
    torch.testing.assert_close(scores.float(), exact, rtol=0, atol=0.05 * scale)


@pytest.mark.parametrize("name", SCORES)
def test_gradients_of_inputs_and_weights_are_those_of_the_formula(tensors, name):
    score, query_size = scores_of(name)
    draw = tensors(2, torch.float64)
    inputs = (draw(2, 2, query_size), draw(2, 3, MEMORY), *(p.detach() for p in score.parameters()))
    names = [name for name, _ in score.named_parameters()]

    def run(query, memory, *weights):
        parameters = dict(zip(names, weights, strict=True))
        keys = torch.func.functional_call(
            Projection(score), {f"score.{k}": v for k, v in parameters.items()}, (memory,)
        )
        return torch.func.functional_call(score, parameters, (query, keys))

    assert torch.autograd.gradcheck(run, [tensor.requires_grad_() for tensor in inputs])


@pytest.mark.parametrize("name", SCORES)
def test_nothing_but_weights_is_kept_in_a_score(tensors, name):
    score, query_size = scores_of(name, torch.float32)
    before = dict(score.__dict__)
    score(tensors(3)(1, 2, query_size), score.project(tensors(4)(1, 5, MEMORY)))
    assert score.__dict__ == before
    assert not list(score.buffers())


class Projection(torch.nn.Module):
    """A score's `project` as a module's forward, so that it can be called with other weights."""

    def __init__(self, score):
        super().__init__()
        self.score = score

    def forward(self, memory):
        return self.score.project(memory)
