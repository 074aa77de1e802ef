"""A layer of LSTMs or GRUs over all steps at once, forwards or both ways, for the CPU.

torch's own kernels take unpadded sentences a step at a time, with a dozen autograd nodes each. Here a layer is one
autograd function. All of the backward pass that doesn't depend on the gradient of later steps is worked out for all
steps together, so that in its loop a step is one product with W_hh and a few multiplications; the weights' gradients
are one product over all steps.

In all shapes: D directions, N tokens as `Packing` lays them out, G gates of size H. The second direction reads each
sentence backwards. The formulas are those of torch.nn.LSTM and torch.nn.GRU.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.models.activations import lstm_gates_, sigmoid_slope, tanh_, tanh_slope
from seq2seq.models.memory import RNNState
from seq2seq.models.packing import Packing
from seq2seq.models.precision import product_type, wide


class Weights(NamedTuple):
    """A layer's parameters, directions first."""

    of_input: Tensor  # (D, G*H, I) W_ih
    of_hidden: Tensor  # (D, G*H, H) W_hh
    input_bias: Tensor  # (D, G*H) b_ih
    hidden_bias: Tensor  # (D, G*H) b_hh


def run_layer(inputs: Tensor, packing: Packing, weights: Weights, first: RNNState) -> tuple[Tensor, RNNState]:
    """Packed inputs (N, I) from first states (D, B, H), sentences in the packing's order.

    Outputs (N, D*H), directions side by side, in the type of matrix products; and the final states (D, B, H).
    """
    if first.cell is None:
        outputs, hidden = _GRU.apply(inputs, *weights, first.hidden, packing)  # type: ignore[no-untyped-call]
        return outputs, RNNState(hidden, None)
    bias = weights.input_bias + weights.hidden_bias
    outputs, hidden, cell = _LSTM.apply(inputs, *weights[:2], bias, *first, packing)  # type: ignore[no-untyped-call]
    return outputs, RNNState(hidden, cell)


