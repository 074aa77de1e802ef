"""The best continuations of a sentence's hypotheses, found without sorting the vocabulary."""

from functools import lru_cache

import torch
from torch import Tensor

GROUP = 128  # values under one maximum: a multiple of the CPU's vectors, near the square root of usual vocabularies
FEW = 2**17  # values, up to which groups would only be more operations
TRIFLE = 2.0**-50  # above float64's rounding, and even times a million far below float32's


def best_continuations(totals: Tensor, log_probs: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` largest of totals[:, :, None] + log_probs in each sentence, and the slot and token of each.

    Equal ones go by slot, then by token, whatever the device and the company. NaN is the largest.

    Shapes: totals (B, K), log_probs (B, K, V) to three of (B, count), where count is at most K * V.
    """
    if log_probs.numel() > FEW:
        return _by_groups(totals, log_probs, count)
    sums = (totals[:, :, None] + log_probs).flatten(1)  # (B, K*V)
    places = _largest(sums, count)
    return sums.gather(1, places), places // log_probs.shape[2], places % log_probs.shape[2]


def _by_groups(totals: Tensor, log_probs: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same in one pass over log_probs.

    The values of a slot are cut into groups, and one of the `count` largest can only be in one of the `count` groups
    with the largest maxima. So one pass takes the maxima, and all else sees these few groups only.
    """
    sentences, slots, vocabulary_size = log_probs.shape
    size = min(GROUP, vocabulary_size)
    whole = vocabulary_size - vocabulary_size % size
    maxima = log_probs[:, :, :whole].view(sentences, slots, -1, size).amax(dim=3)
    if whole < vocabulary_size:
        maxima = torch.cat([maxima, log_probs[:, :, whole:].amax(dim=2, keepdim=True)], dim=2)
    groups = maxima.shape[2]
    chosen = _largest((maxima + totals[:, :, None]).flatten(1), min(count, slots * groups))
    chosen, _ = chosen.sort(dim=1)  # (B, N) in the order of slots and tokens again, for the ties

    parents, firsts = chosen // groups, chosen % groups * size
    begins = firsts.clamp(max=vocabulary_size - size)  # the last group is shorter: its window begins in the one before
    rows = torch.arange(sentences, device=totals.device)[:, None]
    windows = log_probs.unfold(2, size, 1)[rows, parents, begins]  # (B, N, size)
    sums = windows + totals.gather(1, parents)[:, :, None]
    if whole < vocabulary_size:
        before = torch.arange(size, device=totals.device) < (firsts - begins)[:, :, None]
        sums = sums.masked_fill(before, -torch.inf)
    places = _largest(sums.flatten(1), count)
    within = places // size
    return sums.flatten(1).gather(1, places), parents.gather(1, within), begins.gather(1, within) + places % size


def _largest(values: Tensor, count: int) -> Tensor:
    """Places (B, count) of the largest in each row of float32 values (B, N), the first of equal ones before the others.

    topk leaves the order of equal values to chance. So values, which are below 0, are moved away from it by a trifle
    that rises with their places, for which float64 has room: equal values come to differ, and unequal ones keep their
    order.
    """
    if count == 1:
        return values.max(dim=1, keepdim=True).indices  # of equal ones the first
    return (values * _trifles(values.shape[1], values.device)).topk(count, dim=1).indices


@lru_cache(maxsize=8)  # the same at every step
def _trifles(count: int, device: torch.device) -> Tensor:
    return 1 + TRIFLE * torch.arange(count, device=device, dtype=torch.float64)
