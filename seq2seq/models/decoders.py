"""Recurrent decoders, one class for each place where attention can stand.

All have two ways to run, equal in what they compute: `forward` over all T target steps of teacher forcing, and `step`
for one, on R = B * Q rows of which each sentence's Q (1, or a search's K beams) lie side by side.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.models.attention import Attention
from seq2seq.models.dropout import Dropout
from seq2seq.models.memory import Memory, RNNState
from seq2seq.models.rnn import RNN, SteppedRNN


class DecoderState(NamedTuple):
    """What a decoder carries from step to step: the RNN's state, and the last h~ (R, F) where it is fed back."""

    rnn: RNNState
    fed: Tensor | None = None

    def select(self, rows: Tensor) -> DecoderState:
        """The state of these rows, in this order."""
        return DecoderState(self.rnn.select(rows), None if self.fed is None else self.fed.index_select(0, rows))


class Decoded(NamedTuple):
    """Features (R, F) or (B, T, F) for the output layer; weights (R, S) or (B, T, S), None without attention; state."""

    features: Tensor
    weights: Tensor | None
    state: DecoderState


class Decoder(nn.Module):
    """Embedded target tokens to features for the output layer."""

    attention: Attention | None
    readout: Readout

    def start(self, first: RNNState) -> DecoderState:
        """The state before the first step, from the bridge's."""
        return DecoderState(first)

    def forward(self, embedded: Tensor, state: DecoderState, memory: Memory | None) -> Decoded:
        """All steps of embedded (B, T, E)."""
        raise NotImplementedError

    def step(self, embedded: Tensor, state: DecoderState, memory: Memory | None) -> Decoded:
        """One step of embedded (R, E)."""
        raise NotImplementedError


class PlainDecoder(Decoder):
    """No attention: all it knows of the source is its first state (Sutskever et al. 2014)."""

    def __init__(self, rnn: RNN, readout: Readout) -> None:
        super().__init__()
        self.rnn, self.attention, self.readout = rnn, None, readout

    def forward(self, embedded: Tensor, state: DecoderState, memory: Memory | None) -> Decoded:
        hidden, rnn = self.rnn(embedded, state.rnn)
        return Decoded(self.readout(hidden), None, DecoderState(rnn))

    def step(self, embedded: Tensor, state: DecoderState, memory: Memory | None) -> Decoded:
        hidden, rnn = self.rnn.step(embedded, state.rnn)
        return Decoded(self.readout(hidden), None, DecoderState(rnn))


class LuongDecoder(Decoder):
    """Attention with the current state: h_t -> a_t -> c_t -> h~_t (Luong et al. 2015, section 3).

    h~_t = tanh(W_c [c_t; h_t]), eq. 5, goes to the output layer, eq. 6. Nothing that attention gives enters the RNN,
    so that the RNN runs over all steps at once, then one attention, then one readout.
    """

    def __init__(self, rnn: RNN, attention: Attention, readout: Readout) -> None:
        super().__init__()
        self.rnn, self.attention, self.readout = rnn, attention, readout

    def forward(self, embedded: Tensor, state: DecoderState, memory: Memory | None) -> Decoded:
        assert self.attention is not None
        assert memory is not None
        hidden, rnn = self.rnn(embedded, state.rnn)  # (B, T, H)
        context, weights = self.attention(hidden, memory)  # (B, T, M), (B, T, S)
        return Decoded(self.readout(context, hidden), weights, DecoderState(rnn))

    def step(self, embedded: Tensor, state: DecoderState, memory: Memory | None) -> Decoded:
        hidden, rnn = self.rnn.step(embedded, state.rnn)  # (R, H)
        context, weights = attend(self.attention, hidden, memory)
        return Decoded(self.readout(context, hidden), weights, DecoderState(rnn))