class _LSTM(torch.autograd.Function):
    """i, f, o = sigmoid, g = tanh; c' = f * c + i * g; h' = o * tanh(c')."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, w_input: Tensor, w_hidden: Tensor, bias: Tensor, h: Tensor, c: Tensor,
        packing: Packing,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        products = _Products(inputs, w_input, w_hidden, packing)
        gates = products.gates() + bias.unsqueeze(1)  # (D, N, 4H), in place from pre-activations to activations
        hidden, cells = products.empty(gates.dtype), products.empty(gates.dtype)
        first = h.to(gates.dtype), c.to(gates.dtype)
        h, c = first
        for now, count in zip(packing.spans(), packing.counts, strict=True):
            step = gates[:, now]
            step += products.recur(h[:, :count])
            i, f, g, o = lstm_gates_(step)
            c = torch.mul(f, c[:, :count], out=cells[:, now]).addcmul_(i, g)
            h = torch.mul(o, tanh_(c.clone()), out=hidden[:, now])
        ctx.products = products
        ctx.save_for_backward(gates, hidden, cells, *first)
        return products.join(hidden), hidden[:, packing.last], cells[:, packing.last]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_outputs: Tensor, by_hidden: Tensor, by_cell: Tensor) -> tuple[Tensor | None, ...]:
        gates, hidden, cells, first_hidden, first_cell = ctx.saved_tensors
        products, packing = ctx.products, ctx.products.packing
        i, f, g, o = gates.chunk(4, dim=-1)
        squashed = tanh_(cells.clone())
        # By the gates' pre-activations: the first three are reached through c', the last through h'.
        factors = torch.stack(
            [
                g * sigmoid_slope(i),
                packing.before(first_cell, cells) * sigmoid_slope(f),
                i * tanh_slope(g),
                squashed * sigmoid_slope(o),
            ],
            dim=2,
        )  # (D, N, 4, H)
        through = o * tanh_slope(squashed)  # of c' by h'
        arriving, by_gates = products.split(by_outputs), products.empty_gates()
        by_hidden, by_cell = by_hidden.clone(), by_cell.clone()  # of a sentence that ends later, still its last state's
        for now, count in zip(reversed(packing.spans()), reversed(packing.counts), strict=True):
            dh = arriving[:, now] + by_hidden[:, :count]
            dc = torch.addcmul(by_cell[:, :count], dh, through[:, now])
            torch.mul(factors[:, now, :3], dc.unsqueeze(2), out=by_gates[:, now, :3])
            torch.mul(factors[:, now, 3], dh, out=by_gates[:, now, 3])
            torch.mul(dc, f[:, now], out=by_cell[:, :count])
            products.recur_back(by_gates[:, now], out=by_hidden[:, :count])
        by_gates = by_gates.flatten(2)
        return (
            *products.by_inputs(by_gates),
            products.by_hidden_weights(by_gates, packing.before(first_hidden, hidden)),
            by_gates.sum(1, dtype=gates.dtype),
            by_hidden,
            by_cell,
            None,
        )


class _GRU(torch.autograd.Function):
    """r, z = sigmoid; n = tanh(input's + r * hidden's); h' = (1 - z) * n + z * h."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, w_input: Tensor, w_hidden: Tensor, b_input: Tensor, b_hidden: Tensor, h: Tensor,
        packing: Packing,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        products = _Products(inputs, w_input, w_hidden, packing)
        both = 2 * h.shape[2]  # the columns of the reset and the update gate
        gates = products.gates() + b_input.unsqueeze(1)  # (D, N, 3H), in place from pre-activations to activations
        gates[..., :both] += b_hidden[:, None, :both]
        hidden, recurrent = products.empty(gates.dtype), products.empty(gates.dtype)
        first = h = h.to(gates.dtype)
        for now, count in zip(packing.spans(), packing.counts, strict=True):
            step, product = gates[:, now], products.recur(h[:, :count])
            step[..., :both].add_(product[..., :both]).sigmoid_()
            reset, update, candidate = step.chunk(3, dim=-1)
            inner = torch.add(product[..., both:], b_hidden[:, None, both:], out=recurrent[:, now])
            tanh_(candidate.addcmul_(reset, inner))
            h = torch.lerp(candidate, h[:, :count], update, out=hidden[:, now])
        ctx.products = products
        ctx.save_for_backward(gates, hidden, recurrent, first)
        return products.join(hidden), hidden[:, packing.last]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_outputs: Tensor, by_hidden: Tensor) -> tuple[Tensor | None, ...]:
        gates, hidden, recurrent, first = ctx.saved_tensors
        products, packing = ctx.products, ctx.products.packing
        reset, update, candidate = gates.chunk(3, dim=-1)
        before = packing.before(first, hidden)
        by_candidate = (1 - update) * tanh_slope(candidate)
        factors = torch.stack(
            [
                by_candidate * recurrent * sigmoid_slope(reset),
                (before - candidate) * sigmoid_slope(update),
                by_candidate * reset,
            ],
            dim=2,
        )  # (D, N, 3, H) by what W_hh h + b_hh adds
        arriving, by_recurrent = products.split(by_outputs), products.empty_gates()
        by_hidden = by_hidden.clone()  # of a sentence that ends later, still its last state's
        for now, count in zip(reversed(packing.spans()), reversed(packing.counts), strict=True):
            dh = arriving[:, now]
            dh += by_hidden[:, :count]
            torch.mul(factors[:, now], dh.unsqueeze(2), out=by_recurrent[:, now])
            products.recur_back(by_recurrent[:, now], out=by_hidden[:, :count]).addcmul_(dh, update[:, now])
        by_gates = by_recurrent.clone()
        torch.mul(arriving, by_candidate, out=by_gates[:, :, 2])
        by_gates, by_recurrent = by_gates.flatten(2), by_recurrent.flatten(2)
        return (
            *products.by_inputs(by_gates),
            products.by_hidden_weights(by_recurrent, before),
            by_gates.sum(1, dtype=gates.dtype),
            by_recurrent.sum(1, dtype=gates.dtype),
            by_hidden,
            None,
        )


