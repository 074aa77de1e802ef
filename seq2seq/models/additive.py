"""v^T g(q + k) for every query and key of a sentence, without a tensor of all the hidden values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.models.precision import wide as wide_type

# Hidden values that are there at a time. On a CPU those 4 MiB stay in the cache; a GPU wants more work at a call.
CPU_TILE = 2**20
GPU_TILE = 2**25


class Activation(NamedTuple):
    """A nonlinearity g(x) = scale * base(stretch * x) + shift, over a base whose value tells its derivative.

    Both write over their last argument: `base` of (x), and `backward` of (gradient, base(x)), which is the gradient
    times base'(x), the gradient broadcasting.
    """

    base: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    stretch: float = 1.0
    scale: float = 1.0
    shift: float = 0.0


def additive_scores(query: Tensor, keys: Tensor, vector: Tensor, activation: Activation) -> Tensor:
    """Scores (B, Q, S) = v^T g(q + k) of queries (B, Q, A), keys (B, S, A) and v (A,), in float32 or wider.

    Of the hidden values g (B, Q, S, A) there is a tile at a time, made once for the forward and once again for the
    backward pass. Only the arguments are kept in between: memory grows with Q and with S, not with their product times
    A. Few passes over tiles that stay in the cache also take less time than one tensor of everything. Inside, all is
    in float32, or float64. There is no second derivative.
    """
    scores: Tensor = _AdditiveScores.apply(query, keys, vector, activation)  # type: ignore[no-untyped-call]
    return scores


class _AdditiveScores(torch.autograd.Function):
    """With e = d scores * g'(q + k): d q = v * sum_s e, d k = v * sum_q e, d v = sum of d scores * g(q + k).

    What autocast would turn into bfloat16 is written in place, which it leaves alone.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, vector: Tensor, activation: Activation) -> Tensor:
        ctx.save_for_backward(query, keys, vector)
        ctx.activation = activation
        wide = _wide(vector)
        asked, weight = _wide(query) * activation.stretch, wide * activation.scale
        scores = asked.new_empty(*query.shape[:2], keys.shape[1])
        for sentences, blocks in _tiles(query, keys):
            known = _wide(keys[sentences])  # (b, S, A)
            for queries in blocks:
                hidden = _hidden(asked[sentences, queries], known, activation)  # (b, q, S, A)
                torch.sum(hidden.mul_(weight), 3, out=scores[sentences, queries])
        return scores.add_(activation.shift * wide.sum())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, keys, vector = ctx.saved_tensors
        activation = ctx.activation
        wide = _wide(vector)
        asked, slope = _wide(query) * activation.stretch, wide * (activation.stretch * activation.scale)
        query_grad, keys_grad = torch.empty_like(asked), torch.empty_like(keys)
        vector_grad = (activation.shift * grad.sum()).repeat(1, len(wide))  # (1, A)
        for sentences, blocks in _tiles(query, keys):
            known = _wide(keys[sentences])
            totals: list[Tensor] = []  # one, d k / v (b, S, A), after the first queries
            for queries in blocks:
                hidden, share = _hidden(asked[sentences, queries], known, activation), grad[sentences, queries]
                vector_grad.addmm_(share.reshape(1, -1), hidden.flatten(0, 2), alpha=activation.scale)
                each = activation.backward(share.unsqueeze(3), hidden)  # e / v (b, q, S, A), over the hidden values
                torch.sum(each, 2, out=query_grad[sentences, queries])
                part = each.squeeze(1) if each.shape[1] == 1 else each.sum(1)  # (b, S, A)
                totals = [totals[0].add_(part) if totals else part]
            keys_grad[sentences] = totals[0].mul_(slope)
        return (query_grad * slope).to(query.dtype), keys_grad, vector_grad[0].to(vector.dtype), None


def _tiles(query: Tensor, keys: Tensor) -> Iterator[tuple[slice, list[slice]]]:
    """Blocks of sentences with the blocks of their queries: all of them, unless one sentence alone is too much.

    So the gradient of a block's keys is complete when the block is done.
    """
    (rows, length, size), positions = query.shape, keys.shape[1]
    limit = CPU_TILE if query.device.type == "cpu" else GPU_TILE
    fitting = max(1, limit // max(1, positions * size))  # queries
    sentences, queries = max(1, fitting // max(1, length)), min(fitting, max(1, length))
    blocks = [slice(start, start + queries) for start in range(0, max(1, length), queries)]
    for start in range(0, rows, sentences):
        yield slice(start, start + sentences), blocks


def _hidden(asked: Tensor, known: Tensor, activation: Activation) -> Tensor:
    """The base's values (b, q, S, A) for stretched queries (b, q, A) and keys (b, S, A)."""
    return activation.base(torch.add(asked.unsqueeze(2), known.unsqueeze(1), alpha=activation.stretch))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(wide_type(tensor.dtype))


def _sigmoid_backward(grad: Tensor, value: Tensor) -> Tensor:
    result: Tensor = torch.ops.aten.sigmoid_backward.grad_input(grad, value, grad_input=value)
    return result


def _relu_backward(grad: Tensor, value: Tensor) -> Tensor:
    result: Tensor = torch.ops.aten.threshold_backward.grad_input(grad, value, 0, grad_input=value)
    return result


SIGMOID = Activation(torch.sigmoid_, _sigmoid_backward)
# tanh(x) = 2 sigmoid(2x) - 1: on a CPU torch's tanh takes 10 times as long as its sigmoid
TANH = SIGMOID._replace(stretch=2.0, scale=2.0, shift=-1.0)
RELU = Activation(torch.relu_, _relu_backward)
