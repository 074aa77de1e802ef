"""Where decoder rows stand: R of the B x K slots that a search has for its hypotheses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Grid(NamedTuple):
    """B sentences with K slots each, of which R hold a decoder row; row r stands in slot places[r].

    Slots are counted through all sentences, slot k of sentence b as b*K + k, and rows are in the order of their slots.
    A model computes its rows alone. What a sentence's slots have together, such as their queries to one memory, is laid
    out as (B, K, ...) and read back.
    """

    sentences: int  # B
    slots: int  # K
    places: Tensor | None  # (R,); None: every slot holds a row

    @classmethod
    def full(cls, sentences: int, slots: int = 1) -> Grid:
        """A row in every slot."""
        return cls(sentences, slots, None)

    @classmethod
    def where(cls, taken: Tensor, device: torch.device) -> Grid:
        """A row in each slot where taken (B, K) is True; places are on `device`, and waited for on that of `taken`."""
        places = taken.flatten().nonzero().squeeze(1)
        everywhere = len(places) == taken.numel()
        return cls(taken.shape[0], taken.shape[1], None if everywhere else places.to(device, non_blocking=True))

    @property
    def size(self) -> int:
        """R."""
        return self.sentences * self.slots if self.places is None else len(self.places)

    def spread(self, rows: Tensor, empty: float = 0.0) -> Tensor:
        """Rows (R, ...) in their slots (B, K, ...), and `empty` in the others."""
        shape = (self.sentences, self.slots, *rows.shape[1:])
        if self.places is None:
            return rows.view(shape)
        slots = rows.new_full((self.sentences * self.slots, *rows.shape[1:]), empty)
        return slots.index_copy_(0, self.places, rows).view(shape)

    def rows(self, slots: Tensor) -> Tensor:
        """What stands in the slots that hold a row: (B, K, ...) to (R, ...)."""
        slots = slots.flatten(0, 1)
        return slots if self.places is None else slots.index_select(0, self.places)

    def numbers(self, device: torch.device) -> Tensor:
        """The row in each slot (B, K); row 0 where there is none."""
        return self.spread(torch.arange(self.size, device=device))

    def owners(self, device: torch.device) -> Tensor:
        """The sentence of each row (R,)."""
        places = torch.arange(self.size, device=device) if self.places is None else self.places
        return places // self.slots
