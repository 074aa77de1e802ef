import pytest
import torch

from seq2seq.models.dropout import Dropout

RATES = [0.05, 0.1, 0.3, 0.5, 0.95]
COUNT = 400_003  # not a multiple of four


def dropped(p, inputs, seed=0):
    torch.manual_seed(seed)
    return Dropout(p).train()(inputs)


def test_nothing_happens_in_eval_mode_or_at_rate_zero(tensors):
    inputs = tensors(0)(3, 5)
    assert torch.equal(Dropout(0.5).eval()(inputs), inputs)
    assert torch.equal(Dropout(0.0).train()(inputs), inputs)


@pytest.mark.parametrize("p", RATES)
def test_the_rate_is_p_and_the_mean_is_kept(p):
    outputs = dropped(p, torch.ones(COUNT))
    kept = outputs != 0
    deviation = (p * (1 - p) / COUNT) ** 0.5
    assert abs((~kept).double().mean().item() - p) < 5 * deviation + 2**-16
    # What is kept is scaled by 1 / (1 - p) of the rate as rounded, so that nothing is gained or lost on the whole.
    assert torch.unique(outputs[kept]).tolist() == [pytest.approx(1 / (1 - p), rel=2**-16 / (1 - p))]
    assert abs(outputs.double().mean().item() - 1) < 5 * deviation / (1 - p)


@pytest.mark.parametrize("p", [0.3, 0.5])
def test_scaling_is_by_the_rate_that_is_really_used(p):
    """Exactly unbiased: of the 65,536 numbers that may be drawn, as many drop an element as the scale makes up for."""
    module = Dropout(p)
    dropping = sum(number < module.threshold for number in range(-32768, 32768))
    assert dropping == round(p * 65536)
    assert (1 - dropping / 65536) * module.scale == pytest.approx(1, abs=1e-12)


def test_the_four_elements_that_share_a_draw_are_dropped_independently():
    zero = (dropped(0.3, torch.ones(4 * 100_000)) == 0).double().view(-1, 4)
    torch.testing.assert_close(zero.mean(dim=0), torch.full((4,), 0.3, dtype=torch.float64), atol=8e-3, rtol=0)
    assert (torch.corrcoef(zero.T) - torch.eye(4)).abs().max() < 0.02


def test_the_gradient_goes_through_the_same_mask(tensors):
    inputs = tensors(1)(40, 7).requires_grad_()
    outputs = dropped(0.3, inputs)
    gradient = tensors(2)(40, 7)
    outputs.backward(gradient)
    scale = torch.where(outputs == 0, 0.0, 1 / 0.7)
    assert 0 < (outputs == 0).sum() < outputs.numel()
    torch.testing.assert_close(inputs.grad, gradient * scale, rtol=1e-4, atol=0)
    torch.testing.assert_close(outputs, inputs * scale, rtol=1e-4, atol=0)


def test_a_seed_fixes_the_mask(tensors):
    inputs = tensors(3)(30, 30)
    assert torch.equal(dropped(0.4, inputs, seed=7), dropped(0.4, inputs, seed=7))
    assert not torch.equal(dropped(0.4, inputs, seed=7), dropped(0.4, inputs, seed=8))
    torch.manual_seed(7)
    module = Dropout(0.4).train()
    assert not torch.equal(module(inputs), module(inputs))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_type_is_kept(dtype):
    outputs = dropped(0.5, torch.ones(1001, dtype=dtype))
    assert outputs.dtype == dtype
    assert set(outputs.tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("shape", [(0,), (1,), (3,), (5, 0), (7, 3), (2, 3, 5)])
def test_any_number_of_elements(shape):
    outputs = dropped(0.5, torch.ones(shape))
    assert outputs.shape == shape
    assert all(value in (0.0, 2.0) for value in outputs.flatten().tolist())


def test_a_view_with_gaps_is_dropped_like_any_other():
    inputs = torch.arange(1.0, 25.0).view(4, 6).T  # not contiguous
    outputs = dropped(0.5, inputs)
    assert torch.equal(outputs, torch.where(outputs == 0, 0.0, 2 * inputs))
    assert 0 < (outputs == 0).sum() < 24
