"""The hyperbolic tangent as it is fast on a CPU, and derivatives from values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.models.precision import wide


def tanh(inputs: Tensor) -> Tensor:
    """As torch.tanh, in the inputs' type; on a CPU several times as fast."""
    if inputs.device.type != "cpu":
        return torch.tanh(inputs)
    outputs: Tensor = _Tanh.apply(inputs)  # type: ignore[no-untyped-call]
    return outputs


def tanh_(inputs: Tensor) -> Tensor:
    """In place, as 2 sigmoid(2x) - 1: on many CPUs torch's sigmoid is ten times as fast as its tanh."""
    return inputs.mul_(2).sigmoid_().mul_(2).sub_(1)


def lstm_gates_(gates: Tensor) -> Tensor:
    """Pre-activations (..., 4H) of an LSTM's i, f, g, o in place: the sigmoid's, and of g as in `tanh_`, all in one."""
    g = gates.chunk(4, dim=-1)[2]
    g.mul_(2)
    gates.sigmoid_()
    g.mul_(2).sub_(1)
    return gates


def sigmoid_slope(output: Tensor) -> Tensor:
    """The derivative, from the sigmoid's value."""
    return output * (1 - output)


def tanh_slope(output: Tensor) -> Tensor:
    """The derivative, from the tanh's value."""
    return 1 - output * output


class _Tanh(torch.autograd.Function):
    """In float32 at least: of a sigmoid rounded to bfloat16, the tanh of a small number would be mostly rounding."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        outputs = tanh_(inputs.to(wide(inputs.dtype), copy=True)).to(inputs.dtype)
        ctx.save_for_backward(outputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (outputs,) = ctx.saved_tensors
        return gradient * tanh_slope(outputs)
