import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seq2seq.training import loss as loss_module
from seq2seq.training.loss import output_loss, pair_loss, token_nll

TOKENS, SIZE, VOCABULARY = 13, 6, 29

smoothings = pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])


def drawn(*shape, seed, scale=1.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer(bias=True, scale=1.0, dtype=torch.float32):
    linear = nn.Linear(SIZE, VOCABULARY, bias=bias)
    with torch.no_grad():
        linear.weight.copy_(drawn(VOCABULARY, SIZE, seed=1, scale=scale))
        if bias:
            linear.bias.copy_(drawn(VOCABULARY, seed=2))
    return linear.to(dtype)


@pytest.fixture
def features():
    return drawn(TOKENS, SIZE, seed=3)


@pytest.fixture
def targets():
    return torch.randint(VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(4))


def expected(features, linear, targets, smoothing, factor=1.0):
    """torch's loss in float64, and the gradients of `factor` times it by the features, the weight and the bias."""
    leaves = [leaf.detach().double().requires_grad_() for leaf in (features, *linear.parameters())]
    value = F.cross_entropy(F.linear(*leaves), targets, label_smoothing=smoothing, reduction="sum")
    return value.detach(), torch.autograd.grad(factor * value, leaves)


def actual(features, linear, targets, smoothing, factor=1.0):
    leaf = features.detach().clone().requires_grad_()
    smoothed, nll = output_loss(leaf, linear, targets, smoothing)
    return smoothed.detach(), nll, torch.autograd.grad(factor * smoothed, [leaf, *linear.parameters()])


@smoothings
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [(1, 1), (2, 1), (5, 2), (12, 5), (TOKENS, 1000)])
def test_value_and_gradients_are_those_of_torch(features, targets, smoothing, bias, dtype, sizes, monkeypatch):
    """Whatever the size of the blocks, and of their parts."""
    monkeypatch.setattr(loss_module, "block_sizes", lambda tokens, matrix: sizes)
    features, linear = features.to(dtype), layer(bias, dtype=dtype)
    smoothed, nll, gradients = actual(features, linear, targets, smoothing, factor=1 / 7)
    value, expected_gradients = expected(features, linear, targets, smoothing, factor=1 / 7)
    tolerance = {"rtol": 1e-5, "atol": 2e-6} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(smoothed.double(), value, rtol=tolerance["rtol"], atol=0)
    torch.testing.assert_close(nll.double(), expected(features, linear, targets, 0.0)[0], rtol=1e-5, atol=0)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient.double(), other, **tolerance)


@smoothings
def test_the_gradient_is_the_slope(features, targets, smoothing):
    """By central differences, in float64."""
    linear = layer(dtype=torch.float64)

    def value(*leaves):
        linear.weight, linear.bias = (nn.Parameter(leaf) for leaf in leaves[1:])
        return F.cross_entropy(F.linear(*leaves), targets[:3], label_smoothing=smoothing, reduction="sum")

    leaves = [features[:3].double(), linear.weight.detach().clone(), linear.bias.detach().clone()]
    _, _, gradients = actual(leaves[0], linear, targets[:3], smoothing)
    for leaf, gradient in zip(leaves, gradients, strict=True):
        for place in (0, leaf.numel() // 2, leaf.numel() - 1):
            losses = []
            for step in (1e-5, -1e-5):
                moved = [other.clone() for other in leaves]
                next(other for other, given in zip(moved, leaves, strict=True) if given is leaf).view(-1)[place] += step
                losses.append(value(*moved))
            assert float(gradient.view(-1)[place]) == pytest.approx(float(losses[0] - losses[1]) / 2e-5, abs=1e-7)


def test_perplexity_is_never_smoothed_nor_trained_on(features, targets):
    linear, leaf = layer(), features.requires_grad_()
    plain, smoothed = output_loss(leaf, linear, targets, 0.0), output_loss(leaf, linear, targets, 0.3)
    assert torch.equal(plain.nll, smoothed.nll)
    torch.testing.assert_close(plain.trained, plain.nll)
    assert abs(smoothed.trained - smoothed.nll) > 1
    assert smoothed.trained.requires_grad
    assert not smoothed.nll.requires_grad


@smoothings
def test_bf16_rounds_products_and_nothing_else(features, targets, smoothing):
    """The softmax and the sums are float32's, and gradients come in the types of what they are of."""
    linear = layer()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        smoothed, nll, gradients = actual(features, linear, targets, smoothing)
    assert {smoothed.dtype, nll.dtype, *(gradient.dtype for gradient in gradients)} == {torch.float32}
    value, expected_gradients = expected(features, linear, targets, smoothing)
    torch.testing.assert_close(smoothed.double(), value, rtol=1e-2, atol=0)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient.double(), other, rtol=0, atol=0.02 * float(other.abs().max()))
    half = features.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output_loss(half, linear, targets, smoothing).trained.backward()
    assert half.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("scale", [1e3, 1e4])
