import math

import pytest
import torch

from seq2seq.models.windows import GlobalWindow, MonotonicWindow, PredictiveWindow

LENGTHS = [5, 1, 3]
QUERY = 4


def mask_of(lengths, extra=0):
    return torch.arange(max(lengths) + extra) < torch.tensor(lengths)[:, None]


def places(inside):
    """What is inside, as lists of positions: of each sentence, of each query."""
    return [[row.nonzero().flatten().tolist() for row in sentence] for sentence in inside]


@pytest.fixture
def predictive():
    torch.manual_seed(0)
    window = PredictiveWindow(QUERY, half_width=2).double()
    with torch.no_grad():
        window.position.weight.mul_(6)  # positions all over the sentence
    return window


@pytest.fixture(params=["global", "monotonic", "predictive"])
def window(request):
    torch.manual_seed(0)
    kinds = {"global": GlobalWindow, "monotonic": lambda: MonotonicWindow(1), "predictive": lambda: made(QUERY, 1, 6.0)}
    return kinds[request.param]()


def made(query_size, half_width, scale):
    """A predictive window with v_p of that size."""
    window = PredictiveWindow(query_size, half_width)
    torch.nn.init.constant_(window.position.weight, scale)
    return window


def test_global_window_is_every_real_token(tensors):
    mask = mask_of(LENGTHS, extra=2)
    inside, factor = GlobalWindow()(tensors(0)(3, 2, QUERY), torch.arange(2), mask)
    assert factor is None
    assert torch.equal(inside.expand(3, 2, 7), mask[:, None].expand(3, 2, 7))


def test_monotonic_window_moves_with_the_target_and_stops_at_the_last_word(tensors):
    inside, factor = MonotonicWindow(1)(tensors(0)(3, 7, QUERY), torch.arange(7), mask_of(LENGTHS))
    assert factor is None
    assert places(inside) == [
        [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4], [3, 4], [3, 4]],
        [[0]] * 7,
        [[0, 1], [0, 1, 2], [1, 2], [1, 2], [1, 2], [1, 2], [1, 2]],
    ]


def test_monotonic_window_of_half_width_0_is_one_word(tensors):
    inside, _ = MonotonicWindow(0)(tensors(0)(3, 4, QUERY), torch.arange(4), mask_of(LENGTHS))
    assert places(inside) == [[[0], [1], [2], [3]], [[0]] * 4, [[0], [1], [2], [2]]]


def test_predictive_window_is_the_papers_formula(predictive, tensors):
    draw = tensors(1, torch.float64)
    query, mask = draw(3, 6, QUERY), mask_of(LENGTHS)
    inside, factor = predictive(query, torch.arange(6), mask)
    w_p, (v_p,) = predictive.query_projection.weight.tolist(), predictive.position.weight.tolist()
    seen = set()
    for b, length in enumerate(LENGTHS):
        for q in range(6):
            h = query[b, q].tolist()
            hidden = [math.tanh(sum(w * x for w, x in zip(row, h, strict=True))) for row in w_p]
            energy = sum(v * x for v, x in zip(v_p, hidden, strict=True))
            p = length / (1 + math.exp(-energy))
            for s in range(max(LENGTHS)):
                assert inside[b, q, s].item() == (s < length and abs(s - p) <= 2)
                expected = math.exp(-((s - p) ** 2) / (2 * 1.0**2))  # sigma = D / 2 = 1
                assert factor[b, q, s].item() == pytest.approx(expected, rel=1e-9)
                seen.add((s < length, abs(s - p) <= 2))
    assert len(seen) == 4  # the example has real tokens and padding, inside and outside


def test_predictive_window_without_an_opinion_stands_in_the_middle():
    window = made(QUERY, half_width=1, scale=0.0)
    inside, factor = window(torch.ones(2, 1, QUERY), torch.zeros(1, dtype=torch.int64), mask_of([4, 2]))
    assert places(inside) == [[[1, 2, 3]], [[0, 1]]]  # p = 2 and p = 1
    expected = torch.tensor([[[-8.0, -2.0, 0.0, -2.0]], [[-2.0, 0.0, -2.0, -8.0]]]).exp()  # sigma = 1/2
    torch.testing.assert_close(factor, expected)


