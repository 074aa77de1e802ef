"""The fast tanh, against Python's."""

import math

import pytest
import torch

from seq2seq.models.activations import sigmoid_slope, tanh, tanh_, tanh_slope

VALUES = [-1e4, -20.0, -3.0, -0.5, -1e-3, -1e-6, 0.0, 1e-6, 1e-3, 0.5, 3.0, 20.0, 1e4]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-15), (torch.float32, 2e-7), (torch.bfloat16, 2**-8)]
)
def test_the_values_are_those_of_tanh(dtype, tolerance):
    inputs = torch.tensor(VALUES, dtype=dtype)
    outputs = tanh(inputs)
    assert outputs.dtype == dtype
    for value, output in zip(inputs.tolist(), outputs.tolist(), strict=True):
        assert output == pytest.approx(math.tanh(value), abs=tolerance)
    assert torch.equal(inputs, torch.tensor(VALUES, dtype=dtype))
    assert torch.equal(tanh_(inputs.clone()), outputs) or dtype == torch.bfloat16


def test_small_numbers_in_bf16_are_not_lost():
    """A sigmoid of 0.001 is 0.5 in bfloat16, which would make them 0."""
    inputs = torch.tensor([1e-3, -2e-3], dtype=torch.bfloat16)
    torch.testing.assert_close(tanh(inputs), inputs, atol=0, rtol=2**-7)


def test_the_gradient_is_that_of_tanh():
    inputs = torch.tensor(VALUES[1:-1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tanh, inputs)


@pytest.mark.parametrize(("function", "slope"), [(torch.sigmoid, sigmoid_slope), (torch.tanh, tanh_slope)])
def test_slopes_are_the_derivatives(function, slope):
    inputs = torch.tensor(VALUES, dtype=torch.float64, requires_grad=True)
    outputs = function(inputs)
    (expected,) = torch.autograd.grad(outputs.sum(), inputs)
    torch.testing.assert_close(slope(outputs), expected)
