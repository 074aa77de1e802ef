import pytest
import torch
from torch.nn import functional as F

from seq2seq.training import loss as loss_module
from seq2seq.training.loss import cross_entropy

TOKENS, VOCABULARY = 13, 29

smoothings = pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])


@pytest.fixture
def logits():
    return 3 * torch.randn(TOKENS, VOCABULARY, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def targets():
    return torch.randint(VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(2))


def expected(logits, targets, smoothing, factor=1.0):
    """torch's loss in float64, and the gradient of `factor` times it."""
    leaf = logits.detach().double().requires_grad_()
    value = F.cross_entropy(leaf, targets, label_smoothing=smoothing, reduction="sum")
    (factor * value).backward()
    return value.detach(), leaf.grad


def actual(logits, targets, smoothing, factor=1.0):
    leaf = logits.detach().clone().requires_grad_()
    smoothed, nll = cross_entropy(leaf, targets, smoothing)
    (factor * smoothed).backward()
    return smoothed.detach(), nll, leaf.grad


@smoothings
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [1, 2, 5, TOKENS, 1000])
def test_value_and_gradient_are_those_of_torch(logits, targets, smoothing, dtype, rows, monkeypatch):
    monkeypatch.setattr(loss_module, "_rows", lambda logits: rows)
    logits = logits.to(dtype)
    smoothed, nll, gradient = actual(logits, targets, smoothing, factor=1 / 7)
    value, expected_gradient = expected(logits, targets, smoothing, factor=1 / 7)
    torch.testing.assert_close(smoothed.double(), value, rtol=1e-6, atol=0)
    assert gradient.dtype == dtype
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(nll.double(), expected(logits, targets, 0.0)[0], rtol=1e-6, atol=0)


@smoothings
def test_the_gradient_is_the_slope(logits, targets, smoothing):
    """By central differences; steps are wide, for sums are taken in float32."""
    _, _, gradient = actual(logits[:3], targets[:3], smoothing)
    for row, column in [(0, int(targets[0])), (1, 4), (2, 28)]:
        step = torch.zeros(3, VOCABULARY)
        step[row, column] = 2e-2
        above, below = (cross_entropy(logits[:3] + sign * step, targets[:3], smoothing).smoothed for sign in (1, -1))
        assert gradient[row, column].item() == pytest.approx((above - below).item() / 4e-2, abs=2e-4)


def test_perplexity_is_never_smoothed_nor_trained_on(logits, targets):
    leaf = logits.clone().requires_grad_()
    plain, smoothed = cross_entropy(leaf, targets, 0.0), cross_entropy(leaf, targets, 0.3)
    assert torch.equal(plain.nll, smoothed.nll)
    torch.testing.assert_close(plain.smoothed, plain.nll)
    assert abs(smoothed.smoothed - smoothed.nll) > 1
    assert smoothed.smoothed.requires_grad
    assert not smoothed.nll.requires_grad


@smoothings
def test_bf16_is_close_to_float32(logits, targets, smoothing):
    """The logits are rounded, nothing else: sums and the softmax are float32's."""
    rounded = logits.bfloat16()
    smoothed, nll, gradient = actual(rounded, targets, smoothing)
    value, expected_gradient = expected(rounded, targets, smoothing)
    assert (smoothed.dtype, nll.dtype, gradient.dtype) == (torch.float32, torch.float32, torch.bfloat16)
    torch.testing.assert_close(smoothed.double(), value, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=2**-8, atol=1e-6)
    torch.testing.assert_close(smoothed.double(), expected(logits, targets, smoothing)[0], rtol=1e-2, atol=0)


@pytest.mark.parametrize("size", [1e3, 1e4])
def test_large_logits_overflow_nowhere(logits, targets, size):
    value, _ = expected(size * logits, targets, 0.1)
    smoothed, nll, gradient = actual(size * logits, targets, 0.1)
    assert gradient.isfinite().all()
    assert nll.isfinite()
    torch.testing.assert_close(smoothed.double(), value, rtol=1e-5, atol=0)


def test_the_loss_of_a_batch_is_the_sum_over_its_tokens(logits, targets):
    whole = cross_entropy(logits, targets, 0.1)
    parts = [cross_entropy(logits[i : i + 1], targets[i : i + 1], 0.1) for i in range(TOKENS)]
    torch.testing.assert_close(whole.smoothed, sum(part.smoothed for part in parts))
    torch.testing.assert_close(whole.nll, sum(part.nll for part in parts))


def test_logits_and_targets_are_left_as_they_were(logits, targets):
    before = logits.clone(), targets.clone()
    actual_logits = logits.requires_grad_()
    cross_entropy(actual_logits, targets, 0.1).smoothed.backward()
    assert torch.equal(actual_logits.detach(), before[0])
    assert torch.equal(targets, before[1])


@pytest.mark.parametrize(("vocabulary", "rows"), [(1 << 10, 256), (1 << 18, 1), (1 << 20, 1), (8000, 32)])
def test_a_megabyte_of_rows_at_once_and_never_none(vocabulary, rows):
    assert loss_module._rows(torch.empty(0, vocabulary)) == rows
