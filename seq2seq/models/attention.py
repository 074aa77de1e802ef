"""Attention, in the papers' order: scores, mask, weights, context."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from seq2seq.models.memory import Encoded, Memory
from seq2seq.models.scores import Score


class Attended(NamedTuple):
    """What attention gives back: context (B, Q, M), and the weights (B, Q, S) that made it."""

    context: Tensor
    weights: Tensor


class Attention(nn.Module):
    """The mean of the memory, weighted by the softmax of a score.

    c_i = sum_j alpha_ij h_j with alpha_ij = softmax_j(score(s, h_j)): Bahdanau et al. (2015), eq. 5 and 6; the same
    as the global attention of Luong et al. (2015), eq. 7. Padding gets a weight of exactly 0.
    """

    def __init__(self, score: Score) -> None:
        super().__init__()
        self.score = score

    def prepare(self, encoded: Encoded) -> Memory:
        """Projects the keys; once a source sentence, however many queries follow."""
        keys = self.score.project(encoded.memory)  # (B, S, A)
        return Memory(keys, encoded.memory.to(keys.dtype), encoded.mask)

    def forward(self, query: Tensor, memory: Memory) -> Attended:
        """Queries (B, Q, H) of each sentence against its memory."""
        scores = self.score(query, memory.keys).float()  # (B, Q, S)
        scores = scores.masked_fill(~memory.mask.unsqueeze(1), float("-inf"))
        weights = scores.softmax(dim=-1)  # (B, Q, S)
        context = weights.to(memory.values.dtype) @ memory.values  # (B, Q, S) x (B, S, M) -> (B, Q, M)
        return Attended(context, weights)
