"""Dropout whose random numbers cost little on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Zeroes elements with probability p and scales the rest by 1 / (1 - p) (Srivastava et al. 2014).

    torch's CPU dropout draws one random number an element, which took a seventh of a training step's time. Here each
    64-bit draw serves four elements, with p rounded to a multiple of 2^-16; on a GPU torch's own kernel runs.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.threshold = round(p * 65536) - 32768  # a 16-bit number below it drops its element
        self.scale = 65536 / (32768 - self.threshold)

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return inputs
        if inputs.device.type != "cpu":
            return F.dropout(inputs, self.p)
        draws = torch.empty((inputs.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.int16)[: inputs.numel()].view(inputs.shape) >= self.threshold
        return inputs * (kept.to(inputs.dtype) * self.scale)

    def extra_repr(self) -> str:
        return f"p={self.p}"
