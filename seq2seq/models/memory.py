"""What an encoder hands over, and what a decoder attends to. All are values: nothing here is changed in place."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class RNNState(NamedTuple):
    """State of a stack of recurrent layers: hidden (L, R, H), and for an LSTM cell (L, R, H), else None."""

    hidden: Tensor
    cell: Tensor | None

    def select(self, rows: Tensor) -> RNNState:
        """The state of these rows, in this order; `rows` (N,) are indices into R."""
        cell = None if self.cell is None else self.cell.index_select(1, rows)
        return RNNState(self.hidden.index_select(1, rows), cell)


class Encoded(NamedTuple):
    """An encoder's output: memory (B, S, M), mask (B, S) True at real tokens, and its final state (L, B, M)."""

    memory: Tensor
    mask: Tensor
    final: RNNState


class Memory(NamedTuple):
    """What is attended to: keys (B, S, A), projected once a sentence; values (B, S, M); mask (B, S)."""

    keys: Tensor
    values: Tensor
    mask: Tensor

    def select(self, sentences: Tensor) -> Memory:
        """Only these sentences, in this order; `sentences` (N,) are indices into B."""
        return Memory(*(field.index_select(0, sentences) for field in self))
