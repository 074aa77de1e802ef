"""Cross entropy of an output layer with label smoothing, of one prediction or two, in memory that doesn't grow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq.data.batch import Batch
from seq2seq.models.precision import product_type
from seq2seq.models.seq2seq import Seq2Seq


class Loss(NamedTuple):
    """Sums over the tokens of a batch: what is trained on, and the references' negative log-likelihood."""

    trained: Tensor
    nll: Tensor


def batch_loss(model: Seq2Seq, batch: Batch, label_smoothing: float) -> tuple[Loss, Tensor | None]:
    """Teacher forcing: the loss of a batch's real target tokens, and the attention weights (B, T, S)."""
    mask = batch.target_mask
    features, weights = model(batch.source, batch.source_lengths, batch.target_input, mask)
    return output_loss(features, model.output, batch.target_output[mask], label_smoothing), weights


def output_loss(features: Tensor, output: nn.Linear, targets: Tensor, label_smoothing: float) -> Loss:
    """Loss of the logits that `output` makes of features (N, F), against targets (N,).

    (1 - e) * -log p(y) + e * mean over the vocabulary of -log p (Szegedy et al. 2016, section 7). Perplexity comes from
    `nll`, which is never smoothed and carries no gradient. Products are in autocast's type, all else in float32.

    The logits (N, V) would be the largest tensor of a training step. Here they are made for a block of tokens at a
    time, and their gradient is written over them at once: memory doesn't grow with N, and few passes go over them.
    """
    trained, nll = _OutputLoss.apply(features.unsqueeze(0), output.weight, output.bias, targets, label_smoothing, 0.0)  # type: ignore[no-untyped-call]
    return Loss(trained, nll)


def pair_loss(features: Tensor, output: nn.Linear, targets: Tensor, label_smoothing: float, alpha: float) -> Loss:
    """Loss of two predictions of the same targets (N,), which are to agree; of features (2, N, F).

    With p and q the two distributions, half of what R-Drop minimises (Liang et al. 2021, section 2):

        [CE(p, y) + CE(q, y) + alpha * (KL(p || q) + KL(q || p)) / 2] / 2

    summed over the tokens, with the cross entropy CE smoothed as in `output_loss`. `nll` is the mean of the two.
    """
    trained, nll = _OutputLoss.apply(features, output.weight, output.bias, targets, label_smoothing, alpha / 2)  # type: ignore[no-untyped-call]
    return Loss(trained / 2, nll / 2)


def token_nll(features: Tensor, output: nn.Linear, targets: Tensor) -> Tensor:
    """-log p of each of the targets (N,), to be weighted at will; of features (N, F).

    The weights are known in the backward pass only, so that it makes the logits again, block by block.
    """
    nll: Tensor = _TokenNLL.apply(features.unsqueeze(0), output.weight, output.bias, targets)  # type: ignore[no-untyped-call]
    return nll


class _OutputLoss(torch.autograd.Function):
    """The loss summed over C predictions of N tokens, and between two of them `divergence` * (KL + KL).

    d loss / d logits = softmax - (1 - e) * onehot(y) - e/V; the forward pass makes the gradients too.

    The last term is the same in every cell, so that its part of the gradients follows from the mean of W's rows and the
    sum of the features. So does the mean of all logits, which the smoothed loss needs.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        smoothing: float,
        divergence: float,
    ) -> tuple[Tensor, Tensor]:
        product, rows = product_type(features), features.shape[:2].numel()
        inputs, matrix = features.to(product), weight.to(product)  # (C, N, F), (V, F)
        gold = targets.expand(len(features), -1).unsqueeze(2)  # (C, N, 1)
        shift = weight.new_zeros(len(weight)) if bias is None else bias  # (V,)
        gradients = _Gradients(matrix, shift) if any(ctx.needs_input_grad) else None
        normalizers, chosen, between = [], [], []
        for some, logits, parts in _blocks(inputs, matrix, gold):
            for cells, places in parts:
                exact = cells + shift  # (C, m, V) in float32
                softmax = exact.softmax(2)
                normalizers.append(exact.amax(2) - softmax.amax(2).log())  # the fastest way to a log-sum-exp
                chosen.append(exact.gather(2, places).squeeze(2))
                if divergence:
                    between.append(_diverge(exact - normalizers[-1].unsqueeze(2), softmax, divergence))
                if gradients is not None:
                    softmax.scatter_add_(2, places, softmax.new_full(places.shape, smoothing - 1))
                    gradients.shift += softmax.sum((0, 1))
                    cells.copy_(softmax)
            if gradients is not None:
                gradients.add(logits, some)
        normalizer, mean = torch.cat(normalizers, 1), weight.mean(0)  # (C, N), (F,)
        total = features.sum((0, 1), dtype=shift.dtype)
        nll = (normalizer - torch.cat(chosen, 1)).sum()
        uniform = normalizer.sum() - (total * mean).sum() - rows * shift.mean()
        if gradients is not None:
            gradients.subtract(smoothing, total, mean, rows)
            ctx.save_for_backward(gradients.inputs().to(features.dtype), gradients.weight, gradients.shift)
            ctx.has_bias = bias is not None
        ctx.mark_non_differentiable(nll)
        loss = (1 - smoothing) * nll + smoothing * uniform
        return loss + divergence * torch.cat(between).sum() if between else loss, nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, shift = ctx.saved_tensors
        return inputs * grad.to(inputs.dtype), weight * grad, shift * grad if ctx.has_bias else None, None, None, None


class _TokenNLL(torch.autograd.Function):
    """d nll_i / d logits_i = softmax - onehot(y_i), weighted by what comes from above."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        ctx.product = product_type(features)
        ctx.save_for_backward(features, weight, bias, targets)
        shift = weight.new_zeros(len(weight)) if bias is None else bias  # (V,)
        nll = []
        for _, _, parts in _blocks(features.to(ctx.product), weight.to(ctx.product), targets.view(1, -1, 1)):
            for cells, places in parts:
                exact = cells + shift  # (1, m, V) in float32
                nll.append((exact.logsumexp(2) - exact.gather(2, places).squeeze(2)).squeeze(0))
        return torch.cat(nll)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, bias, targets = ctx.saved_tensors
        shift = weight.new_zeros(len(weight)) if bias is None else bias  # (V,)
        inputs, matrix = features.to(ctx.product), weight.to(ctx.product)
        gradients = _Gradients(matrix, shift)
        for some, logits, parts in _blocks(inputs, matrix, targets.view(1, -1, 1), grad.reshape(1, -1, 1)):
            for cells, places, factors in parts:
                softmax = (cells + shift).softmax(2)
                softmax.scatter_add_(2, places, softmax.new_full(places.shape, -1))
                softmax *= factors
                gradients.shift += softmax.sum((0, 1))
                cells.copy_(softmax)
            gradients.add(logits, some)
        return gradients.inputs().to(features.dtype), gradients.weight, None if bias is None else gradients.shift, None


