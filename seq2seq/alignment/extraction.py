"""From attention between pieces to links between words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from seq2seq.alignment.links import Links
from seq2seq.evaluation.words import Words, merged

Method = Literal["argmax", "threshold"]


@dataclass(frozen=True)
class Extraction:
    """How links are read off attention; EOS is no word, and what looks at it no link.

    method: argmax links each target word with the source word that it attends to most, the first of several, and with
        none where all of its attention is on EOS; threshold links every pair with at least `threshold`.
    shift: a target piece is aligned by the attention of the step that is so many after its own. 0 is the step that
        predicts it, before it is known; attention before the RNN and after it are both read there. It may look at the
        word before or after the one that is meant: Koehn & Knowles (2017, section 3.5) found a model whose links were
        nearly all off by one. 1 is the next step, which has read the piece (Shift-Att of Chen et al. 2020), -1 the one
        before. The first and the last step stand in for steps that there aren't.
    """

    method: Method = "argmax"
    threshold: float = 0.3
    shift: int = 0

    def links(self, attention: Tensor, target: Words, source: Words) -> Links:
        """Attention (T, S) between pieces to links between the words that they make, EOS the last of both sides."""
        rows = torch.arange(len(attention), device=attention.device) + self.shift
        moved = attention[rows.clamp(0, len(attention) - 1)]  # (T, S)
        weights = merged(moved, target, source)[:-1, :-1]  # between words, without EOS
        if weights.numel() == 0:
            return frozenset()
        linked = _METHODS[self.method](weights, self.threshold)
        return frozenset((source, target) for target, source in linked.nonzero().tolist())


def _argmax(weights: Tensor, _: float) -> Tensor:
    best = weights.max(dim=1, keepdim=True)
    return torch.zeros_like(weights, dtype=torch.bool).scatter_(1, best.indices, best.values > 0)


def _threshold(weights: Tensor, threshold: float) -> Tensor:
    return weights >= threshold


_METHODS: Mapping[Method, Callable[[Tensor, float], Tensor]] = MappingProxyType(
    {"argmax": _argmax, "threshold": _threshold}
)
