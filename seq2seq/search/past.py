"""What the live hypotheses have behind them, beyond their score."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from seq2seq.grid import Grid
from seq2seq.search.history import Choice


class Past(NamedTuple):
    """Each part is kept only where an option of the search needs it, and is None elsewhere."""

    tokens: Tensor | None  # (B, K, t) of each hypothesis, BOS left out
    log_probs: Tensor | None  # (B, K) the model's own, where hypotheses are ranked by something else
    coverage: Tensor | None  # (B, K, S) attention summed over the steps, on top of 1 at padding

    @classmethod
    def start(
        cls, source: Tensor, lengths: Tensor, slots: int, *, tokens: bool, log_probs: bool, coverage: bool
    ) -> Self:
        """Before the first step, with the parts that are wanted."""
        size, device = len(source), source.device
        covered = None
        if coverage:
            padding = torch.arange(source.shape[1], device=device) >= lengths.to(device)[:, None]  # (B, S)
            covered = padding.float()[:, None].repeat(1, slots, 1)
        return cls(
            tokens=torch.empty(size, slots, 0, dtype=torch.long, device=device) if tokens else None,
            log_probs=torch.zeros(size, slots, device=device) if log_probs else None,
            coverage=covered,
        )

    def grow(self, choice: Choice, log_probs: Tensor, weights: Tensor | None, grid: Grid) -> Self:
        """After a step: its log_probs (R, V) before any rule, and weights (R, S), of the rows that stood in `grid`."""
        if all(part is None for part in self):
            return self
        tokens, own, coverage = self
        rows = torch.arange(len(choice.parents), device=choice.parents.device)[:, None]  # (B, 1), beside the parents
        if tokens is not None:
            tokens = torch.cat([tokens[rows, choice.parents], choice.tokens[:, :, None]], dim=2)
        if own is not None:
            numbers = grid.numbers(log_probs.device).gather(1, choice.parents)  # (B, K)
            own = own[rows, choice.parents] + log_probs[numbers, choice.tokens]
        if coverage is not None:
            if weights is None:
                raise ValueError("coverage_penalty is above 0, but the model gives no attention weights")
            coverage = (coverage + grid.spread(weights))[rows, choice.parents]
        return type(self)(tokens, own, coverage)

    def editable(self, log_probs: Tensor) -> Tensor:
        """log_probs for the rules to write on: a copy where the model's own are still needed."""
        return log_probs if self.log_probs is None else log_probs.clone()

    def own(self, choice: Choice) -> Tensor:
        """The model's own log-probabilities (B, K) of the hypotheses: their totals, unless these are penalised."""
        return choice.totals if self.log_probs is None else self.log_probs

    def keep(self, sentences: Tensor) -> Self:
        return type(self)(*(None if part is None else part[sentences] for part in self))
