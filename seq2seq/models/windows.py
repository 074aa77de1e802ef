"""Where attention may look: at the whole sentence, or at a window of it (local attention, Luong et al. 2015).

Source positions s count from 0. S is the sentence's own length, not the batch's, so that padding moves no window.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Span(NamedTuple):
    """What a window lets through, of shape (B, Q, S), or (B, 1, S) where all queries share it.

    `inside` is True where attention may look; padding never is. `factor` multiplies the weights after the softmax, and
    nothing brings their sum back to 1; None stands for 1.
    """

    inside: Tensor
    factor: Tensor | None


class Window(nn.Module):
    """A choice of source positions for each query."""

    weighs: bool = False  # whether it gives a factor

    def forward(self, query: Tensor, steps: Tensor, mask: Tensor) -> Span:
        """Queries (B, Q, H) at target positions (Q,), or (1,) where they share one; source mask (B, S)."""
        raise NotImplementedError


class GlobalWindow(Window):
    """Every real token: global attention (Luong et al. 2015, section 3.1; Bahdanau et al. 2015)."""

    def forward(self, query: Tensor, steps: Tensor, mask: Tensor) -> Span:
        return Span(mask.unsqueeze(1), None)


class MonotonicWindow(Window):
    """The positions within D of p_t = t: "local-m" of Luong et al. (2015), section 3.2.

    Where the target is much the longer, such a window would lie beyond the source and hold nothing, which the paper
    doesn't speak of. Here it stops at the last position: p_t = min(t, S - 1).
    """

    def __init__(self, half_width: int) -> None:
        super().__init__()
        self.half_width = half_width  # D

    def forward(self, query: Tensor, steps: Tensor, mask: Tensor) -> Span:
        centre = torch.minimum(steps, mask.sum(1, keepdim=True) - 1)  # (Q,), (B, 1) -> (B, Q)
        return Span(_near(_distance(centre, mask), self.half_width, mask), None)

    def extra_repr(self) -> str:
        return f"half_width={self.half_width}"


class PredictiveWindow(Window):
    """The positions within D of a predicted one, nearer ones weighing more: "local-p" of Luong et al. (2015), 3.2.

    p_t = S sigmoid(v_p^T tanh(W_p h_t)); the weights inside are multiplied by exp(-(s - p_t)^2 / (2 sigma^2)) with
    sigma = D / 2. Only this factor teaches W_p and v_p. p_t is between 0 and S, and so no farther than 1 from a
    position: with D >= 1 no window is empty.
    """

    weighs = True

    def __init__(self, query_size: int, half_width: int) -> None:
        super().__init__()
        assert half_width >= 1
        self.half_width = half_width  # D
        self.query_projection = nn.Linear(query_size, query_size, bias=False)  # W_p
        self.position = nn.Linear(query_size, 1, bias=False)  # v_p

    def forward(self, query: Tensor, steps: Tensor, mask: Tensor) -> Span:
        # bfloat16 tells no positions above 256 apart, and a query at a window's edge must not depend on its company.
        with torch.autocast(query.device.type, enabled=False):
            hidden = torch.tanh(self.query_projection(query.to(self.position.weight.dtype)))  # (B, Q, H)
            share = torch.sigmoid(self.position(hidden)).squeeze(-1)  # (B, Q), of the sentence's length
            distance = _distance(mask.sum(1, keepdim=True) * share, mask)  # (B, Q, S)
            sigma = self.half_width / 2
            factor = torch.exp(-distance.square() / (2 * sigma**2))
        return Span(_near(distance, self.half_width, mask), factor)

    def extra_repr(self) -> str:
        return f"half_width={self.half_width}"


def _distance(centre: Tensor, mask: Tensor) -> Tensor:
    """|s - p_t| (B, Q, S) from centres (B, Q)."""
    positions = torch.arange(mask.shape[1], device=mask.device)  # (S,)
    return (positions - centre.unsqueeze(-1)).abs()


def _near(distance: Tensor, half_width: int, mask: Tensor) -> Tensor:
    return (distance <= half_width) & mask.unsqueeze(1)