def _blocks(inputs: Tensor, matrix: Tensor, *columns: Tensor) -> Iterator[tuple[Tensor, Tensor, Iterator[Any]]]:
    """Some of the inputs (C, N, F) at a time, and their logits (C, n, V), still without the bias, in reused memory.

    Beside them parts of the logits (C, m, V) and of the `columns` (C, N, 1), small enough for a processor's cache.
    """
    copies, rows = len(inputs), inputs.shape[:2].numel()
    block, part = (math.ceil(size / copies) for size in block_sizes(rows, matrix))
    room = matrix.new_empty(copies * block, len(matrix))
    for some, *beside in zip(*(torch.split(tensor, block, 1) for tensor in (inputs, *columns)), strict=True):
        read = some.flatten(0, 1)  # (C * n, F)
        logits = torch.mm(read, matrix.t(), out=room[: len(read)]).view(*some.shape[:2], -1)
        yield some, logits, zip(*(torch.split(tensor, part, 1) for tensor in (logits, *beside)), strict=True)


def _diverge(log_probs: Tensor, softmax: Tensor, factor: float) -> Tensor:
    """KL(p || q) + KL(q || p) of two predictions (2, m, V) of each token (m,).

    `softmax`, which is p and q, becomes p + factor * d/d logits of that sum, and q likewise. With r = log p - log q the
    derivatives are p * (r - KL(p || q) + 1) - q by the first logits, and q * (-r - KL(q || p) + 1) - p by the second.
    """
    (p, q), ratio = softmax.unbind(), log_probs[0] - log_probs[1]
    forwards, backwards = (p * ratio).sum(1, keepdim=True), -(q * ratio).sum(1, keepdim=True)
    ratio *= factor
    of_p = p * (ratio + (1 + factor - factor * forwards)) - factor * q
    of_q = q * ((1 + factor - factor * backwards) - ratio) - factor * p
    torch.stack([of_p, of_q], out=softmax)
    return (forwards + backwards).squeeze(1)


class _Gradients:
    """Sums over the blocks: of the loss's gradient by the features, by W and by the bias."""

    def __init__(self, matrix: Tensor, shift: Tensor) -> None:
        self.matrix = matrix
        self.weight = torch.zeros_like(matrix, dtype=shift.dtype)  # (V, F)
        self.shift = torch.zeros_like(shift)  # (V,)
        self._inputs: list[Tensor] = []

    def add(self, logits: Tensor, inputs: Tensor) -> None:
        """A block's gradient by its logits (C, n, V), which came from these inputs (C, n, F)."""
        flat = logits.flatten(0, 1)
        self._inputs.append((flat @ self.matrix).view(inputs.shape))
        self.weight += flat.t() @ inputs.flatten(0, 1)

    def subtract(self, smoothing: float, total: Tensor, mean: Tensor, rows: int) -> None:
        """e/V in each of the cells (rows, V); `total` (F,) is the inputs' sum and `mean` (F,) that of W's rows."""
        each = smoothing / len(self.matrix)
        for part in self._inputs:
            part -= smoothing * mean
        self.weight -= each * total
        self.shift -= each * rows

    def inputs(self) -> Tensor:
        return torch.cat(self._inputs, 1)


def block_sizes(tokens: int, matrix: Tensor) -> tuple[int, int]:
    """How many tokens to make a block of, and how many of its rows to handle together.

    On a CPU, 16 million logits and as many rows as its cache holds in float32; on a GPU eight times and 64 times that.
    """
    on_cpu = matrix.device.type == "cpu"
    most, few = (1 << 24, 1 << 18) if on_cpu else (1 << 27, 1 << 24)
    blocks = math.ceil(tokens * len(matrix) / most)
    return math.ceil(tokens / blocks), max(1, few // len(matrix))
