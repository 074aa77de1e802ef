"""From scores to weights. All take scores (..., S), -inf where masked, to weights (..., S) that sum to 1.

One family: entmax_alpha(z) = argmax of p.z + H_alpha(p) over the simplex, with the entropies of Tsallis. alpha = 1 is
the softmax, 2 the sparsemax, and 1.5 is between them (Peters, Niculae & Martins 2019). Beyond 1 the solution is
p_i = [(alpha - 1) z_i - tau]_+^(1 / (alpha - 1)) with the threshold tau at which the sum is 1, so that low scores get
exactly 0. A sort finds the support, the entries above tau; on a given support tau is a smooth function of the scores,
and through that function autograd gives the exact gradient. Masked entries get exactly 0, and no row may be all -inf.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def softmax(scores: Tensor) -> Tensor:
    """p_i = exp(z_i) / sum_j exp(z_j): positive wherever the score is finite."""
    return scores.softmax(dim=-1)


def sparsemax(scores: Tensor) -> Tensor:
    """p = [z - tau]_+, the point of the simplex nearest to z: Martins & Astudillo (2016), section 2."""
    shifted = _shift(scores)
    ranked, rank = _rank(shifted)
    excess = ranked.cumsum(dim=-1) - rank * ranked  # sum_i [z_i - z_k]_+, what p would sum to at tau = z_k
    support = shifted >= _lowest(ranked, excess)
    size = support.sum(dim=-1, keepdim=True)
    threshold = ((shifted * support).sum(dim=-1, keepdim=True) - 1) / size
    return (shifted - threshold).clamp(min=0)


def entmax15(scores: Tensor) -> Tensor:
    """p = [z / 2 - tau]_+^2: the entmax of alpha = 1.5, Peters, Niculae & Martins (2019)."""
    halves = _shift(scores / 2)
    ranked, rank = _rank(halves)
    first, second = ranked.cumsum(dim=-1), ranked.square().cumsum(dim=-1)
    excess = second - 2 * ranked * first + rank * ranked.square()  # sum_i [z_i / 2 - z_k / 2]_+^2
    support = halves >= _lowest(ranked, excess)
    size = support.sum(dim=-1, keepdim=True)
    mean = (halves * support).sum(dim=-1, keepdim=True) / size
    spread = ((halves - mean).square() * support).sum(dim=-1, keepdim=True)
    rest = (1 - spread).clamp(min=1e-7)  # above 0 but for rounding, which a root and its slope can't bear
    threshold = mean - (rest / size).sqrt()  # solves sum_i (z_i / 2 - tau)^2 = 1 over the support
    return (halves - threshold).clamp(min=0).square()


NORMALIZERS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": softmax,
    "sparsemax": sparsemax,
    "entmax15": entmax15,
}


def _shift(scores: Tensor) -> Tensor:
    """Scores less their row's highest, which changes no weight; cut at -2, far below any tau (>= -1), against -inf."""
    return (scores - scores.detach().amax(dim=-1, keepdim=True)).clamp(min=-2)


def _rank(shifted: Tensor) -> tuple[Tensor, Tensor]:
    """The row from its highest score down, and 1..S."""
    ranked = shifted.detach().sort(dim=-1, descending=True).values
    return ranked, torch.arange(1, ranked.shape[-1] + 1, dtype=ranked.dtype, device=ranked.device)


def _lowest(ranked: Tensor, excess: Tensor) -> Tensor:
    """The lowest score of the support: the last at which a threshold would leave less than 1 above it."""
    size = (excess < 1).sum(dim=-1, keepdim=True)
    return ranked.gather(-1, (size - 1).clamp(min=0))  # of scores that are NaN none is counted, and NaN comes back
