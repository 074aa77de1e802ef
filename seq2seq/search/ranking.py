"""The best continuations of a sentence's hypotheses, found without sorting the vocabulary."""

from functools import lru_cache

import torch
from torch import Tensor

from seq2seq.grid import Grid

GROUP = 128  # values under one maximum: a multiple of the CPU's vectors, near the square root of usual vocabularies
FEW = 2**17  # values, up to which groups would only be more operations
TRIFLE = 2.0**-50  # above float64's rounding, and even times a million far below float32's


def best_continuations(totals: Tensor, log_probs: Tensor, grid: Grid, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` largest of a slot's total + its row's log_probs in each sentence, and the slot and token of each.

    Equal ones go by slot, then by token, whatever the device and the company. NaN is the largest. Slots without a row
    have totals of -inf.

    Shapes: totals (B, K), log_probs (R, V) to three of (B, count), where count is at most K * V.
    """
    if log_probs.numel() > FEW:
        return _by_groups(totals, log_probs, grid, count)
    sums = (totals[:, :, None] + grid.spread(log_probs)).flatten(1)  # (B, K*V)
    places = _largest(sums, count)
    return sums.gather(1, places), places // log_probs.shape[1], places % log_probs.shape[1]


def _by_groups(totals: Tensor, log_probs: Tensor, grid: Grid, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same in one pass over log_probs.

    The values of a slot are cut into groups, and one of the `count` largest can only be in one of the `count` groups
    with the largest maxima. So one pass takes the maxima, and all else sees these few groups only.
    """
    rows, vocabulary_size = log_probs.shape
    size = min(GROUP, vocabulary_size)
    whole = vocabulary_size - vocabulary_size % size
    maxima = log_probs[:, :whole].view(rows, -1, size).amax(dim=2)
    if whole < vocabulary_size:
        maxima = torch.cat([maxima, log_probs[:, whole:].amax(dim=1, keepdim=True)], dim=1)
    groups = maxima.shape[1]
    chosen = _largest((grid.spread(maxima) + totals[:, :, None]).flatten(1), min(count, grid.slots * groups))
    chosen, _ = chosen.sort(dim=1)  # (B, N) in the order of slots and tokens again, for the ties

    parents, firsts = chosen // groups, chosen % groups * size
    begins = firsts.clamp(max=vocabulary_size - size)  # the last group is shorter: its window begins in the one before
    numbers = grid.numbers(totals.device).gather(1, parents)
    windows = log_probs.unfold(1, size, 1)[numbers, begins]  # (B, N, size)
    of_slots = totals.gather(1, parents)[:, :, None]
    sums = (windows + of_slots).masked_fill(of_slots == -torch.inf, -torch.inf)  # an empty slot reads another's row
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
