"""Recurrent decoders, one class for each place where attention can stand.

All have two ways to run, equal in what they compute: `forward` over all T target steps of teacher forcing, and `step`
for one, on R rows, each of one of the B sentences, as a grid says: one a sentence, or the hypotheses of a search.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from seq2seq.grid import Grid
from seq2seq.models.attention import Attention, AttentionState
from seq2seq.models.memory import Encoded, Memory, RNNState
from seq2seq.models.readout import Readout
from seq2seq.models.rnn import RNN, SteppedRNN


class Selectable(Protocol):
    """A value to pick from: decoder rows of a state, or sentences of what is read of the source."""

    def select(self, places: Tensor, /) -> Self: ...


class Decoded(NamedTuple):
    """Features (R, F) or (B, T, F) for the output layer; weights (R, S) or (B, T, S), None without attention; state."""

    features: Tensor
    weights: Tensor | None
    state: Any


class Decoder(nn.Module):
    """Embedded target tokens to features for the output layer.

    What it reads of the source is held once a sentence (`prepare`); what it carries from step to step is a value, a row
    for each hypothesis (`start`).
    """

    attends: bool = True

    # A decoder's own kinds of state and source come back to it as `Any`: nobody else looks inside.

    def prepare(self, encoded: Encoded, bias: Tensor | None) -> Selectable:
        """What it reads of the source at each step; bias (B, S) is added to the scores of its attention."""
        raise NotImplementedError

    def start(self, encoded: Encoded, source: Any) -> Selectable:
        """The state before the first step, a row a sentence."""
        raise NotImplementedError

    def forward(self, embedded: Tensor, state: Any, source: Any) -> Decoded:
        """All steps of embedded (B, T, E)."""
        raise NotImplementedError

    def step(self, embedded: Tensor, state: Any, source: Any, grid: Grid) -> Decoded:
        """One step of embedded (R, E), whose rows stand in `grid`."""
        raise NotImplementedError


class DecoderState(NamedTuple):
    """What an attending RNN carries: its own state, its attention's, and the last h~ (R, F) where it is fed back."""

    rnn: RNNState
    attention: AttentionState
    fed: Tensor | None = None

    def select(self, rows: Tensor) -> DecoderState:
        """The state of these rows, in this order."""
        fed = None if self.fed is None else self.fed.index_select(0, rows)
        return DecoderState(self.rnn.select(rows), self.attention.select(rows), fed)


class AttendingDecoder(Decoder):
    """An RNN with attention, its first state from the bridge."""

    def __init__(self, bridge: nn.Module, attention: Attention, readout: Readout) -> None:
        super().__init__()
        self.bridge, self.attention, self.readout = bridge, attention, readout

    def prepare(self, encoded: Encoded, bias: Tensor | None) -> Memory:
        return self.attention.prepare(encoded, bias)

    def start(self, encoded: Encoded, source: Memory) -> DecoderState:
        return DecoderState(self.bridge(encoded.summary()), self.attention.start(source))


class LuongDecoder(AttendingDecoder):
    """Attention with the current state: h_t -> a_t -> c_t -> h~_t (Luong et al. 2015, section 3).

    h~_t = tanh(W_c [c_t; h_t]), eq. 5, goes to the output layer, eq. 6. Nothing that attention gives enters the RNN,
    so that the RNN runs over all steps at once, then one attention, then one readout.
    """

    def __init__(self, rnn: RNN, bridge: nn.Module, attention: Attention, readout: Readout) -> None:
        super().__init__(bridge, attention, readout)
        self.rnn = rnn

    def forward(self, embedded: Tensor, state: DecoderState, source: Memory) -> Decoded:
        hidden, rnn = self.rnn(embedded, state.rnn)  # (B, T, H)
        context, weights, attention = self.attention(hidden, source, state.attention)  # (B, T, V), (B, T, S)
        return Decoded(self.readout(context, hidden), weights, DecoderState(rnn, attention))

    def step(self, embedded: Tensor, state: DecoderState, source: Memory, grid: Grid) -> Decoded:
        hidden, rnn = self.rnn.step(embedded, state.rnn)  # (R, H)
        context, weights, attention = self.attention.step(hidden, source, state.attention, grid)
        return Decoded(self.readout(context, hidden), weights, DecoderState(rnn, attention))


