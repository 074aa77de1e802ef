"""Attention, in the papers' order: scores, bias, mask, weights, context."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.grid import Grid
from seq2seq.models.coverage import Coverage
from seq2seq.models.dropout import Dropout
from seq2seq.models.memory import Encoded, Memory
from seq2seq.models.priors import Prior
from seq2seq.models.scores import Score
from seq2seq.models.windows import Window


class AttentionState(NamedTuple):
    """What attention carries from step to step: the step's number, and the coverage (R, S, C) where one is kept."""

    step: int = 0
    coverage: Tensor | None = None

    def select(self, rows: Tensor) -> AttentionState:
        """The state of these decoder rows, in this order."""
        return AttentionState(self.step, None if self.coverage is None else self.coverage.index_select(0, rows))


class Attended(NamedTuple):
    """Context (B, T, V) or (R, V), the weights (B, T, S) or (R, S) that made it, and the state after it."""

    context: Tensor
    weights: Tensor
    state: AttentionState


class Treatment(NamedTuple):
    """What is done on the way from scores to context, besides the padding mask."""

    normalizer: Callable[[Tensor], Tensor]  # scores (..., S) to weights
    window: Window
    prior: Prior | None
    coverage: Coverage | None
    value_projection: nn.Linear | None  # None: the values are the memory
    dropout: Dropout
    temperature: float


class Attention(nn.Module):
    """The mean of the values, weighted by a score: by its softmax, where no other normalizer is chosen.

    c_i = sum_j alpha_ij h_j with alpha_ij = softmax_j(score(s, h_j)): Bahdanau et al. (2015), eq. 5 and 6; the same
    as the global attention of Luong et al. (2015), eq. 7. Padding gets a weight of exactly 0.
    """

    def __init__(self, score: Score, treatment: Treatment, context_size: int) -> None:
        super().__init__()
        self.score = score
        self.normalizer, self.window, self.prior = treatment.normalizer, treatment.window, treatment.prior
        self.coverage, self.value_projection = treatment.coverage, treatment.value_projection
        self.dropout, self.temperature = treatment.dropout, treatment.temperature
        self.context_size = context_size  # V

    def prepare(self, encoded: Encoded, bias: Tensor | None) -> Memory:
        """Projects keys and values; once a source sentence, however many queries follow."""
        keys = self.score.project(encoded.memory)  # (B, S, A)
        values = encoded.memory if encoded.values is None else encoded.values  # (B, S, M)
        if self.value_projection is not None:
            values = self.value_projection(values)  # (B, S, V)
        source = None if self.coverage is None else self.coverage.prepare(encoded.memory)
        return Memory(keys, values.to(keys.dtype), encoded.mask, bias, source)

    def start(self, memory: Memory) -> AttentionState:
        """The state before the first step, a row a sentence."""
        if self.coverage is None:
            return AttentionState()
        assert memory.coverage is not None
        return AttentionState(0, self.coverage.start(memory.coverage))

    def forward(self, query: Tensor, memory: Memory, state: AttentionState) -> Attended:
        """All T steps: queries (B, T, H). In one call, unless what a step covers changes the scores of the next."""
        length = query.shape[1]
        if self.coverage is None:
            steps = torch.arange(state.step, state.step + length, device=query.device)
            context, weights, _ = self.weigh(query, memory, steps, None)
            return Attended(context, weights, AttentionState(state.step + length))
        contexts, all_weights, grid = [], [], Grid.full(len(query))
        for hidden in query.unbind(1):
            context, weights, state = self.step(hidden, memory, state, grid)
            contexts.append(context)
            all_weights.append(weights)
        return Attended(torch.stack(contexts, dim=1), torch.stack(all_weights, dim=1), state)

    def step(self, query: Tensor, memory: Memory, state: AttentionState, grid: Grid) -> Attended:
        """One step: a query a row (R, H); the rows of a sentence, up to K as `grid` has them, share its memory."""
        steps = torch.full((1,), state.step, device=query.device)
        coverage = None if state.coverage is None else grid.spread(state.coverage)  # (B, K, S, C)
        context, weights, coverage = self.weigh(grid.spread(query), memory, steps, coverage)  # (B, K, ...)
        covered = None if coverage is None else grid.rows(coverage)
        return Attended(grid.rows(context), grid.rows(weights), AttentionState(state.step + 1, covered))

    def weigh(
        self, query: Tensor, memory: Memory, steps: Tensor, coverage: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Queries (B, Q, H) at target positions `steps` (Q,) or (1,), with what each has covered (B, Q, S, C).

        Context (B, Q, V), weights (B, Q, S), and the coverage after them.
        """
        scores = self._scores(query, memory, coverage).float()  # (B, Q, S)
        if self.temperature != 1.0:
            scores = scores / self.temperature
        bias = self._bias(memory, steps)
        if bias is not None:
            scores = scores + bias
        inside, factor = self.window(query, steps, memory.mask)
        weights = self.normalizer(torch.where(inside, scores, -torch.inf))
        if factor is not None:
            weights = weights * factor
        context = self._mix(self.dropout(weights).to(memory.values.dtype), memory.values)
        weights = self._joined(weights)
        if self.coverage is not None:
            assert coverage is not None
            assert memory.coverage is not None
            coverage = self.coverage.update(coverage, weights, query, memory.coverage)
        return context, weights, coverage

    def context(self, query: Tensor, memory: Memory, steps: Tensor) -> Tensor:
        """The context of `weigh` alone, for whoever reads no weights."""
        return self.weigh(query, memory, steps, None)[0]

    def _scores(self, query: Tensor, memory: Memory, coverage: Tensor | None) -> Tensor:
        if self.coverage is None:
            scores: Tensor = self.score(query, memory.keys)
            return scores
        assert coverage is not None
        # Every query has covered other words, so each has keys of its own: Q batches of one query.
        keys = self.coverage.keys(memory.keys, coverage)  # (B, Q, S, A)
        scores = self.score(query.flatten(0, 1).unsqueeze(1), keys.flatten(0, 1))  # (B*Q, 1, S)
        return scores.reshape(*scores.shape[:-3], *query.shape[:2], -1)  # the same (B, Q, S), behind any heads

    def _bias(self, memory: Memory, steps: Tensor) -> Tensor | None:
        """What is added to the scores: the prior's pattern and the user's own numbers."""
        bias = None if self.prior is None else self.prior(steps, memory.mask)  # (B, Q, S)
        if memory.bias is None:
            return bias
        own = memory.bias.unsqueeze(1)  # (B, 1, S)
        return own if bias is None else bias + own

    def _mix(self, weights: Tensor, values: Tensor) -> Tensor:
        return torch.bmm(weights, values)  # (B, Q, S) x (B, S, V) -> (B, Q, V)

    def _joined(self, weights: Tensor) -> Tensor:
        return weights
