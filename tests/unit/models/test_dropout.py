import pytest
import torch

from seq2seq.models.dropout import Dropout, LockedDropout, WordDropout, make_dropout

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


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_noise_is_the_mask_of_all_steps(locked, dtype):
    torch.manual_seed(0)
    noise = make_dropout(0.3, locked).train().noise(50, 6, 70, like=torch.empty(1, dtype=dtype))
    assert noise.shape == (50, 6, 70)
    assert noise.dtype == dtype
    kept = noise != 0
    torch.testing.assert_close(noise[kept].double(), torch.full((kept.sum(),), 1 / 0.7).double(), rtol=5e-3, atol=0)
    independent = 50 * 70 * (1 if locked else 6)
    assert abs(kept.double().mean() - 0.7) < 5 * (0.3 * 0.7 / independent) ** 0.5
    assert all(torch.equal(noise[:, 0], noise[:, step]) == locked for step in range(1, 6))
    assert not torch.equal(noise[0], noise[1])


@pytest.mark.parametrize("locked", [False, True])
def test_no_noise_in_eval_mode_or_at_rate_zero(locked):
    assert make_dropout(0.5, locked).eval().noise(2, 3, 4, like=torch.empty(1)) is None
    assert make_dropout(0.0, locked).train().noise(2, 3, 4, like=torch.empty(1)) is None


def test_a_locked_mask_is_the_same_at_every_step_and_another_in_every_row(tensors):
    inputs = tensors(4)(20, 7, 30)
    torch.manual_seed(0)
    outputs = LockedDropout(0.5).train()(inputs)
    zero = outputs == 0
    assert torch.equal(outputs, torch.where(zero, 0.0, 2 * inputs))
    assert torch.equal(zero, zero[:, :1].expand(-1, 7, -1))
    assert len(torch.unique(zero[:, 0], dim=0)) == 20
    assert abs(zero[:, 0].double().mean() - 0.5) < 5 * (0.25 / 600) ** 0.5


def test_locked_dropout_lets_steps_through_in_eval_mode_only(tensors):
    inputs = tensors(5)(4, 3)
    assert torch.equal(LockedDropout(0.5).eval()(inputs), inputs)
    assert torch.equal(LockedDropout(0.0).train()(inputs), inputs)
    with pytest.raises(AssertionError, match="whole sequences"):
        LockedDropout(0.5).train()(inputs)


def test_word_dropout_drops_whole_embeddings_and_keeps_the_mean():
    torch.manual_seed(0)
    outputs = WordDropout(0.2).train()(torch.ones(100, 400, 3))
    words = outputs.amax(dim=2)
    assert torch.equal(outputs, words.unsqueeze(2).expand(-1, -1, 3))
    assert (words == 0).double().mean().item() == pytest.approx(0.2, abs=5 * (0.16 / 40_000) ** 0.5)
    assert torch.unique(words[words > 0]).tolist() == [pytest.approx(1.25, rel=2**-14)]
    assert torch.equal(WordDropout(0.2).eval()(outputs), outputs)
