"""Attention with several heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.models.attention import Attention, Treatment
from seq2seq.models.memory import Memory
from seq2seq.models.normalizers import softmax
from seq2seq.models.scores import MultiHeadScore, ScaledDotScore


class MultiHeadAttention(Attention):
    """[head_1; ..; head_h] W_O, head_i an attention over its own part of keys and values (Vaswani et al. 2017, 3.2.2).

    Window, bias and mask are the same for all heads. The weights given back are the mean over the heads.
    """

    score: MultiHeadScore

    def __init__(self, score: MultiHeadScore, treatment: Treatment, value_size: int, context_size: int) -> None:
        super().__init__(score, treatment, context_size)
        self.output_projection = nn.Linear(value_size, context_size, bias=False)  # W_O
        # What torch's fused attention computes, when nobody asks for the weights.
        plain = self.normalizer is softmax and not self.window.weighs
        self.fused = plain and all(type(head) is ScaledDotScore for head in score.heads)

    def context(self, query: Tensor, memory: Memory, steps: Tensor) -> Tensor:
        """By torch's scaled_dot_product_attention, where that computes the same."""
        if not self.fused:
            return super().context(query, memory, steps)
        inside, _ = self.window(query, steps, memory.mask)
        bias = self._bias(memory, steps)
        allowed = inside if bias is None else bias.masked_fill(~inside, float("-inf"))  # (B, Q, S) or (B, 1, S)
        queries = self._split(self.score.query_projection(query))  # (B, h, Q, d)
        keys, values = self._split(memory.keys), self._split(memory.values)
        attended = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=(allowed if bias is None else allowed.to(queries.dtype)).unsqueeze(1),
            dropout_p=self.dropout.p if self.training else 0.0,
            scale=queries.shape[-1] ** -0.5 / self.temperature,
        )
        joined: Tensor = self.output_projection(attended.transpose(1, 2).flatten(2))
        return joined

    def _split(self, vectors: Tensor) -> Tensor:
        sentences, length, _ = vectors.shape
        return vectors.view(sentences, length, len(self.score.heads), -1).transpose(1, 2)  # (B, h, N, d)

    def _mix(self, weights: Tensor, values: Tensor) -> Tensor:
        parts = values.chunk(len(self.score.heads), dim=-1)  # h of (B, S, d)
        heads = [of_head @ part for of_head, part in zip(weights, parts, strict=True)]  # h of (B, Q, d)
        context: Tensor = self.output_projection(torch.cat(heads, dim=-1))
        return context

    def _joined(self, weights: Tensor) -> Tensor:
        return weights.mean(dim=0)  # (h, B, Q, S) -> (B, Q, S)
