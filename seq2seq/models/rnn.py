"""Stacks of GRU and LSTM layers, over whole sequences or a step at a time, with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seq2seq.models.cells import GATES, TRANSITIONS, Cell, initialise
from seq2seq.models.dropout import make_dropout
from seq2seq.models.memory import RNNState
from seq2seq.models.packing import Packing
from seq2seq.models.precision import product_type
from seq2seq.models.recurrence import Weights, run_layer
from seq2seq.processor import has_bf16


class RNNSpec(NamedTuple):
    """A kind of stack: `cell` is gru or lstm; `dropout` is between layers, with `locked_dropout` one mask a sequence.

    With `residual` the output of a layer above the first is its hidden state plus its input (He et al. 2016; Wu et al.
    2016, section 3.1); what it carries to its next step stays the hidden state. Dropout is on what the layer
    reads, not on what is added: the path around the layers stays free (He et al. 2016, "Identity Mappings").
    `layer_norm` and `recurrent_dropout` are `Cell`'s, and put a loop in the place of torch's fused kernels.
    """

    cell: str
    num_layers: int = 1
    dropout: float = 0.0
    layer_norm: bool = False
    residual: bool = False
    locked_dropout: bool = False
    recurrent_dropout: float = 0.0


class RNN(nn.Module):
    """Layers that see their whole input at once: over all steps, or one step, with one set of weights."""

    def __init__(self, spec: RNNSpec, input_size: int, hidden_size: int, bidirectional: bool = False) -> None:
        super().__init__()
        output_size = hidden_size * (2 if bidirectional else 1)
        sizes = [input_size, *[output_size] * (spec.num_layers - 1)]
        kind = LoopedLayer if spec.layer_norm or spec.recurrent_dropout > 0 else FusedLayer
        self.layers = nn.ModuleList(kind(spec, size, hidden_size, bidirectional) for size in sizes)
        self.residual = spec.residual
        self.dropout = make_dropout(spec.dropout, spec.locked_dropout)
        initialise(self.layers, hidden_size)

    def forward(self, inputs: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        """Inputs (B, T, I) from a first state: outputs (B, T, H) of the top layer, and the last state."""
        firsts = state.layers()
        return self._climb(inputs, lambda layer, index, read: layer(read, firsts[index]))

    def encode(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, RNNState]:
        """Inputs (B, S, I) with their lengths (B,) on the CPU, from zero states; padding changes nothing.

        Outputs (B, S, D*H), zero at padding, and the final state (L, B, D*H), the D directions side by side.
        """
        return self._climb(inputs, lambda layer, index, read: layer.encode(read, lengths))

    def step(self, inputs: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        """One step: inputs (R, I) to the output (R, H) of the top layer, and the next state; none of `dropout`."""
        states = []
        for index, layer in enumerate(self._each()):
            hidden, cell = layer.step(inputs, *_at(state, index))
            states.append((hidden, cell))
            inputs = hidden + inputs if self.residual and index > 0 else hidden
        return inputs, _stack(states)

    def _climb(self, inputs: Tensor, run: Run) -> tuple[Tensor, RNNState]:
        """From the bottom layer to the top, each over all steps."""
        finals = []
        for index, layer in enumerate(self._each()):
            read = inputs if index == 0 else self.dropout(inputs)
            outputs, final = run(layer, index, read)
            finals.append(final)
            inputs = outputs + inputs if self.residual and index > 0 else outputs
        return inputs, RNNState.join(finals)

    def _each(self) -> Iterable[Layer]:
        return cast("Iterable[Layer]", self.layers)  # a ModuleList forgets the type of its members


class SteppedRNN(nn.Module):
    """Layers whose input depends on their own last output, so that they run a step at a time.

    The bottom layer's input has a part known for all steps beforehand (the embeddings: `project`, one product over all
    steps) and a part known only at each step (the context, or the vector fed back).
    """

    def __init__(self, spec: RNNSpec, embedding_size: int, context_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.residual = spec.residual
        self.dropout = make_dropout(spec.dropout, spec.locked_dropout)
        gates, bias = GATES[spec.cell] * hidden_size, not spec.layer_norm
        self.embedding_projection = nn.Linear(embedding_size, gates, bias=bias)
        self.context_projection = nn.Linear(context_size, gates, bias=False)
        upper = range(spec.num_layers - 1)
        self.input_projections = nn.ModuleList(nn.Linear(hidden_size, gates, bias=bias) for _ in upper)
        self.cells = nn.ModuleList(_make_cell(spec, hidden_size) for _ in range(spec.num_layers))
        initialise(self, hidden_size)

    def project(self, embedded: Tensor) -> Tensor:
        """The embeddings' part (..., E) of the bottom layer's gates (..., G*H)."""
        gates: Tensor = self.embedding_projection(embedded)
        return gates

    def noise(self, rows: int, steps: int, like: Tensor) -> list[tuple[Tensor, ...] | None]:
        """For each step of a training loop what `step` takes: a mask (R, H) for the input of each layer but the first.

        All are drawn here, in the type and on the device of `like`. None where nothing is dropped.
        """
        upper = len(self.input_projections)
        drawn = self.dropout.noise(rows, steps, upper * self.hidden_size, like) if upper else None
        if drawn is None:
            return [None] * steps
        return list(zip(*(layer.unbind(1) for layer in drawn.chunk(upper, dim=-1)), strict=True))

    def step(
        self, projected: Tensor, context: Tensor, state: RNNState, noise: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, RNNState]:
        """One step: projected embeddings (R, G*H) and context (R, C) to the output (R, H), and the next state."""
        gates = projected + self.context_projection(context)
        states = [self.cells[0](gates, *_at(state, 0))]
        output = states[0][0]
        for index, projection in enumerate(self.input_projections):
            gates = projection(output if noise is None else output * noise[index])
            hidden, cell = self.cells[index + 1](gates, *_at(state, index + 1))
            states.append((hidden, cell))
            output = hidden + output if self.residual else hidden
        return output, _stack(states)


class Layer(nn.Module):
    """One layer of an `RNN`, in one direction or both; an `RNNState` of it has L = 1."""

    def forward(self, inputs: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        """All steps of inputs (B, T, I), forwards: outputs (B, T, H), and the last state (1, B, H)."""
        raise NotImplementedError

    def encode(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, RNNState]:
        """Sentences (B, S, I) of these lengths: outputs (B, S, D*H), zero at padding, and final state (1, B, D*H)."""
        raise NotImplementedError

    def step(self, inputs: Tensor, hidden: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """One step of inputs (R, I), from hidden and cell state (R, H) to the next."""
        raise NotImplementedError


Run = Callable[[Layer, int, Tensor], tuple[Tensor, RNNState]]


class FusedLayer(Layer):
    """torch's kernels over all steps at once."""

    def __init__(self, spec: RNNSpec, input_size: int, hidden_size: int, bidirectional: bool) -> None:
        super().__init__()
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[spec.cell]
        self.rnn = kind(input_size, hidden_size, bidirectional=bidirectional, batch_first=True)
        self.transition = TRANSITIONS[spec.cell](hidden_size)
        self.product: Callable[[Tensor, Tensor, Tensor], Tensor] = F.linear  # of a single step

    def forward(self, inputs: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        precision, inputs = _supported(inputs)
        with precision:
            outputs, final = self.rnn(inputs, _unwrap(_matching(state, inputs)))
        return outputs, _wrap(final)

    def encode(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, RNNState]:
        if inputs.device.type != "cpu":
            return self.encode_packed(inputs, lengths)
        # torch's kernels take packed sentences a step and a gate at a time here.
        rows, size, _ = inputs.shape
        packing, weights = Packing.of(lengths, size, inputs.device), self._weights()
        zeros = weights.of_hidden.new_zeros(len(weights.of_hidden), rows, self.rnn.hidden_size)
        first = RNNState(zeros, zeros if isinstance(self.rnn, nn.LSTM) else None)
        outputs, final = run_layer(packing.pack(inputs), packing, weights, first)
        final = final.select(packing.order.argsort())
        cell = None if final.cell is None else _join_directions(final.cell)
        return packing.pad(outputs, size), RNNState(_join_directions(final.hidden), cell)

    def encode_packed(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, RNNState]:
        """As `encode`, by torch's kernels."""
        precision, inputs = _supported(inputs)
        with precision:
            outputs, final = self.rnn(pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False))
        assert isinstance(outputs, PackedSequence)
        memory, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
        state = _wrap(final)
        if self.rnn.bidirectional:
            cell = None if state.cell is None else _join_directions(state.cell)
            state = RNNState(_join_directions(state.hidden), cell)
        return memory, state

    def _weights(self) -> Weights:
        suffixes = ["l0", "l0_reverse"][: 2 if self.rnn.bidirectional else 1]
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return Weights(*(torch.stack([getattr(self.rnn, f"{name}_{suffix}") for suffix in suffixes]) for name in names))

    def step(self, inputs: Tensor, hidden: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor | None]:
        rnn = self.rnn
        from_input = self.product(inputs, rnn.weight_ih_l0, rnn.bias_ih_l0)
        from_hidden = self.product(hidden, rnn.weight_hh_l0, rnn.bias_hh_l0)
        following: tuple[Tensor, Tensor | None] = self.transition(from_input, from_hidden, hidden, cell)
        return following


