"""What an encoder hands over, and what a decoder attends to. All are values: nothing here is changed in place."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RNNState(NamedTuple):
    """State of a stack of recurrent layers: hidden (L, R, H), and for an LSTM cell (L, R, H), else None."""

    hidden: Tensor
    cell: Tensor | None

    def select(self, rows: Tensor) -> RNNState:
        """The state of these rows, in this order; `rows` (N,) are indices into R."""
        cell = None if self.cell is None else self.cell.index_select(1, rows)
        return RNNState(self.hidden.index_select(1, rows), cell)

    def layers(self) -> list[RNNState]:
        """Each layer's state, with L = 1."""
        hidden = torch.split(self.hidden, 1)
        cells = [None] * len(hidden) if self.cell is None else torch.split(self.cell, 1)
        return [RNNState(*parts) for parts in zip(hidden, cells, strict=True)]

    @staticmethod
    def join(states: list[RNNState], dim: int = 0) -> RNNState:
        """Layers one above the other (dim=0), or directions side by side (dim=-1)."""
        if len(states) == 1:
            return states[0]
        cells = [state.cell for state in states if state.cell is not None]
        return RNNState(torch.cat([state.hidden for state in states], dim), torch.cat(cells, dim) if cells else None)


class Encoded(NamedTuple):
    """An encoder's output: memory (B, S, M), mask (B, S) True at real tokens, and its final state (L, B, M).

    `values` (B, S, M) are what contexts are made of where that isn't the memory; `final` is None without recurrence.
    """

    memory: Tensor
    mask: Tensor
    final: RNNState | None
    values: Tensor | None = None

    def mean(self) -> Tensor:
        """The mean of the memory (B, M) over the real tokens."""
        mask = self.mask.unsqueeze(2).float()  # (B, S, 1); in float32, whatever autocast made of the memory
        return (self.memory.float() * mask).sum(1) / mask.sum(1)

    def summary(self) -> RNNState:
        """The final state, or else the mean of the memory as the hidden state of one layer (1, B, M)."""
        return RNNState(self.mean().unsqueeze(0), None) if self.final is None else self.final


class Memory(NamedTuple):
    """What is attended to: keys (B, S, A), projected once a sentence; values (B, S, V); mask (B, S).

    `bias` (B, S) is added to the scores of every query; `coverage` (B, S, .) is what a coverage model needs of each
    source position.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor
    bias: Tensor | None = None
    coverage: Tensor | None = None

    def select(self, sentences: Tensor) -> Memory:
        """Only these sentences, in this order; `sentences` (N,) are indices into B."""
        return Memory(*(None if field is None else field.index_select(0, sentences) for field in self))  # type: ignore[arg-type]
