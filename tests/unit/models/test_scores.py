import math
from itertools import product

import pytest
import torch

from seq2seq.models.scores import AdditiveScore, DotScore, GeneralScore

QUERY, MEMORY, KEY = 3, 4, 5


def scores_of(name, dtype=torch.float64):
    """A score and the size of its query; dot needs one size on both sides."""
    torch.manual_seed(0)
    score, query_size = {
        "dot": (DotScore(), MEMORY),
        "general": (GeneralScore(QUERY, MEMORY), QUERY),
        "additive": (AdditiveScore(QUERY, MEMORY, KEY), QUERY),
    }[name]
    return score.to(dtype), query_size


def weight(linear):
    """Of a layer without bias."""
    assert linear.bias is None
    return linear.weight.tolist()


def product_of(matrix, vector):
    return [sum(cell * x for cell, x in zip(row, vector, strict=True)) for row in matrix]


def dot(h_t, h_s, score):
    """Luong et al. (2015), eq. 8: h_t^T h_s."""
    return sum(a * b for a, b in zip(h_t, h_s, strict=True))


def general(h_t, h_s, score):
    """Luong et al. (2015), eq. 8: h_t^T W_a h_s."""
    w_a = weight(score.key_projection)
    return sum(h_t[i] * w_a[i][j] * h_s[j] for i in range(len(h_t)) for j in range(len(h_s)))


def additive(s, h_j, score):
    """Bahdanau et al. (2015), A.1.2: v_a^T tanh(W_a s + U_a h_j)."""
    w_s, u_h = product_of(weight(score.query_projection), s), product_of(weight(score.key_projection), h_j)
    (v,) = weight(score.energy)
    return sum(v[i] * math.tanh(w_s[i] + u_h[i]) for i in range(len(v)))


def concat(h_t, h_s, score):
    """Luong et al. (2015), eq. 8: v_a^T tanh(W_a [h_t; h_s]), W_a joined from its two halves."""
    w_a = [[*left, *right] for left, right in zip(
        weight(score.query_projection), weight(score.key_projection), strict=True
    )]  # fmt: skip
    (v,) = weight(score.energy)
    return sum(v[i] * math.tanh(x) for i, x in enumerate(product_of(w_a, [*h_t, *h_s])))


FORMULAS = [("dot", dot), ("general", general), ("additive", additive), ("additive", concat)]


@pytest.mark.parametrize(("name", "formula"), FORMULAS, ids=lambda value: getattr(value, "__name__", ""))
def test_scores_are_those_of_the_papers(tensors, name, formula):
    score, query_size = scores_of(name)
    draw = tensors(1, torch.float64)
    query, memory = draw(2, 3, query_size), draw(2, 6, MEMORY)
    scores = score(query, score.project(memory))
    assert scores.shape == (2, 3, 6)
    for b, q, s in product(range(2), range(3), range(6)):
        expected = formula(query[b, q].tolist(), memory[b, s].tolist(), score)
        assert scores[b, q, s].item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", ["dot", "general", "additive"])
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


@pytest.mark.parametrize("name", ["dot", "general", "additive"])
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
