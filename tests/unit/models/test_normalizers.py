import math

import pytest
import torch

from seq2seq.models.normalizers import NORMALIZERS, entmax15, softmax, sparsemax

INF = float("inf")
SPARSE = {"sparsemax": 2.0, "entmax15": 1.5}  # their alpha


def entmax(scores, alpha):
    """The definition in float64 Python: p_i = [(alpha - 1) z_i - tau]_+^(1 / (alpha - 1)), tau by bisection.

    Peters et al. (2019); at alpha = 2 it is the projection onto the simplex of Martins & Astudillo (2016).
    """
    scaled = [(alpha - 1) * z for z in scores]

    def weights(tau):
        return [(z - tau) ** (1 / (alpha - 1)) if z > tau else 0.0 for z in scaled]

    low, high = max(scaled) - 1, max(scaled)  # sums of at least 1, and of 0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(weights(middle)) >= 1 else (low, middle)
    return weights(low)


def entropy(p, alpha):
    """Tsallis': sum_j (p_j - p_j^alpha) / (alpha (alpha - 1)), and Shannon's at alpha = 1."""
    if alpha == 1:
        return -sum(x * math.log(x) for x in p if x > 0)
    return sum(x - x**alpha for x in p) / (alpha * (alpha - 1))


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("size", [1, 2, 3, 10, 200])
@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0])
def test_weights_are_those_of_the_definition(tensors, name, size, scale):
    scores = tensors(1, torch.float64)(4, size) * scale
    expected = torch.tensor([entmax(row, SPARSE[name]) for row in scores.tolist()], dtype=torch.float64)
    torch.testing.assert_close(NORMALIZERS[name](scores), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(NORMALIZERS[name](scores.float()).double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_no_other_distribution_has_more_score_and_entropy(tensors, name):
    """The argmax of p.z + H_alpha(p), which is unique, against 300 others, near and far."""
    alpha, draw = {"softmax": 1.0, **SPARSE}[name], tensors(2, torch.float64)
    scores = draw(5)
    best = NORMALIZERS[name](scores)

    def objective(p):
        return sum(a * b for a, b in zip(p, scores.tolist(), strict=True)) + entropy(p, alpha)

    top = objective(best.tolist())
    for other in draw(300, 5).mul(3).softmax(-1):
        for share in (1.0, 0.1, 0.01):
            assert objective((best + share * (other - best)).tolist()) <= top + 1e-12


def test_sparsemax_of_two_scores_is_a_hard_sigmoid():
    """Martins & Astudillo (2016), section 2.3: sparsemax([t, 0]) is 0 up to t = -1, (t + 1) / 2, and 1 from t = 1."""
    t = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0])
    weights = sparsemax(torch.stack([t, torch.zeros_like(t)], dim=-1))
    assert weights[:, 0].tolist() == [0, 0, 0.25, 0.5, 0.625, 1, 1]


def test_entmax15_of_two_scores_saturates_at_two():
    """[(t / 2 - tau)^2, tau^2] sums to 1: between -2 and 2, p_1 = 1/2 + t/8 sqrt(8 - t^2); beyond, 0 or 1."""
    t = torch.linspace(-3, 3, 25, dtype=torch.float64)
    weights = entmax15(torch.stack([t, torch.zeros_like(t)], dim=-1))[:, 0]
    inside = t.clamp(-2, 2)
    torch.testing.assert_close(weights, 0.5 + inside / 8 * (8 - inside**2).sqrt(), rtol=0, atol=1e-12)
    assert weights[t <= -2].tolist() == [0] * 5
    assert weights[t >= 2].tolist() == [1] * 5


def test_the_support_shrinks_as_alpha_grows(tensors):
    scores = tensors(3)(50, 12)
    sizes = [(normalize(scores) > 0).sum().item() for normalize in (softmax, entmax15, sparsemax)]
    assert sizes[0] == 600
    assert sizes[0] > sizes[1] > sizes[2] > 50


@pytest.mark.parametrize("name", NORMALIZERS)
def test_gradients_are_exact(tensors, name):
    """Against finite differences, with entries in and out of the support, and masked ones beside them."""
    draw = tensors(4, torch.float64)
    scores = draw(6, 5)
    scores[0, 2:], scores[1, :4], scores[2, 3] = -INF, -INF, -INF
    real = scores.isfinite()
    others = torch.full_like(scores, -INF)

    def of_real(values):
        return NORMALIZERS[name](others.masked_scatter(real, values))

    assert torch.autograd.gradcheck(of_real, [scores[real].requires_grad_()])


@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize(
    "row",
    [
        [3.0],
        [-INF, -2.0, -INF],
        [1e4, 1e4 - 0.5, -1e4, -INF],
        [-1e4, -1e4],
        [0.0] * 7,
        [1.0, 1.0, 0.5, 0.5, -INF, -INF],
        [0.0, -1.0, -2.0],
    ],
    ids=str,
)
def test_any_row_gives_a_distribution_and_finite_gradients(name, row):
    scores = torch.tensor([row], requires_grad=True)
    weights = NORMALIZERS[name](scores)
    assert weights.sum().item() == pytest.approx(1, abs=1e-6)
    assert weights.min() >= 0
    assert weights[scores == -INF].tolist() == [0] * row.count(-INF)
    for score in set(row):  # ties share
        assert len(set(weights[scores == score].tolist())) == 1
    (weights * torch.arange(1.0, len(row) + 1)).sum().backward()
    assert scores.grad.isfinite().all()
    assert scores.grad[scores == -INF].tolist() == [0] * row.count(-INF)
    assert scores.grad.sum().item() == pytest.approx(0, abs=1e-5)  # a shift of all scores changes nothing


@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize("padding", [1, 7, 3000])
def test_weights_do_not_depend_on_the_padding(tensors, name, padding):
    scores = 2 * tensors(5)(2, 3, 9)
    padded = torch.nn.functional.pad(scores, (0, padding), value=-INF)
    weights = NORMALIZERS[name](padded)
    torch.testing.assert_close(weights[..., :9], NORMALIZERS[name](scores), rtol=0, atol=1e-7)
    assert (weights[..., 9:] == 0).all()


@pytest.mark.parametrize("name", NORMALIZERS)
def test_scores_stay_as_they_were(tensors, name):
    scores = tensors(6)(2, 5)
    before = scores.clone()
    NORMALIZERS[name](scores)
    assert torch.equal(scores, before)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_scores_that_are_no_numbers_give_none(name):
    """As softmax does, so that a loss scaler or the search can see that something went wrong."""
    assert NORMALIZERS[name](torch.tensor([[float("nan"), 1.0], [0.0, 0.0]])).isnan().tolist() == [
        [True] * 2,
        [False] * 2,
    ]