class LoopedLayer(Layer):
    """A loop of `Cell`s over steps, for what torch's kernels don't know, after one product with the inputs of all."""

    def __init__(self, spec: RNNSpec, input_size: int, hidden_size: int, bidirectional: bool) -> None:
        super().__init__()
        self.hidden_size, self.has_cell = hidden_size, spec.cell == "lstm"
        cells = [_make_cell(spec, hidden_size) for _ in range(2 if bidirectional else 1)]
        self.cells = nn.ModuleList(cells)
        self.projections = nn.ModuleList(cell.input_projection(input_size) for cell in cells)

    def forward(self, inputs: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        hidden, cell = _at(state, 0)
        outputs = []
        for gates in self.projections[0](inputs).unbind(1):
            hidden, cell = self.cells[0](gates, hidden, cell)
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), _stack([(hidden, cell)])

    def encode(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, RNNState]:
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        counts = packed.batch_sizes.tolist()  # at each position, the sentences with a word there; on the CPU always
        both, finals = [], []
        for direction, (cell, projection) in enumerate(zip(self.cells, self.projections, strict=True)):
            gates = torch.split(projection(packed.data), counts)
            outputs, final = self._run(cell, gates, backwards=direction == 1)
            both.append(outputs)
            finals.append(final)
        data = torch.cat(both, dim=-1)
        joined = PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
        memory, _ = pad_packed_sequence(joined, batch_first=True, total_length=inputs.shape[1])
        assert packed.unsorted_indices is not None
        return memory, RNNState.join(finals, dim=-1).select(packed.unsorted_indices)

    def _run(self, cell: nn.Module, gates: Sequence[Tensor], backwards: bool) -> tuple[Tensor, RNNState]:
        """One direction, from the gates at each position of all sentences that have a word there, the longest first.

        Outputs are in the order of the gates, and the state is that after each sentence's last step. A step touches
        only its own sentences: forwards, the others have ended and keep their state; backwards, they have yet to begin.
        """
        hidden, state = self._zeros(len(gates[0]))
        outputs = []
        for here in reversed(gates) if backwards else gates:
            count = len(here)
            advanced, next_cell = cell(here, hidden[:count], None if state is None else state[:count])
            outputs.append(advanced)
            hidden = torch.cat([advanced, hidden[count:]])
            state = None if state is None or next_cell is None else torch.cat([next_cell, state[count:]])
        if backwards:
            outputs.reverse()
        return torch.cat(outputs), _stack([(hidden, state)])

    def _zeros(self, rows: int) -> tuple[Tensor, Tensor | None]:
        """The state before the first step, in the weights' type, which under autocast is not the inputs'."""
        zeros = next(self.parameters()).new_zeros(rows, self.hidden_size)
        return zeros, zeros if self.has_cell else None

    def step(self, inputs: Tensor, hidden: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor | None]:
        following: tuple[Tensor, Tensor | None] = self.cells[0](self.projections[0](inputs), hidden, cell)
        return following


