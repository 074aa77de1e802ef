"""Score functions: how well each source position answers a query. One class per formula.

Query (B, Q, H) against keys (B, S, A) gives scores (B, Q, S), for all Q queries of a sentence at once: the T steps of
teacher forcing, the K beams of a search, or one step. h_t is a decoder state, h_s (in Bahdanau et al.: h_j) the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Score(nn.Module):
    """A score function: `project` runs once a sentence, `forward` at every query."""

    def project(self, memory: Tensor) -> Tensor:
        """Memory (B, S, M) as keys (B, S, A); by default the memory itself."""
        return memory

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (B, Q, S) of queries (B, Q, H) against keys (B, S, A)."""
        raise NotImplementedError


class DotScore(Score):
    """score(h_t, h_s) = h_t^T h_s: "dot" of Luong et al. (2015), section 3.1, eq. 8.

    It has no parameters, so the query and the memory must be of one size.
    """

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2)  # (B, Q, H) x (B, H, S) -> (B, Q, S)


class GeneralScore(DotScore):
    """score(h_t, h_s) = h_t^T W_a h_s: "general" of Luong et al. (2015), section 3.1, eq. 8.

    W_a is applied to the memory once a sentence, which leaves a dot product to each decoder step.
    """

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.key_projection = nn.Linear(memory_size, query_size, bias=False)  # W_a

    def project(self, memory: Tensor) -> Tensor:
        keys: Tensor = self.key_projection(memory)  # (B, S, M) -> (B, S, H)
        return keys


class AdditiveScore(Score):
    """score(s, h_j) = v_a^T tanh(W_a s + U_a h_j): Bahdanau et al. (2015), appendix A.1.2.

    "concat" of Luong et al. (2015), eq. 8, v_a^T tanh(W_a [h_t; h_s]), is the same function: a matrix applied to two
    joined vectors is the sum of its two halves applied to each. The two papers differ in which state asks: Bahdanau's
    the one before the RNN's step, Luong's the one after it.
    """

    def __init__(self, query_size: int, memory_size: int, key_size: int) -> None:
        super().__init__()
        self.query_projection = nn.Linear(query_size, key_size, bias=False)  # W_a
        self.key_projection = nn.Linear(memory_size, key_size, bias=False)  # U_a
        self.energy = nn.Linear(key_size, 1, bias=False)  # v_a

    def project(self, memory: Tensor) -> Tensor:
        keys: Tensor = self.key_projection(memory)  # (B, S, M) -> (B, S, A)
        return keys

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        query = self.query_projection(query)  # (B, Q, H) -> (B, Q, A)
        hidden = torch.tanh(query.unsqueeze(2) + keys.unsqueeze(1))  # (B, Q, S, A)
        scores: Tensor = self.energy(hidden).squeeze(-1)  # (B, Q, S)
        return scores