class InputFeedingDecoder(Decoder):
    """Luong's decoder whose RNN also reads the last step's h~ (Luong et al. 2015, section 3.3), zero at the first."""

    def __init__(self, rnn: SteppedRNN, attention: Attention, readout: Readout) -> None:
        super().__init__()
        self.rnn, self.attention, self.readout = rnn, attention, readout

    def start(self, first: RNNState) -> DecoderState:
        return DecoderState(first, first.hidden.new_zeros(first.hidden.shape[1], self.readout.output_size))

    def forward(self, embedded: Tensor, state: DecoderState, memory: Memory | None) -> Decoded:
        steps = []
        for projected in self.rnn.project(embedded).unbind(1):
            steps.append(self._advance(projected, state, memory))
            state = steps[-1].state
        features = torch.stack([step.features for step in steps], dim=1)  # (B, T, F)
        return Decoded(features, torch.stack([w for _, w, _ in steps if w is not None], dim=1), state)

    def step(self, embedded: Tensor, state: DecoderState, memory: Memory | None) -> Decoded:
        return self._advance(self.rnn.project(embedded), state, memory)

    def _advance(self, projected: Tensor, state: DecoderState, memory: Memory | None) -> Decoded:
        assert state.fed is not None
        hidden, rnn = self.rnn.step(projected, state.fed, state.rnn)  # (R, H)
        context, weights = attend(self.attention, hidden, memory)
        features = self.readout(context, hidden)
        return Decoded(features, weights, DecoderState(rnn, features))


class BahdanauDecoder(Decoder):
    """Attention with the previous state, its context an input of the RNN (Bahdanau et al. 2015, section 3.1).

    a(s_{i-1}, h) -> c_i, then s_i = f(s_{i-1}, y_{i-1}, c_i), and the output from g(y_{i-1}, s_i, c_i), eq. 4, here
    g = tanh(W [s_i; y_{i-1}; c_i]). The RNN loops over steps; the embeddings' products and g take all steps at once.
    """

    def __init__(self, rnn: SteppedRNN, attention: Attention, readout: Readout) -> None:
        super().__init__()
        self.rnn, self.attention, self.readout = rnn, attention, readout

    def forward(self, embedded: Tensor, state: DecoderState, memory: Memory | None) -> Decoded:
        hidden, contexts, weights = [], [], []
        rnn = state.rnn
        for projected in self.rnn.project(embedded).unbind(1):
            context, weight = attend(self.attention, rnn.hidden[-1], memory)
            output, rnn = self.rnn.step(projected, context, rnn)
            hidden.append(output)
            contexts.append(context)
            weights.append(weight)
        features = self.readout(torch.stack(hidden, dim=1), embedded, torch.stack(contexts, dim=1))  # (B, T, F)
        return Decoded(features, torch.stack(weights, dim=1), DecoderState(rnn))

    def step(self, embedded: Tensor, state: DecoderState, memory: Memory | None) -> Decoded:
        context, weights = attend(self.attention, state.rnn.hidden[-1], memory)
        hidden, rnn = self.rnn.step(self.rnn.project(embedded), context, state.rnn)
        return Decoded(self.readout(hidden, embedded, context), weights, DecoderState(rnn))


class Readout(nn.Module):
    """tanh(W [x_1; x_2; ...]) of the parts that a decoder's output is made from, and dropout."""

    def __init__(self, input_size: int, output_size: int, dropout: float) -> None:
        super().__init__()
        self.output_size = output_size
        self.projection = nn.Linear(input_size, output_size)
        self.dropout = Dropout(dropout)

    def forward(self, *parts: Tensor) -> Tensor:
        joined = torch.cat([part.to(parts[0].dtype) for part in parts], dim=-1)
        features: Tensor = torch.tanh(self.projection(self.dropout(joined)))
        return features


def attend(attention: Attention | None, hidden: Tensor, memory: Memory | None) -> tuple[Tensor, Tensor]:
    """One query per row: hidden (R, H) to context (R, M) and weights (R, S), each sentence's rows in one call."""
    assert attention is not None
    assert memory is not None
    sentences, rows = memory.mask.shape[0], hidden.shape[0]
    query = hidden.view(sentences, rows // sentences, -1)  # (B, Q, H)
    context, weights = attention(query, memory)
    return context.reshape(rows, -1), weights.reshape(rows, -1)
