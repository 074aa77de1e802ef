"""Modules for a loop over steps, whose matrices get their gradient from all steps at once."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seq2seq.models.precision import product_type, wide

Module = TypeVar("Module", bound=nn.Module)


def unrolled(module: Module) -> Module:
    """A twin of `module`, with the same parameters, to be called at each step of one loop.

    Autograd adds up the gradient of a matrix step by step: as many passes over the matrix as there are steps, its sum
    rounded to bfloat16 each time under autocast. In the twin each nn.Linear keeps the inputs of all steps and the
    gradients that come back, and makes one product of them when the last has come. Values are the same.
    """
    if not torch.is_grad_enabled():
        return module
    twin: Module = _twin(module, {})
    return twin


def _twin(module: Any, twins: dict[int, Any]) -> Any:
    if id(module) not in twins:
        twins[id(module)] = twin = _Linear(module) if type(module) is nn.Linear else copy.copy(module)
        # A copy shares its original's dictionary of children, which must stay as it is.
        twin._modules = {name: child and _twin(child, twins) for name, child in module._modules.items()}
    return twins[id(module)]


class _Linear(nn.Linear):
    """nn.Linear for one loop: the first step opens its tape."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)  # nn.Linear's own would draw weights
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.tape: _Tape | None = None
        self.opened: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        if self.tape is None:
            self.tape = _Tape(self.weight, self.bias, product_type(inputs))
            self.opened = _Open.apply(self.weight, self.bias, self.tape)  # type: ignore[no-untyped-call]
        result: Tensor = _Use.apply(inputs, self.opened, self.tape)  # type: ignore[no-untyped-call]
        return result


class _Tape:
    """A matrix in the products' type, and of each step its inputs (R, I) and their products' gradients (R, O)."""

    def __init__(self, weight: Tensor, bias: Tensor | None, kind: torch.dtype) -> None:
        self.weight = weight.detach().to(kind)
        self.bias = None if bias is None else bias.detach().to(kind)
        self.inputs: list[Tensor] = []
        self.gradients: list[Tensor] = []


class _Open(torch.autograd.Function):
    """Before the first step forwards, and so after the last step backwards."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, tape: _Tape) -> Tensor:
        ctx.tape, ctx.kind, ctx.has_bias = tape, weight.dtype, bias is not None
        ctx.set_materialize_grads(False)
        return weight.new_empty(())  # never read: it only ties the steps to the matrix

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: None) -> tuple[Tensor | None, ...]:
        if not ctx.tape.gradients:
            return None, None, None
        inputs, gradients = torch.cat(ctx.tape.inputs), torch.cat(ctx.tape.gradients)
        by_bias = gradients.sum(0, dtype=wide(gradients.dtype)).to(ctx.kind) if ctx.has_bias else None
        return (gradients.t() @ inputs).to(ctx.kind), by_bias, None


class _Use(torch.autograd.Function):
    """A step."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, opened: Tensor, tape: _Tape) -> Tensor:
        ctx.tape, ctx.kind = tape, inputs.dtype
        inputs = inputs.to(tape.weight.dtype)
        ctx.save_for_backward(inputs)
        return F.linear(inputs, tape.weight, tape.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (inputs,) = ctx.saved_tensors
        ctx.tape.inputs.append(inputs.flatten(0, -2))
        ctx.tape.gradients.append(gradient.flatten(0, -2))
        return (gradient @ ctx.tape.weight).to(ctx.kind) if ctx.needs_input_grad[0] else None, None, None
