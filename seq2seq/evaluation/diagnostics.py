"""What attention looks like over a whole corpus, in four numbers that need no gold standard."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.models.encoders import padding_mask

STILL = 1e-5  # parts of a sentence: attention that moves less doesn't move, but for rounding


class Diagnostics(NamedTuple):
    """Of attention weights a_ts on the target tokens t = 1..T and source tokens s = 1..S, EOS among both.

    entropy: the mean over target tokens of H_t = -sum_s a_ts ln a_ts, in nats: 0 where each looks at one source token
        alone; exp(H) is how many it looks at.
    normalized_entropy: the mean of H_t / ln S: 1 where all source tokens are looked at alike.
    coverage: the mean over source tokens of min(sum_t a_ts, 1): the share of the source that was read, where a token is
        read once it got the attention of a whole target token. The sum under the logarithm is that of the coverage
        penalty of Wu et al. (2016), equation 14.
    monotonicity: Pearson's correlation of t / T with the expected source position sum_s s a_ts / S, both around their
        sentence's mean, over the tokens of all sentences: 1 where attention moves along the diagonal, -1 where along
        the other, 0 where it doesn't move with t.
    """

    entropy: float
    normalized_entropy: float
    coverage: float
    monotonicity: float

    def numbers(self) -> dict[str, float]:
        """Under the names that reports give them."""
        return {f"attention_{name}": round(value, 6) for name, value in self._asdict().items()}


class AttentionMeter:
    """Adds up the diagnostics of batches: how sentences are batched and padded doesn't matter.

    Rows are brought to a sum of 1 first, which those of a window such as local_p don't have.
    """

    def __init__(self) -> None:
        self._sums: list[Tensor] = []  # of each batch, on its device until they are read

    def add(self, weights: Tensor, source_lengths: Tensor, target_lengths: Tensor) -> None:
        """Weights (B, T, S), and the lengths (B,) of both sides, EOS counted."""
        sources = padding_mask(source_lengths, weights.shape[2], weights.device)  # (B, S)
        targets = padding_mask(target_lengths, weights.shape[1], weights.device)  # (B, T)
        attended = weights.float() * sources.unsqueeze(1) * targets.unsqueeze(2)
        attended = attended / attended.sum(2, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        entropy = torch.special.entr(attended).sum((1, 2))  # (B,)
        largest = sources.sum(1).clamp(min=2).log()  # of one source token, the entropy is 0 whatever it is divided by
        coverage = attended.sum(1).clamp(max=1).sum(1)  # (B,)
        steps = _centred(_positions(targets), targets)  # (B, T)
        # no matrix product, which a GPU may make of rounded numbers
        expected = _centred((attended * _positions(sources).unsqueeze(1)).sum(2), targets)  # (B, T)
        sums = [
            entropy,
            entropy / largest,
            targets.sum(1).float(),
            coverage,
            sources.sum(1).float(),
            (steps * expected).sum(1),
            steps.square().sum(1),
            expected.square().sum(1),
        ]
        self._sums.append(torch.stack(sums).sum(1))

    def read(self) -> Diagnostics | None:
        """Of all that was added; None where nothing was."""
        if not self._sums:
            return None
        sums = torch.stack(self._sums).cpu().double().sum(0).tolist()
        entropy, normalized, tokens, covered, source_tokens, together, of_steps, of_expected = sums
        moves = of_steps > 0 and of_expected > tokens * STILL**2
        correlation = together / (of_steps * of_expected) ** 0.5 if moves else 0.0
        return Diagnostics(entropy / tokens, normalized / tokens, covered / source_tokens, correlation)


def _positions(mask: Tensor) -> Tensor:
    """(B, size), the places in each row as parts of its length."""
    return torch.arange(mask.shape[1], device=mask.device) / mask.sum(1, keepdim=True)


def _centred(values: Tensor, mask: Tensor) -> Tensor:
    """Values (B, T) less their row's mean over the mask; 0 outside of it."""
    mean = (values * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    return (values - mean) * mask
