"""Cross entropy of an output layer with label smoothing, in memory that doesn't grow with the batch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq.data.batch import Batch
from seq2seq.models.precision import product_type
from seq2seq.models.seq2seq import Seq2Seq


class Loss(NamedTuple):
    """Sums over the tokens of a batch: the smoothed loss, which is trained on, and the negative log-likelihood."""

    smoothed: Tensor
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
    smoothed, nll = _OutputLoss.apply(features, output.weight, output.bias, targets, label_smoothing)  # type: ignore[no-untyped-call]
    return Loss(smoothed, nll)


class _OutputLoss(torch.autograd.Function):
    """d loss / d logits = softmax - (1 - e) * onehot(y) - e/V; the forward pass makes the gradients too.

    The last term is the same in every cell, so that its part of the gradients follows from the mean of W's rows and the
    sum of the features. So does the mean of all logits, which the smoothed loss needs.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        product = product_type(features)
        inputs, matrix, gold = features.to(product), weight.to(product), targets.unsqueeze(1)
        shift = weight.new_zeros(len(weight)) if bias is None else bias  # (V,)
        gradients = _Gradients(matrix, shift) if any(ctx.needs_input_grad) else None
        block, part = _sizes(len(inputs), matrix)
        room = matrix.new_empty(block, len(matrix))
        normalizers, chosen = [], []
        for some, column in zip(torch.split(inputs, block), torch.split(gold, block), strict=True):
            logits = torch.mm(some, matrix.t(), out=room[: len(some)])  # (n, V), still without the bias
            for cells, places in zip(torch.split(logits, part), torch.split(column, part), strict=True):
                wide = cells + shift  # (m, V) in float32, few enough to stay in the processor's cache
                softmax = wide.softmax(1)
                normalizers.append(wide.amax(1) - softmax.amax(1).log())  # the fastest way to a log-sum-exp
                chosen.append(wide.gather(1, places).squeeze(1))
                if gradients is not None:
                    softmax.scatter_add_(1, places, softmax.new_full(places.shape, smoothing - 1))
                    gradients.shift += softmax.sum(0)
                    cells.copy_(softmax)
            if gradients is not None:
                gradients.add(logits, some)
        normalizer, total, mean = torch.cat(normalizers), features.sum(0, dtype=shift.dtype), weight.mean(0)
        nll = (normalizer - torch.cat(chosen)).sum()
        uniform = normalizer.sum() - (total * mean).sum() - len(inputs) * shift.mean()
        if gradients is not None:
            gradients.subtract(smoothing, total, mean, len(inputs))
            ctx.save_for_backward(gradients.inputs().to(features.dtype), gradients.weight, gradients.shift)
            ctx.has_bias = bias is not None
        ctx.mark_non_differentiable(nll)
        return (1 - smoothing) * nll + smoothing * uniform, nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, shift = ctx.saved_tensors
        return inputs * grad.to(inputs.dtype), weight * grad, shift * grad if ctx.has_bias else None, None, None


class _Gradients:
    """Sums over the blocks: of the loss's gradient by the features, by W and by the bias."""

    def __init__(self, matrix: Tensor, shift: Tensor) -> None:
        self.matrix = matrix
        self.weight = torch.zeros_like(matrix, dtype=shift.dtype)  # (V, F)
        self.shift = torch.zeros_like(shift)  # (V,)
        self._inputs: list[Tensor] = []

    def add(self, logits: Tensor, inputs: Tensor) -> None:
        """A block's gradient by its logits (n, V), which came from these inputs (n, F)."""
        self._inputs.append(logits @ self.matrix)
        self.weight += logits.t() @ inputs

    def subtract(self, smoothing: float, total: Tensor, mean: Tensor, rows: int) -> None:
        """e/V in each of the cells (rows, V); `total` (F,) is the inputs' sum and `mean` (F,) that of W's rows."""
        each = smoothing / len(self.matrix)
        for part in self._inputs:
            part -= smoothing * mean
        self.weight -= each * total
        self.shift -= each * rows

    def inputs(self) -> Tensor:
        return torch.cat(self._inputs)


def _sizes(tokens: int, matrix: Tensor) -> tuple[int, int]:
    """How many tokens to make a block of, and how many of its rows to handle together.

    On a CPU, 16 million logits and as many rows as its cache holds in float32; on a GPU eight times and 64 times that.
    """
    on_cpu = matrix.device.type == "cpu"
    most, few = (1 << 24, 1 << 18) if on_cpu else (1 << 27, 1 << 24)
    blocks = math.ceil(tokens * len(matrix) / most)
    return math.ceil(tokens / blocks), max(1, few // len(matrix))
