"""Stacks of GRU and LSTM layers, over whole sequences or a step at a time, with the same weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seq2seq.models.dropout import Dropout
from seq2seq.models.memory import RNNState

GATES = {"gru": 3, "lstm": 4}


class RNN(nn.Module):
    """Layers that see their whole input at once: torch's fused kernels over all steps, or one step, one set of weights.

    torch's GRU applies the reset gate after the recurrent product (Cho et al. (2014) apply it before); cuDNN and the
    other toolkits do the same.
    """

    def __init__(
        self, cell: str, input_size: int, hidden_size: int, num_layers: int, dropout: float, bidirectional: bool = False
    ) -> None:
        super().__init__()
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
        self.cell = cell
        self.dropout = Dropout(dropout)
        self.layers = kind(
            input_size,
            hidden_size,
            num_layers,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
            batch_first=True,
        )
        initialise(self.layers, hidden_size)

    def forward(self, inputs: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        """Inputs (B, T, I) from a first state: outputs (B, T, H) of the top layer, and the last state."""
        outputs, final = self.layers(inputs, _unwrap(_matching(state, inputs)))
        return outputs, _wrap(final)

    def encode(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, RNNState]:
        """Inputs (B, S, I) with their lengths (B,) on the CPU, from zero states; padding changes nothing.

        Outputs (B, S, D*H), zero at padding, and the final state (L, B, D*H), the D directions side by side.
        """
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        outputs, final = self.layers(packed)
        assert isinstance(outputs, PackedSequence)
        memory, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
        state = _wrap(final)
        if self.layers.bidirectional:
            state = RNNState(*(None if part is None else _join_directions(part) for part in state))  # type: ignore[arg-type]
        return memory, state

    def step(self, inputs: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        """One step: inputs (R, I) to the output (R, H) of the top layer, and the next state."""
        hidden, cells = [], []
        for layer in range(self.layers.num_layers):
            if layer > 0:
                inputs = self.dropout(inputs)
            w_ih, w_hh, b_ih, b_hh = (getattr(self.layers, f"{name}_l{layer}") for name in _PARAMETERS)
            inputs, cell = advance(
                self.cell, F.linear(inputs, w_ih, b_ih), F.linear(state.hidden[layer], w_hh, b_hh), state, layer
            )
            hidden.append(inputs)
            cells.append(cell)
        return inputs, _stack(hidden, cells)


class SteppedRNN(nn.Module):
    """Layers whose input depends on their own last output, so that they run a step at a time.

    The bottom layer's input has a part known for all steps beforehand (the embeddings: `project`, one product over all
    steps) and a part known only at each step (the context, or the vector fed back).
    """

    def __init__(
        self, cell: str, embedding_size: int, context_size: int, hidden_size: int, num_layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.cell = cell
        self.dropout = Dropout(dropout)
        gates = GATES[cell] * hidden_size
        self.embedding_projection = nn.Linear(embedding_size, gates)
        self.context_projection = nn.Linear(context_size, gates, bias=False)
        self.input_projections = nn.ModuleList(nn.Linear(hidden_size, gates) for _ in range(num_layers - 1))
        self.hidden_projections = nn.ModuleList(nn.Linear(hidden_size, gates) for _ in range(num_layers))
        initialise(self, hidden_size)

    def project(self, embedded: Tensor) -> Tensor:
        """The embeddings' part (..., E) of the bottom layer's gates (..., G*H)."""
        gates: Tensor = self.embedding_projection(embedded)
        return gates

    def step(self, projected: Tensor, context: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        """One step: projected embeddings (R, G*H) and context (R, C) to the output (R, H), and the next state."""
        hidden: list[Tensor] = []
        cells: list[Tensor | None] = []
        gates = projected + self.context_projection(context)
        for layer, hidden_projection in enumerate(self.hidden_projections):
            if layer > 0:
                gates = self.input_projections[layer - 1](self.dropout(hidden[-1]))
            output, cell = advance(self.cell, gates, hidden_projection(state.hidden[layer]), state, layer)
            hidden.append(output)
            cells.append(cell)
        return hidden[-1], _stack(hidden, cells)


def advance(
    cell: str, from_input: Tensor, from_hidden: Tensor, state: RNNState, layer: int
) -> tuple[Tensor, Tensor | None]:
    """One layer's gates (R, G*H), from its input and from its last state, to its next hidden and cell state (R, H).

    The gates' order and formulas are those of torch.nn.GRU and torch.nn.LSTM.
    """
    if state.cell is None:
        both = 2 * state.hidden.shape[-1]  # the columns of the reset and the update gate
        reset, update = torch.sigmoid(from_input[:, :both] + from_hidden[:, :both]).chunk(2, dim=-1)
        candidate = torch.tanh(from_input[:, both:] + reset * from_hidden[:, both:])
        return candidate + update * (state.hidden[layer] - candidate), None
    i, f, g, o = (from_input + from_hidden).chunk(4, dim=-1)
    next_cell = torch.sigmoid(f) * state.cell[layer] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(next_cell), next_cell


def initialise(module: nn.Module, hidden_size: int) -> None:
    """Orthogonal recurrent matrices (Saxe et al. 2014), Glorot input matrices, zero biases, and a forget bias of 1.

    Each gate's block is drawn by itself. The forget bias is that of Jozefowicz et al. (2015).
    """
    for name, parameter in module.named_parameters():
        if parameter.dim() == 2:
            recurrent = "weight_hh" in name or "hidden_projections" in name
            for block in torch.split(parameter.data, hidden_size):
                (nn.init.orthogonal_ if recurrent else nn.init.xavier_uniform_)(block)
        else:
            nn.init.zeros_(parameter)
            is_lstm = parameter.shape[0] == 4 * hidden_size
            if is_lstm and ("bias_hh" in name or "hidden_projections" in name):
                parameter.data[hidden_size : 2 * hidden_size] = 1.0


_PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _stack(hidden: list[Tensor], cells: list[Tensor | None]) -> RNNState:
    present = [cell for cell in cells if cell is not None]
    return RNNState(torch.stack(hidden), torch.stack(present) if present else None)


def _matching(state: RNNState, inputs: Tensor) -> RNNState:
    """torch's fused LSTM wants its states in its inputs' type."""
    return RNNState(*(None if part is None else part.to(inputs.dtype) for part in state))  # type: ignore[arg-type]


def _unwrap(state: RNNState) -> Tensor | tuple[Tensor, Tensor]:
    return state.hidden if state.cell is None else (state.hidden, state.cell)


def _wrap(state: Tensor | tuple[Tensor, Tensor]) -> RNNState:
    return RNNState(state, None) if isinstance(state, Tensor) else RNNState(*state)


def _join_directions(part: Tensor) -> Tensor:
    """(L*2, B, H), as torch has it, to (L, B, 2*H)."""
    layers, batch, size = part.shape
    return part.view(layers // 2, 2, batch, size).transpose(1, 2).reshape(layers // 2, batch, 2 * size)