class InputFeedingDecoder(AttendingDecoder):
    """Luong's decoder whose RNN also reads the last step's h~ (Luong et al. 2015, section 3.3), zero at the first."""

    def __init__(self, rnn: SteppedRNN, bridge: nn.Module, attention: Attention, readout: Readout) -> None:
        super().__init__(bridge, attention, readout)
        self.rnn = rnn

    def start(self, encoded: Encoded, source: Memory) -> DecoderState:
        state = super().start(encoded, source)
        return state._replace(fed=state.rnn.hidden.new_zeros(state.rnn.hidden.shape[1], self.readout.output_size))

    def forward(self, embedded: Tensor, state: DecoderState, source: Memory) -> Decoded:
        rows, length = embedded.shape[:2]
        inside, after = self.rnn.noise(rows, length, embedded), self.readout.noise(rows, length, embedded)
        steps, grid = [], Grid.full(rows)
        for t, projected in enumerate(self.rnn.project(embedded).unbind(1)):
            steps.append(self._advance(projected, state, source, grid, inside[t], after[t]))
            state = steps[-1].state
        features, weights, _ = zip(*steps, strict=True)
        return Decoded(torch.stack(features, dim=1), torch.stack(weights, dim=1), state)  # (B, T, F), (B, T, S)

    def step(self, embedded: Tensor, state: DecoderState, source: Memory, grid: Grid) -> Decoded:
        return self._advance(self.rnn.project(embedded), state, source, grid)

    def _advance(
        self,
        projected: Tensor,
        state: DecoderState,
        source: Memory,
        grid: Grid,
        inside: Any = None,
        after: Tensor | None = None,
    ) -> Decoded:
        assert state.fed is not None
        hidden, rnn = self.rnn.step(projected, state.fed, state.rnn, inside)  # (R, H)
        context, weights, attention = self.attention.step(hidden, source, state.attention, grid)
        features = self.readout(context, hidden, noise=after)
        return Decoded(features, weights, DecoderState(rnn, attention, features))


class BahdanauDecoder(AttendingDecoder):
    """Attention with the previous state, its context an input of the RNN (Bahdanau et al. 2015, section 3.1).

    a(s_{i-1}, h) -> c_i, then s_i = f(s_{i-1}, y_{i-1}, c_i), and the output from g(y_{i-1}, s_i, c_i), eq. 4; the
    appendix's maxout g reads s_{i-1}. The RNN loops over steps; the embeddings' products and g take all steps at once.
    In a stack it is the top layer's state that asks, without what a residual connection adds to its output (and maxout
    reads that state too, so that a residual around the top layer is then without effect).
    """

    def __init__(self, rnn: SteppedRNN, bridge: nn.Module, attention: Attention, readout: Readout) -> None:
        super().__init__(bridge, attention, readout)
        self.rnn = rnn

    def forward(self, embedded: Tensor, state: DecoderState, source: Memory) -> Decoded:
        read, contexts, all_weights = [], [], []
        rows, length = embedded.shape[:2]
        grid, noise = Grid.full(rows), self.rnn.noise(rows, length, embedded)
        for t, projected in enumerate(self.rnn.project(embedded).unbind(1)):
            hidden, context, weights, state = self._advance(projected, state, source, grid, noise[t])
            read.append(hidden)
            contexts.append(context)
            all_weights.append(weights)
        features = self.readout(torch.stack(read, dim=1), embedded, torch.stack(contexts, dim=1))  # (B, T, F)
        return Decoded(features, torch.stack(all_weights, dim=1), state)

    def step(self, embedded: Tensor, state: DecoderState, source: Memory, grid: Grid) -> Decoded:
        hidden, context, weights, state = self._advance(self.rnn.project(embedded), state, source, grid)
        return Decoded(self.readout(hidden, embedded, context), weights, state)

    def _advance(
        self, projected: Tensor, state: DecoderState, source: Memory, grid: Grid, noise: Any = None
    ) -> tuple[Tensor, Tensor, Tensor, DecoderState]:
        """The state that the readout reads (R, H), the context (R, V), the weights (R, S), and the next state."""
        previous = state.rnn.hidden[-1]
        context, weights, attention = self.attention.step(previous, source, state.attention, grid)
        output, rnn = self.rnn.step(projected, context, state.rnn, noise)
        read = previous if self.readout.reads_previous else output
        return read, context, weights, DecoderState(rnn, attention)
