"""What attention expects before it has seen a word: a bias on the scores, by position alone, without parameters.

Source positions s and target positions t count from 0. S is the sentence's own length, not the batch's, so that padding
moves nothing. At padding the bias is finite and means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Prior(nn.Module):
    """A bias added to the scores before the softmax, so that softmax weights are multiplied by its exponential."""

    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        """Target positions (Q,), or (1,) where all queries share one, and source mask (B, S): bias (B, Q or 1, S)."""
        raise NotImplementedError


class PatternPrior(Prior):
    """-strength * penalty(|s - centre|): what the patterns have in common. Each says where its centre is.

    `width` is in source positions: that far from its centre, the bias is -strength. `slope` is how many source
    positions one target position stands for, which only the patterns that move with t read.
    """

    def __init__(self, strength: float, width: float, slope: float) -> None:
        super().__init__()
        self.strength = strength
        self.width = width
        self.slope = slope

    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        positions = torch.arange(mask.shape[1], device=mask.device)  # (S,)
        last = mask.sum(1).view(-1, 1, 1) - 1  # (B, 1, 1)
        centre = self.centre(steps.view(1, -1, 1), last).float()
        return -self.strength * self.penalty((positions - centre).abs())

    def centre(self, steps: Tensor, last: Tensor) -> Tensor:
        """From target positions (1, Q, 1) and sentences' last source positions (B, 1, 1): (B, Q or 1, 1)."""
        raise NotImplementedError

    def penalty(self, distance: Tensor) -> Tensor:
        """Of distances (B, Q, S), from 0 at the centre."""
        return distance / self.width

    def extra_repr(self) -> str:
        return f"strength={self.strength}, width={self.width}, slope={self.slope}"


class BeginningPrior(PatternPrior):
    """-a s / w: the first words weigh most."""

    def centre(self, steps: Tensor, last: Tensor) -> Tensor:
        return torch.zeros_like(last)


class EndPrior(PatternPrior):
    """-a (S - 1 - s) / w: the last words weigh most."""

    def centre(self, steps: Tensor, last: Tensor) -> Tensor:
        return last


class DiagonalPrior(PatternPrior):
    """-a |s - c_t| / w with c_t = min(slope t, S - 1): the words that stand where the target does weigh most."""

    def centre(self, steps: Tensor, last: Tensor) -> Tensor:
        return torch.minimum(self.slope * steps, last)


class BandPrior(DiagonalPrior):
    """0 within w of c_t = min(slope t, S - 1), -a elsewhere: all words around the diagonal alike."""

    def penalty(self, distance: Tensor) -> Tensor:
        # The edge belongs to the band, and slope * t in float32 may miss it by a rounding.
        return (distance > self.width + 1e-3).to(distance.dtype)


class OwnPrior(Prior):
    """Numbers of the user's own, added to the scores of the first source positions; 0 beyond them."""

    weights: Tensor

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__()
        # The config brings them back: they are no part of what was learned.
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32), persistent=False)

    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        fitted = F.pad(self.weights, (0, mask.shape[1] - len(self.weights)))  # (S,); what is too long is cut off
        return fitted.expand(mask.shape[0], 1, -1)


class PriorSum(Prior):
    """Several priors added up, each with its own strength; without any, 0."""

    def __init__(self, priors: Iterable[Prior]) -> None:
        super().__init__()
        self.priors = nn.ModuleList(priors)

    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        bias = torch.zeros(mask.shape[0], 1, mask.shape[1], device=mask.device)
        for prior in self.priors:
            bias = bias + prior(steps, mask)
        return bias