def _make_cell(spec: RNNSpec, hidden_size: int) -> Cell:
    return Cell(spec.cell, hidden_size, spec.layer_norm, spec.recurrent_dropout)


def _at(state: RNNState, layer: int) -> tuple[Tensor, Tensor | None]:
    return state.hidden[layer], None if state.cell is None else state.cell[layer]


def _stack(layers: list[tuple[Tensor, Tensor | None]]) -> RNNState:
    """The states (R, H) of all layers as one."""
    if len(layers) == 1:  # without a copy
        hidden, cell = layers[0]
        return RNNState(hidden.unsqueeze(0), None if cell is None else cell.unsqueeze(0))
    cells = [cell for _, cell in layers if cell is not None]
    return RNNState(torch.stack([hidden for hidden, _ in layers]), torch.stack(cells) if cells else None)


def _supported(inputs: Tensor) -> tuple[AbstractContextManager[object], Tensor]:
    """What torch's kernels can be called in, and on: on a CPU without bf16, autocast's LSTM fails, and is float32's."""
    if inputs.device.type == "cpu" and product_type(inputs) == torch.bfloat16 and not has_bf16():
        return torch.autocast("cpu", enabled=False), inputs.float()
    return nullcontext(), inputs


def _matching(state: RNNState, inputs: Tensor) -> RNNState:
    """torch's fused LSTM wants its states in its inputs' type."""
    return RNNState(state.hidden.to(inputs.dtype), None if state.cell is None else state.cell.to(inputs.dtype))


def _unwrap(state: RNNState) -> Tensor | tuple[Tensor, Tensor]:
    return state.hidden if state.cell is None else (state.hidden, state.cell)


def _wrap(state: Tensor | tuple[Tensor, Tensor]) -> RNNState:
    return RNNState(state, None) if isinstance(state, Tensor) else RNNState(*state)


def _join_directions(part: Tensor) -> Tensor:
    """(2, B, H), as torch has it, to (1, B, 2*H)."""
    return part.transpose(0, 1).flatten(1).unsqueeze(0)
