"""What has been attended to already: a vector for each source position, and the loss against looking there again.

The coverage C (B, Q, S, C) belongs to decoder rows; what it needs of a source position, `source` (B, S, ·), to
sentences. The coverage is float32 under autocast too: it adds up over the steps, and so do its errors. It joins the
keys as they are projected, outside of a score's own norm or gain (cosine, scaled_general).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MIN_FERTILITY = 1e-6


class Coverage(nn.Module):
    """A coverage that the score's keys carry: v^T tanh(W s + U h_j + V C_{i-1,j}), Tu et al. (2016), section 3.

    At a decoder step: `keys`, then attention, then `update` with its weights.
    """

    def __init__(self, key_size: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.key_projection = nn.Linear(size, key_size, bias=False)  # V_a

    def prepare(self, memory: Tensor) -> Tensor:
        """What is needed of each position of a memory (B, S, M), once a sentence: `source` (B, S, ·)."""
        raise NotImplementedError

    def start(self, source: Tensor) -> Tensor:
        """Nothing covered: zeros (N, S, C) for a source (N, S, ·)."""
        return source.new_zeros(*source.shape[:2], self.size)

    def keys(self, keys: Tensor, coverage: Tensor) -> Tensor:
        """Keys (B, S, A) and each query's coverage (B, Q, S, C) as each query's own keys (B, Q, S, A)."""
        covered: Tensor = self.key_projection(coverage)  # V_a C (B, Q, S, A)
        return keys.unsqueeze(1) + covered

    def update(self, coverage: Tensor, weights: Tensor, query: Tensor, source: Tensor) -> Tensor:
        """The coverage (B, Q, S, C) after a query (B, Q, H) that gave weights (B, Q, S)."""
        raise NotImplementedError


class LinguisticCoverage(Coverage):
    """C_ij = C_{i-1,j} + alpha_ij / Phi_j with the fertility Phi_j = N sigmoid(U_f h_j): Tu et al. (2016), section 3.

    Their "linguistic coverage model": one number a position, the share of its target words that has been translated. N
    is the largest number of target words that a source position may stand for.
    """

    def __init__(self, key_size: int, memory_size: int, max_fertility: float) -> None:
        super().__init__(key_size, size=1)
        self.max_fertility = max_fertility  # N
        self.fertility_projection = nn.Linear(memory_size, 1, bias=False)  # U_f

    def prepare(self, memory: Tensor) -> Tensor:
        """Fertilities (B, S, 1)."""
        with _full_precision(memory):
            share = torch.sigmoid(self.fertility_projection(memory.to(self.key_projection.weight.dtype)))
        return (self.max_fertility * share).clamp_min(MIN_FERTILITY)  # the coverage divides by it

    def update(self, coverage: Tensor, weights: Tensor, query: Tensor, source: Tensor) -> Tensor:
        return coverage + weights.unsqueeze(-1) / source.unsqueeze(1)

    def extra_repr(self) -> str:
        return f"max_fertility={self.max_fertility}"


class NeuralCoverage(Coverage):
    """C_ij = GRU(C_{i-1,j}, [alpha_ij; h_j; t]): Tu et al. (2016), section 3, their "neural network based" coverage.

    A vector a position, with gates; t is the decoder state that asked. The gates' order and formulas are those of
    torch.nn.GRU. The products with h_j are made once a sentence, those with t once a query.
    """

    def __init__(self, key_size: int, memory_size: int, query_size: int, size: int) -> None:
        super().__init__(key_size, size)
        gates = 3 * size
        self.source_projection = nn.Linear(memory_size, gates)
        self.query_projection = nn.Linear(query_size, gates, bias=False)
        self.weight_projection = nn.Linear(1, gates, bias=False)
        self.coverage_projection = nn.Linear(size, gates)

    def prepare(self, memory: Tensor) -> Tensor:
        """The memory's part (B, S, 3C) of the gates."""
        with _full_precision(memory):
            source: Tensor = self.source_projection(memory.to(self.key_projection.weight.dtype))
        return source

    def update(self, coverage: Tensor, weights: Tensor, query: Tensor, source: Tensor) -> Tensor:
        with _full_precision(coverage):
            from_input = source.unsqueeze(1) + self.query_projection(query.to(coverage.dtype)).unsqueeze(2)
            from_input = from_input + self.weight_projection(weights.to(coverage.dtype).unsqueeze(-1))  # (B, Q, S, 3C)
            from_coverage = self.coverage_projection(coverage)  # (B, Q, S, 3C)
        sizes = [2 * self.size, self.size]
        gates_input, candidate_input = from_input.split(sizes, dim=-1)
        gates_coverage, candidate_coverage = from_coverage.split(sizes, dim=-1)
        reset, keep = torch.sigmoid(gates_input + gates_coverage).chunk(2, dim=-1)
        candidate = torch.tanh(candidate_input + reset * candidate_coverage)
        return candidate + keep * (coverage - candidate)


def coverage_loss(weights: Tensor, target_mask: Tensor) -> Tensor:
    """sum_t sum_s min(a_s^t, c_s^t) with c^t = sum_{t' < t} a^t': See et al. (2017), section 2.3.

    Of weights (B, T, S) over the real target positions of target_mask (B, T), summed over all tokens of the batch.
    """
    with _full_precision(weights):
        covered = F.pad(weights.cumsum(1)[:, :-1], (0, 0, 1, 0))  # c (B, T, S): at a step, the sum of those before it
        repeated = torch.minimum(weights, covered).sum(-1)  # (B, T)
        return repeated.masked_fill(~target_mask, 0.0).sum()


def _full_precision(tensor: Tensor) -> torch.autocast:
    return torch.autocast(tensor.device.type, enabled=False)