def test_large_logits_overflow_nowhere(features, targets, scale):
    linear = layer(scale=scale)
    value, _ = expected(features, linear, targets, 0.1)
    smoothed, nll, gradients = actual(features, linear, targets, 0.1)
    assert nll.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)
    torch.testing.assert_close(smoothed.double(), value, rtol=1e-4, atol=0)


def test_a_word_that_cannot_be_has_an_endless_loss_not_a_cut_one(targets):
    """exp(-200) is 0 in float32; the loss is 200 all the same."""
    linear = nn.Linear(1, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[0.0], [200.0]]))
        linear.bias.zero_()
    assert float(output_loss(torch.ones(1, 1), linear, torch.tensor([0]), 0.0).nll) == pytest.approx(200.0)


def test_the_loss_of_a_batch_is_the_sum_over_its_tokens(features, targets):
    linear = layer()
    whole = output_loss(features, linear, targets, 0.1)
    parts = [output_loss(features[i : i + 1], linear, targets[i : i + 1], 0.1) for i in range(TOKENS)]
    torch.testing.assert_close(whole.trained, sum(part.trained for part in parts))
    torch.testing.assert_close(whole.nll, sum(part.nll for part in parts))


def test_nothing_of_the_logits_size_is_kept_for_the_backward_pass(monkeypatch):
    """However many tokens there are, only gradients of the sizes of features and weights are."""
    monkeypatch.setattr(loss_module, "block_sizes", lambda tokens, matrix: (8, 4))
    linear = layer()
    kept = []
    for tokens in (8, 80, 800):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda saved: kept.append(saved.numel()) or saved, lambda t: t):
            leaf = drawn(tokens, SIZE, seed=5).requires_grad_()
            output_loss(leaf, linear, torch.zeros(tokens, dtype=torch.long), 0.1)
        assert sum(kept) <= tokens * SIZE + VOCABULARY * (SIZE + 1)


def test_features_and_targets_are_left_as_they_were(features, targets):
    before = features.clone(), targets.clone()
    output_loss(features.requires_grad_(), layer(), targets, 0.1).trained.backward()
    assert torch.equal(features.detach(), before[0])
    assert torch.equal(targets, before[1])


@pytest.mark.parametrize(
    ("tokens", "vocabulary", "block", "part"),
    [
        (1000, 1 << 10, 1000, 256),  # all fit
        (2000, 8000, 2000, 32),
        (2100, 8000, 1050, 32),  # two blocks of one size, not a whole one and a rest
        (1, 1 << 26, 1, 1),
    ],
)
def test_blocks_are_of_16_million_logits_and_of_like_size(tokens, vocabulary, block, part):
    assert loss_module.block_sizes(tokens, torch.empty(vocabulary, 1, device="cpu")) == (block, part)


# --- two predictions


@pytest.fixture
def pair():
    return drawn(2, TOKENS, SIZE, seed=6)


def expected_pair(pair, linear, targets, smoothing, alpha, factor=1.0):
    """Half of R-Drop's loss (Liang et al. 2021, section 2), token by token in float64."""
    leaves = [leaf.detach().double().requires_grad_() for leaf in (pair, *linear.parameters())]
    total = torch.zeros((), dtype=torch.float64)
    for token, gold in enumerate(targets):
        p, q = (F.linear(leaves[0][copy, token], *leaves[1:]).softmax(0) for copy in (0, 1))
        entropies = [-(1 - smoothing) * some[gold].log() - smoothing * some.log().sum() / VOCABULARY for some in (p, q)]
        forwards, backwards = (p * (p / q).log()).sum(), (q * (q / p).log()).sum()
        total = total + (entropies[0] + entropies[1] + alpha * (forwards + backwards) / 2) / 2
    return total.detach(), torch.autograd.grad(factor * total, leaves)


def actual_pair(pair, linear, targets, smoothing, alpha, factor=1.0):
    leaf = pair.detach().clone().requires_grad_()
    trained, nll = pair_loss(leaf, linear, targets, smoothing, alpha)
    return trained.detach(), nll, torch.autograd.grad(factor * trained, [leaf, *linear.parameters()])


