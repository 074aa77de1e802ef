"""Cross entropy with label smoothing, summed over target tokens, with as few passes over the logits as it takes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Loss(NamedTuple):
    """Sums over the tokens of a batch: the smoothed loss, which is trained on, and the negative log-likelihood."""

    smoothed: Tensor
    nll: Tensor


def cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float) -> Loss:
    """Loss of logits (N, V), in any floating type, against targets (N,).

    (1 - e) * -log p(y) + e * mean over the vocabulary of -log p (Szegedy et al. 2016, section 7). Perplexity comes from
    `nll`, which is never smoothed and carries no gradient.
    """
    smoothed, nll = _CrossEntropy.apply(logits, targets, label_smoothing)  # type: ignore[no-untyped-call]
    return Loss(smoothed, nll)


class _CrossEntropy(torch.autograd.Function):
    """d loss / d logits = softmax - e/V - (1 - e) * onehot(y).

    Rows are taken a few at a time, so that their float32 copy stays in the processor's cache.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        gold = targets.unsqueeze(1)
        normalizers, shares = [], []
        for part in torch.split(logits, _rows(logits)):
            cells = part.float()  # (n, V)
            shares.append(cells.mean(dim=1))
            normalizers.append(cells.logsumexp(dim=1))
        normalizer = torch.cat(normalizers)  # (N,)
        nll = (normalizer - logits.gather(1, gold).squeeze(1)).sum()
        uniform = (normalizer - torch.cat(shares)).sum()
        ctx.save_for_backward(logits, gold, normalizer)
        ctx.smoothing = smoothing
        ctx.mark_non_differentiable(nll)
        return (1 - smoothing) * nll + smoothing * uniform, nll

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        logits, gold, normalizer = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        size = _rows(logits)
        parts = (torch.split(tensor, size) for tensor in (logits, gold, normalizer, gradient))
        for cells, column, total, out in zip(*parts, strict=True):
            softmax = (cells.float() - total.unsqueeze(1)).exp_()  # (n, V)
            softmax -= ctx.smoothing / logits.shape[1]
            softmax.scatter_add_(1, column, softmax.new_full(column.shape, ctx.smoothing - 1))
            out.copy_(softmax.mul_(grad))
        return gradient, None, None


def _rows(logits: Tensor) -> int:
    """How many rows to handle together: on a CPU a megabyte of float32, which its cache holds; on a GPU 512 of them."""
    cells = 1 << 18 if logits.device.type == "cpu" else 1 << 27
    return max(1, cells // logits.shape[1])