class _Products:
    """The matrix products of a layer, in autocast's type: with W_ih over all steps, with W_hh at each."""

    def __init__(self, inputs: Tensor, of_input: Tensor, of_hidden: Tensor, packing: Packing) -> None:
        kind = product_type(inputs)
        self.packing, self.types = packing, (inputs.dtype, of_input.dtype)
        self.of_input, self.of_hidden, inputs = of_input.to(kind), of_hidden.to(kind), inputs.to(kind)
        self.inputs = [inputs]  # as each direction reads them
        if len(of_input) == 2:
            self.inputs.append(inputs.index_select(0, packing.mirrored))
        self._room = self.of_hidden.new_empty(len(of_input), packing.counts[0], of_hidden.shape[1])

    def gates(self) -> Tensor:
        """W_ih x (D, N, G*H)."""
        gates = self.empty_gates().flatten(2)
        for direction, matrix in enumerate(self.of_input):
            torch.mm(self.inputs[direction], matrix.t(), out=gates[direction])
        return gates

    def recur(self, hidden: Tensor) -> Tensor:
        """W_hh h (D, n, G*H) of hidden states (D, n, H); valid until the next call."""
        hidden, product = hidden.to(self.of_hidden.dtype), self._room[:, : hidden.shape[1]]
        for direction, matrix in enumerate(self.of_hidden):
            torch.mm(hidden[direction], matrix.t(), out=product[direction])
        return product

    def recur_back(self, by_gates: Tensor, out: Tensor) -> Tensor:
        """The gradient by h (D, n, H), from that by W_hh h (D, n, G, H)."""
        for direction, matrix in enumerate(self.of_hidden):
            out[direction] = by_gates[direction].flatten(1) @ matrix
        return out

    def by_inputs(self, by_gates: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients by the inputs (N, I) and by W_ih, from that by W_ih x (D, N, G*H)."""
        by_inputs = by_gates[0] @ self.of_input[0]
        for direction in range(1, len(by_gates)):
            by_inputs += (by_gates[direction] @ self.of_input[direction]).index_select(0, self.packing.mirrored)
        by_weights = [part.t() @ inputs for part, inputs in zip(by_gates, self.inputs, strict=True)]
        return by_inputs.to(self.types[0]), torch.stack(by_weights).to(self.types[1])

    def by_hidden_weights(self, by_recurrent: Tensor, before: Tensor) -> Tensor:
        """The gradient by W_hh, from that by W_hh h (D, N, G*H), and those h (D, N, H)."""
        before = before.to(by_recurrent.dtype)
        by_weights = [part.t() @ hidden for part, hidden in zip(by_recurrent, before, strict=True)]
        return torch.stack(by_weights).to(self.types[1])

    def join(self, hidden: Tensor) -> Tensor:
        """States (D, N, H) as outputs (N, D*H) in the sentences' own order."""
        hidden = hidden.to(self.of_hidden.dtype)
        if len(hidden) == 1:
            return hidden[0]
        return torch.cat([hidden[0], hidden[1].index_select(0, self.packing.mirrored)], dim=-1)

    def split(self, by_outputs: Tensor) -> Tensor:
        """The gradient by the states (D, N, H), in float32, from that by the outputs (N, D*H)."""
        parts = by_outputs.chunk(len(self.of_hidden), dim=-1)
        own = [part if d == 0 else part.index_select(0, self.packing.mirrored) for d, part in enumerate(parts)]
        return torch.stack(own).to(wide(by_outputs.dtype))

    def empty(self, dtype: torch.dtype) -> Tensor:
        """Room for a vector a token (D, N, H)."""
        directions, _, size = self.of_hidden.shape
        return self.of_hidden.new_empty(directions, len(self.inputs[0]), size, dtype=dtype)

    def empty_gates(self) -> Tensor:
        """Room for all gates (D, N, G, H), in the products' type."""
        directions, gates, size = self.of_hidden.shape
        return self.of_hidden.new_empty(directions, len(self.inputs[0]), gates // size, size)