@pytest.mark.parametrize(("smoothing", "alpha"), [(0.0, 1.0), (0.1, 5.0), (0.4, 0.3), (0.1, 0.0)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 2), (8, 3), (2 * TOKENS, 1000)])
def test_a_pairs_loss_and_gradients_are_the_papers(pair, targets, smoothing, alpha, bias, sizes, monkeypatch):
    monkeypatch.setattr(loss_module, "block_sizes", lambda tokens, matrix: sizes)
    for dtype, tolerance in ((torch.float32, 2e-5), (torch.float64, 1e-12)):
        linear = layer(bias, dtype=dtype)
        trained, nll, gradients = actual_pair(pair.to(dtype), linear, targets, smoothing, alpha, factor=1 / 7)
        value, expected_gradients = expected_pair(pair.to(dtype), linear, targets, smoothing, alpha, factor=1 / 7)
        torch.testing.assert_close(trained.double(), value, rtol=tolerance, atol=0)
        mean = sum(expected(pair[copy].to(dtype), linear, targets, 0.0)[0] for copy in (0, 1)) / 2
        torch.testing.assert_close(nll.double(), mean, rtol=tolerance, atol=0)
        for gradient, other in zip(gradients, expected_gradients, strict=True):
            assert gradient.dtype == dtype
            torch.testing.assert_close(gradient.double(), other, rtol=tolerance, atol=tolerance)


def test_a_pair_that_agrees_has_the_loss_of_one(features, targets):
    linear = layer()
    one = actual(features, linear, targets, 0.1)
    two = actual_pair(features.expand(2, -1, -1), linear, targets, 0.1, alpha=50.0)
    torch.testing.assert_close(two[:2], one[:2])
    torch.testing.assert_close(two[2][0].sum(0), one[2][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(two[2][1:], one[2][1:], rtol=1e-4, atol=1e-5)


def test_a_pair_in_bf16(pair, targets):
    linear = layer()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trained, nll, gradients = actual_pair(pair, linear, targets, 0.1, 5.0)
    assert {trained.dtype, nll.dtype, *(gradient.dtype for gradient in gradients)} == {torch.float32}
    value, expected_gradients = expected_pair(pair, linear, targets, 0.1, 5.0)
    torch.testing.assert_close(trained.double(), value, rtol=2e-2, atol=0)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient.double(), other, rtol=0, atol=0.03 * float(other.abs().max()))


def test_a_pair_of_large_logits_overflows_nowhere(pair, targets):
    trained, nll, gradients = actual_pair(pair, layer(scale=1e3), targets, 0.1, 5.0)
    assert trained.isfinite()
    assert nll.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)


# --- token by token


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1), (5, 2), (TOKENS, 1000)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_each_tokens_nll_and_the_gradient_of_any_weighting(
    features, targets, bias, sizes, dtype, tolerance, monkeypatch
):
    monkeypatch.setattr(loss_module, "block_sizes", lambda tokens, matrix: sizes)
    linear, weights = layer(bias, dtype=dtype), drawn(TOKENS, seed=7)
    leaves = [leaf.detach().double().requires_grad_() for leaf in (features, *linear.parameters())]
    plain = F.cross_entropy(F.linear(*leaves), targets, reduction="none")
    leaf = features.to(dtype).requires_grad_()
    nll = token_nll(leaf, linear, targets)
    torch.testing.assert_close(nll.double(), plain, rtol=tolerance, atol=tolerance)
    gradients = torch.autograd.grad((nll * weights.to(dtype)).sum(), [leaf, *linear.parameters()])
    for gradient, other in zip(gradients, torch.autograd.grad((plain * weights.double()).sum(), leaves), strict=True):
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient.double(), other, rtol=tolerance, atol=tolerance)


def test_tokens_nll_in_bf16_whose_backward_pass_is_outside_of_autocast(features, targets):
    linear, leaf = layer(), features.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        nll = token_nll(leaf, linear, targets)
    assert nll.dtype == torch.float32
    value, expected_gradients = expected(features, linear, targets, 0.0)
    torch.testing.assert_close(nll.double().sum(), value, rtol=1e-2, atol=0)
    for gradient, other in zip(
        torch.autograd.grad(nll.sum(), [leaf, *linear.parameters()]), expected_gradients, strict=True
    ):
        torch.testing.assert_close(gradient.double(), other, rtol=0, atol=0.02 * float(other.abs().max()))


def test_tokens_nll_keeps_nothing_of_the_logits_size():
    linear, kept = layer(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda saved: kept.append(saved.numel()) or saved, lambda t: t):
        token_nll(drawn(800, SIZE, seed=5).requires_grad_(), linear, torch.zeros(800, dtype=torch.long))
    assert sum(kept) <= 800 * (SIZE + 1) + VOCABULARY * (SIZE + 1)