def test_predictive_window_at_both_ends_of_the_sentence():
    mask = mask_of([6, 1])
    query = torch.tensor([-1.0, 1.0]).view(1, 2, 1).expand(2, 2, 1)
    window = made(1, half_width=1, scale=1e4)  # a sigmoid of exactly 0 and exactly 1: p = 0 and p = S
    torch.nn.init.ones_(window.query_projection.weight)
    inside, factor = window(query, torch.arange(2), mask)
    assert places(inside) == [[[0, 1], [5]], [[0], [0]]]
    assert factor[0, 1, 5].item() == pytest.approx(math.exp(-2))
    assert factor[1].flatten()[[0, 6]].tolist() == pytest.approx([1.0, math.exp(-2)])


def test_no_predictive_window_is_empty_wherever_it_stands():
    lengths = list(range(1, 9))
    query = torch.linspace(-2, 2, 4001).view(1, -1, 1).expand(8, -1, 1)
    window = made(1, half_width=1, scale=50.0)
    torch.nn.init.ones_(window.query_projection.weight)
    inside, _ = window(query, torch.arange(4001), mask_of(lengths))
    assert inside.any(-1).all()
    assert inside[7].any(0).all()  # and it has stood everywhere


@pytest.mark.parametrize("kind", [lambda: MonotonicWindow(40), lambda: made(QUERY, 40, 3.0)])
def test_a_window_wider_than_the_sentence_is_the_sentence(kind, tensors):
    mask = mask_of(LENGTHS, extra=2)
    inside, _ = kind()(tensors(2)(3, 9, QUERY), torch.arange(9), mask)
    assert torch.equal(inside, mask[:, None].expand(3, 9, 7))


def test_padding_and_company_move_no_window(window, tensors):
    query, steps = 3 * tensors(3)(3, 8, QUERY), torch.arange(8)
    together = window(query, steps, mask_of(LENGTHS, extra=4))
    for b, length in enumerate(LENGTHS):
        alone = window(query[b : b + 1], steps, torch.ones(1, length, dtype=torch.bool))
        assert torch.equal(alone.inside[0], together.inside[b, :, :length])
        assert not together.inside[b, :, length:].any()
        if alone.factor is not None:
            torch.testing.assert_close(alone.factor[0], together.factor[b, :, :length], rtol=0, atol=1e-6)


def test_step_by_step_is_all_steps_at_once(window, tensors):
    query, mask = 3 * tensors(4)(3, 8, QUERY), mask_of(LENGTHS)
    at_once = window(query, torch.arange(8), mask)
    for t in range(8):
        span = window(query[:, t : t + 1], torch.tensor([t]), mask)
        assert torch.equal(span.inside, at_once.inside.expand(3, 8, 5)[:, t : t + 1])
        if span.factor is not None:
            torch.testing.assert_close(span.factor, at_once.factor[:, t : t + 1], rtol=0, atol=1e-6)


def test_queries_may_share_one_step(window, tensors):
    query, mask = tensors(5)(3, 2, QUERY), mask_of(LENGTHS)
    shared, each = window(query, torch.tensor([2]), mask), window(query, torch.tensor([2, 2]), mask)
    assert torch.equal(shared.inside.expand(3, 2, 5), each.inside.expand(3, 2, 5))


def test_gradients_of_the_factor_reach_the_query_and_both_matrices(predictive, tensors):
    query, mask = tensors(6, torch.float64)(3, 2, QUERY).requires_grad_(), mask_of(LENGTHS)

    def factor(query, w_p, v_p):
        weights = {"query_projection.weight": w_p, "position.weight": v_p}
        return torch.func.functional_call(predictive, weights, (query, torch.arange(2), mask)).factor

    assert torch.autograd.gradcheck(factor, (query, predictive.query_projection.weight, predictive.position.weight))


def test_autocast_does_not_move_a_predicted_window(tensors):
    torch.manual_seed(0)
    window, mask = PredictiveWindow(QUERY, half_width=3), mask_of([700, 400])
    query = tensors(7)(2, 5, QUERY)
    exact = window(query, torch.arange(5), mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = window(query, torch.arange(5), mask)
        window(query.bfloat16(), torch.arange(5), mask)  # as an RNN under autocast may hand it over
    assert mixed.factor.dtype == torch.float32
    assert torch.equal(mixed.factor, exact.factor)
    assert torch.equal(mixed.inside, exact.inside)
