"""One layer's step of a GRU or an LSTM, plain or with layer normalisation and recurrent dropout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seq2seq.models.activations import lstm_gates_, sigmoid_slope, tanh_, tanh_slope
from seq2seq.models.dropout import Dropout
from seq2seq.models.precision import wide

GATES = {"gru": 3, "lstm": 4}


class Cell(nn.Module):
    """From a layer's input, as gates already, and its last state to its next state.

    The gates' order and formulas are those of torch.nn.GRU and torch.nn.LSTM. torch's GRU applies the reset gate after
    the recurrent product (Cho et al. (2014) apply it before); cuDNN and the other toolkits do the same.

    `layer_norm` is that of Ba et al. (2016), LN(a) = gain * (a - mean) / std + bias over a whole vector of gates:
    LN(W_ih x) + LN(W_hh h) are an LSTM's gates, and h' = o * tanh(LN(c')). A GRU's reset and update gate are normalised
    together and the candidate by itself, n = tanh(LN(W_in x) + r * LN(W_hn h)). The norms' biases take the place of
    b_ih and b_hh; `input_projection` makes a projection that knows whether it needs its own.

    `recurrent_dropout` is that of Semeniuta et al. (2016): in training, dropout on the candidate alone, an LSTM's g or
    a GRU's n, so that what is remembered is never dropped. The masks are fresh at every step ("per-step" there).
    """

    def __init__(self, kind: str, hidden_size: int, layer_norm: bool = False, recurrent_dropout: float = 0.0) -> None:
        super().__init__()
        self.layer_norm = layer_norm
        self.gates_size = GATES[kind] * hidden_size
        self.hidden_projection = nn.Linear(hidden_size, self.gates_size, bias=not layer_norm)
        if layer_norm:
            self.input_norm = GATE_NORMS[kind](hidden_size)
            self.hidden_norm = GATE_NORMS[kind](hidden_size)
        self.transition = TRANSITIONS[kind](hidden_size, layer_norm, recurrent_dropout)

    def input_projection(self, input_size: int) -> nn.Linear:
        """A new projection of inputs (..., I) to this cell's gates (..., G*H); whoever calls it owns it."""
        return nn.Linear(input_size, self.gates_size, bias=not self.layer_norm)

    def forward(self, gates: Tensor, hidden: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Gates (R, G*H) = W_ih x + b_ih (b_ih left out with `layer_norm`), and the last hidden and cell state (R, H).

        Returns the next hidden and cell state; a GRU's cell state is None.
        """
        from_input, from_hidden = gates, self.hidden_projection(hidden)
        if self.layer_norm:
            from_input, from_hidden = self.input_norm(from_input), self.hidden_norm(from_hidden)
        following: tuple[Tensor, Tensor | None] = self.transition(from_input, from_hidden, hidden, cell)
        return following


class Transition(nn.Module):
    """The equations of one step, after the products with W_ih and W_hh."""

    def __init__(self, hidden_size: int, layer_norm: bool = False, recurrent_dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = Dropout(recurrent_dropout)

    def forward(
        self, from_input: Tensor, from_hidden: Tensor, hidden: Tensor, cell: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Gates from the input and from the last state (R, G*H), and the last state (R, H), to the next state."""
        raise NotImplementedError


class GRUTransition(Transition):
    """r, z = sigmoid; n = tanh(input's + r * hidden's); h' = (1 - z) * n + z * h."""

    def forward(
        self, from_input: Tensor, from_hidden: Tensor, hidden: Tensor, cell: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        if not self.dropout.active:
            if not torch.is_grad_enabled():
                return _gru_step(from_input, from_hidden, hidden)[0], None
            following: Tensor = _GRUStep.apply(from_input, from_hidden, hidden)  # type: ignore[no-untyped-call]
            return following, None
        both = 2 * hidden.shape[-1]  # the columns of the reset and the update gate
        reset, update = torch.sigmoid(from_input[:, :both] + from_hidden[:, :both]).chunk(2, dim=-1)
        candidate = self.dropout(torch.tanh(from_input[:, both:] + reset * from_hidden[:, both:]))
        return candidate + update * (hidden - candidate), None


class LSTMTransition(Transition):
    """i, f, o = sigmoid, g = tanh; c' = f * c + i * g; h' = o * tanh(c')."""

    def __init__(self, hidden_size: int, layer_norm: bool = False, recurrent_dropout: float = 0.0) -> None:
        super().__init__(hidden_size, layer_norm, recurrent_dropout)
        self.cell_norm = nn.LayerNorm(hidden_size) if layer_norm else None

    def forward(
        self, from_input: Tensor, from_hidden: Tensor, hidden: Tensor, cell: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        assert cell is not None
        if self.cell_norm is None and not self.dropout.active:
            if not torch.is_grad_enabled():
                return _lstm_step(from_input, from_hidden, cell)[:2]
            following: tuple[Tensor, Tensor] = _LSTMStep.apply(from_input, from_hidden, cell)  # type: ignore[no-untyped-call]
            return following
        i, f, g, o = (from_input + from_hidden).chunk(4, dim=-1)
        next_cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * self.dropout(torch.tanh(g))
        squashed = torch.tanh(next_cell if self.cell_norm is None else self.cell_norm(next_cell))
        return torch.sigmoid(o) * squashed, next_cell


def _lstm_step(from_input: Tensor, from_hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """LSTMTransition without options, in float32: the next hidden and cell state, the gates and tanh(c')."""
    gates = torch.add(from_input.to(wide(from_input.dtype)), from_hidden)
    i, f, g, o = lstm_gates_(gates)
    next_cell = (f * cell).addcmul_(i, g)
    squashed = tanh_(next_cell.clone())
    return o * squashed, next_cell, gates, squashed


class _LSTMStep(torch.autograd.Function):
    """`_lstm_step` in one node of the graph: a loop has thousands of small ones."""

    @staticmethod
    def forward(ctx: Any, from_input: Tensor, from_hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        hidden, next_cell, gates, squashed = _lstm_step(from_input, from_hidden, cell)
        ctx.save_for_backward(gates, cell, squashed)
        ctx.kind = from_input.dtype
        return hidden, next_cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_hidden: Tensor, by_cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gates, cell, squashed = ctx.saved_tensors
        i, f, g, o = gates.chunk(4, dim=-1)
        by_cell = torch.addcmul(by_cell, by_hidden * o, tanh_slope(squashed))
        by_gates = torch.cat([by_cell * g, by_cell * cell, by_cell * i, by_hidden * squashed], dim=-1)
        slopes = sigmoid_slope(gates)
        size = cell.shape[-1]
        slopes[..., 2 * size : 3 * size] = tanh_slope(g)
        by_gates = (by_gates * slopes).to(ctx.kind)
        return by_gates, by_gates, by_cell * f


def _gru_step(from_input: Tensor, from_hidden: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """GRUTransition without options, in float32: the next state, the gates, the candidate, and what r is applied to."""
    kind, both = wide(from_input.dtype), 2 * hidden.shape[-1]
    gates = torch.add(from_input[..., :both].to(kind), from_hidden[..., :both]).sigmoid_()
    reset, update = gates.chunk(2, dim=-1)
    recurrent = from_hidden[..., both:].to(kind)
    candidate = tanh_(torch.addcmul(from_input[..., both:].to(kind), reset, recurrent))
    return torch.lerp(candidate, hidden, update), gates, candidate, recurrent


class _GRUStep(torch.autograd.Function):
    """`_gru_step` in one node of the graph; see _LSTMStep."""

    @staticmethod
    def forward(ctx: Any, from_input: Tensor, from_hidden: Tensor, hidden: Tensor) -> Tensor:
        following, gates, candidate, recurrent = _gru_step(from_input, from_hidden, hidden)
        ctx.save_for_backward(gates, candidate, recurrent, hidden)
        ctx.kind = from_input.dtype
        return following

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_next: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gates, candidate, recurrent, hidden = ctx.saved_tensors
        reset, update = gates.chunk(2, dim=-1)
        by_candidate = by_next * (1 - update) * tanh_slope(candidate)
        by_reset = by_candidate * recurrent * sigmoid_slope(reset)
        by_update = by_next * (hidden - candidate) * sigmoid_slope(update)
        from_input = torch.cat([by_reset, by_update, by_candidate], dim=-1)
        from_hidden = torch.cat([by_reset, by_update, by_candidate * reset], dim=-1)
        return from_input.to(ctx.kind), from_hidden.to(ctx.kind), by_next * update


class GRUGateNorm(nn.Module):
    """Reset and update gate normalised together, the candidate by itself."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.sizes = [2 * hidden_size, hidden_size]
        self.norms = nn.ModuleList(nn.LayerNorm(size) for size in self.sizes)

    def forward(self, gates: Tensor) -> Tensor:
        parts = torch.split(gates, self.sizes, dim=-1)
        return torch.cat([norm(part) for norm, part in zip(self.norms, parts, strict=True)], dim=-1)


def _lstm_gate_norm(hidden_size: int) -> nn.Module:
    return nn.LayerNorm(4 * hidden_size)


TRANSITIONS: dict[str, type[Transition]] = {"gru": GRUTransition, "lstm": LSTMTransition}
GATE_NORMS = {"gru": GRUGateNorm, "lstm": _lstm_gate_norm}


def initialise(module: nn.Module, hidden_size: int) -> None:
    """Orthogonal recurrent matrices (Saxe et al. 2014), Glorot input matrices, zero biases, and a forget bias of 1.

    Each gate's block is drawn by itself. The forget bias is that of Jozefowicz et al. (2015). A norm's gains are 1.
    """
    for name, parameter in module.named_parameters():
        recurrent = any(part in name for part in _RECURRENT)
        if parameter.dim() == 2:
            for block in torch.split(parameter.data, hidden_size):
                (nn.init.orthogonal_ if recurrent else nn.init.xavier_uniform_)(block)
        elif name.endswith(".weight"):
            nn.init.ones_(parameter)
        else:
            nn.init.zeros_(parameter)
            is_lstm = parameter.shape[0] == 4 * hidden_size
            if is_lstm and recurrent:
                parameter.data[hidden_size : 2 * hidden_size] = 1.0


_RECURRENT = ("weight_hh", "bias_hh", "hidden_projection", "hidden_norm")  # in names of torch's parameters or of Cell's
