"""Dropout whose random numbers cost little on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

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

    @property
    def active(self) -> bool:
        """Whether anything is dropped: in training, with a rate above 0."""
        return self.training and self.p > 0.0

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.active:
            return inputs
        if inputs.device.type != "cpu":
            return F.dropout(inputs, self.p)
        return inputs * self._draw(inputs.shape, inputs)

    def noise(self, rows: int, steps: int, size: int, like: Tensor) -> Tensor | None:
        """Multipliers (rows, steps, size), 0 or 1 / (1 - p), for a loop over steps, all drawn at once.

        They have the type and the device of `like`. None where nothing is dropped: in eval mode, or with p = 0.
        """
        if not self.active:
            return None
        return self._draw((rows, steps, size), like)

    def _draw(self, shape: Sequence[int], like: Tensor) -> Tensor:
        if like.device.type != "cpu":
            return F.dropout(torch.ones(shape, dtype=like.dtype, device=like.device), self.p)
        count = torch.Size(shape).numel()
        draws = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.int16)[:count].view(shape) >= self.threshold
        return kept.to(like.dtype) * self.scale

    def extra_repr(self) -> str:
        return f"p={self.p}"


class LockedDropout(Dropout):
    """Drops the same elements at every step of a sequence: "variational" dropout of Gal & Ghahramani (2016).

    These are its masks on inputs and outputs; those on recurrent connections and on word types are left out.

    Inputs are (B, T, N) and the mask is (B, 1, N). One step alone (R, N) can't know its sequence's mask, so that it is
    let through in eval mode only; a loop over steps in training takes `noise`.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.active:
            return inputs
        assert inputs.dim() == 3, "a locked mask belongs to whole sequences (B, T, N)"
        rows, _, size = inputs.shape
        return inputs * self._draw((rows, 1, size), inputs)

    def noise(self, rows: int, steps: int, size: int, like: Tensor) -> Tensor | None:
        """One mask a row, as a view (rows, steps, size) with all steps alike; see `Dropout.noise`."""
        locked = super().noise(rows, 1, size, like)
        return None if locked is None else locked.expand(rows, steps, size)


class WordDropout(Dropout):
    """Drops whole words: all of an embedding (Sennrich et al. 2016, "Edinburgh Neural MT Systems for WMT 16", 2.1).

    Inputs are (B, T, E) and the mask is (B, T, 1).
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.active:
            return inputs
        rows, steps, _ = inputs.shape
        return inputs * self._draw((rows, steps, 1), inputs)


def make_dropout(p: float, locked: bool) -> Dropout:
    """Dropout of rate p, with fresh masks at every step or one for all steps of a sequence."""
    return LockedDropout(p) if locked else Dropout(p)
