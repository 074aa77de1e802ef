"""Sentences without their padding, by position: all first words, then all second words, and so on."""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor


class Packing(NamedTuple):
    """Where the N real tokens of B sentences lie, the longest sentence first.

    Row p of packed data is one of the `counts[t]` tokens at a position t, and at every t these are of the first
    `counts[t]` sentences of `order`: a recurrence steps through slices that only get shorter.
    """

    counts: list[int]  # of each position: the sentences that have a token there
    order: Tensor  # (B,) sentences, the longest first
    places: Tensor  # (N,) of each token its place in the flattened padded tensor (B * S)
    last: Tensor  # (B,) each sentence's last token, in the packed data, in `order`
    mirrored: Tensor  # (N,) the token that stands where this one would, were each sentence read backwards
    previous: Tensor  # (N,) the token before, in the packed data behind B first states

    @classmethod
    def of(cls, lengths: Tensor, size: int, device: torch.device) -> Packing:
        """Sentences of these lengths (B,), on the CPU, in a padded tensor (B, S) with S = `size`, on `device`."""
        descending, order = lengths.sort(descending=True, stable=True)
        counts = (descending > torch.arange(int(descending[0])).unsqueeze(1)).sum(1)  # (S',)
        starts = counts.cumsum(0) - counts
        steps = torch.repeat_interleave(torch.arange(len(counts)), counts)  # (N,) each token's position,
        ranks = torch.arange(len(steps)) - starts[steps]  # and its sentence's rank in `order`
        places = order[ranks] * size + steps
        last = starts[descending - 1] + torch.arange(len(order))
        mirrored = starts[descending[ranks] - 1 - steps] + ranks
        previous = torch.where(steps > 0, len(order) + starts[steps - 1], 0) + ranks
        on_device = (index.to(device, non_blocking=True) for index in (order, places, last, mirrored, previous))
        return cls(counts.tolist(), *on_device)

    def spans(self) -> list[slice]:
        """Of each position its rows of the packed data."""
        return [slice(end - count, end) for count, end in zip(self.counts, accumulate(self.counts), strict=True)]

    def before(self, first: Tensor, packed: Tensor) -> Tensor:
        """What stood before each token: packed (D, N, H) a step earlier, or one of `first` (D, B, H)."""
        return torch.cat([first, packed], dim=1).index_select(1, self.previous)

    def pack(self, padded: Tensor) -> Tensor:
        """(B, S, I) to (N, I)."""
        return padded.flatten(0, 1).index_select(0, self.places)

    def pad(self, packed: Tensor, size: int) -> Tensor:
        """(N, H) to (B, S, H), zero at padding."""
        padded = packed.new_zeros(len(self.order) * size, packed.shape[1]).index_copy(0, self.places, packed)
        return padded.view(len(self.order), size, -1)
