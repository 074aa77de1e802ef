"""Translation of a sentence or two at a time on a CPU, where the products of a step have few rows."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.models.rnn import FusedLayer
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.models.twins import copied, linear_of, rebuilt

FEW = 16  # rows; from about 64 on both ways take the same time


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """inputs (..., I) W^T + b as (W inputs^T)^T where there are few of them: (..., O).

    Many CPUs' kernels divide the rows of the first factor among their cores and vectors, and do badly with five.
    """
    rows = inputs.shape[:-1].numel()
    if not 1 < rows <= FEW:
        return F.linear(inputs, weight, bias)
    columns = inputs.reshape(rows, -1).t()  # (I, R)
    outputs = torch.mm(weight, columns) if bias is None else torch.addmm(bias.unsqueeze(1), weight, columns)
    return outputs.t().contiguous().view(*inputs.shape[:-1], -1)


class FewRowsLinear(nn.Linear):
    """nn.Linear by `linear`."""

    product = staticmethod(linear)

    def forward(self, inputs: Tensor) -> Tensor:
        return linear(inputs, self.weight, self.bias)


def for_few_rows(model: Seq2Seq) -> Seq2Seq:
    """The same model, with the same weights, whose decoder's steps are fast with few rows; `model` stays as it is."""
    twin = copied(model)
    twin.decoder = rebuilt(model.decoder, _replacement)
    twin.output = cast(nn.Linear, _replacement(model, "output", model.output) or model.output)
    return twin


def few_rows_pay() -> bool:
    """Whether `linear` is faster here: three times as fast on a CPU with AVX2 alone (measured: AMD Zen 1).

    By what the CPU has, and not by a measurement, which the same command might decide otherwise the next time: its
    results would then differ in their last digits.
    """
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


def _replacement(owner: nn.Module, name: str, part: nn.Module) -> nn.Module | None:
    if type(part) is nn.Linear:
        return linear_of(part.weight, part.bias, FewRowsLinear)
    if isinstance(part, FusedLayer):
        twin = copied(part)
        twin.product = linear
        return twin
    return None
