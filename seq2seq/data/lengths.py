"""How long a translation may get: a line over source lengths, learnt from the training pairs."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

COVERED = 0.999  # of the training pairs lie under the line before the margin


class LengthLimit(NamedTuple):
    """At most slope * S + offset target tokens for S source tokens, EOS counted on neither side but allowed for."""

    slope: float
    offset: float

    @classmethod
    def fit(cls, source_lengths: Tensor, target_lengths: Tensor) -> LengthLimit:
        """The line of the mean length ratio, raised to cover 99.9 % of the pairs, and a margin of a tenth and 5."""
        slope = float(target_lengths.sum() / source_lengths.sum())
        rest = (target_lengths - slope * source_lengths).double().sort().values
        offset = float(rest[min(len(rest) - 1, int(COVERED * len(rest)))])
        return cls(round(1.1 * slope, 4), round(max(0.0, 1.1 * offset) + 5, 4))

    def limits(self, source_lengths: Tensor, cap: int) -> Tensor:
        """Source lengths (B,) to the most target tokens with EOS (B,), each from its own sentence, none above `cap`."""
        return (self.slope * source_lengths + self.offset).ceil().clamp(max=cap - 1).long() + 1
