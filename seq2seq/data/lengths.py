"""How long a translation may get: a line over source lengths, learnt from the training pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

COVERED = 0.999  # of the training pairs lie under the line before the margin


class Limits(Protocol):
    """What the search asks."""

    def limits(self, source_lengths: Tensor, cap: int) -> Tensor: ...


class LengthLimit(NamedTuple):
    """At most slope * S + offset target tokens for S source tokens, EOS counted on neither side but allowed for."""

    slope: float
    offset: float

    @classmethod
    def fit(cls, counts: Mapping[tuple[int, int], int]) -> LengthLimit:
        """The line of the mean length ratio, raised to cover 99.9 % of the pairs, and a margin of a tenth and 5.

        `counts` says how many pairs have S and T pieces: a table of a few thousand entries, however many the pairs.
        """
        pairs = sum(counts.values())
        source_tokens = sum(source * count for (source, _), count in counts.items())
        target_tokens = sum(target * count for (_, target), count in counts.items())
        slope = target_tokens / max(1, source_tokens)
        covered, offset = 0, 0.0
        for rest, count in sorted((target - slope * source, count) for (source, target), count in counts.items()):
            covered, offset = covered + count, rest
            if covered > min(pairs - 1, int(COVERED * pairs)):
                break
        return cls(round(1.1 * slope, 4), round(max(0.0, 1.1 * offset) + 5, 4))

    def limits(self, source_lengths: Tensor, cap: int) -> Tensor:
        """Source lengths (B,) to the most target tokens with EOS (B,), each from its own sentence, none above `cap`."""
        return (self.slope * source_lengths + self.offset).ceil().clamp(max=cap - 1).long() + 1


class LargestLimit(NamedTuple):
    """At each source length the largest of several limits, for models that translate together."""

    of_members: tuple[LengthLimit, ...]

    def limits(self, source_lengths: Tensor, cap: int) -> Tensor:
        """As LengthLimit gives them."""
        return torch.stack([limit.limits(source_lengths, cap) for limit in self.of_members]).amax(dim=0)
