"""Decoders without attention: what they know of the source is one vector."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.grid import Grid
from seq2seq.models.decoders import Decoded, Decoder, Selectable
from seq2seq.models.memory import Encoded, RNNState
from seq2seq.models.readout import Readout
from seq2seq.models.rnn import RNN


class Nothing(NamedTuple):
    """What a decoder reads of the source at each step when it reads nothing."""

    def select(self, sentences: Tensor) -> Nothing:
        return self


class PlainDecoder(Decoder):
    """All it knows of the source is its first state (Sutskever et al. 2014, where the softmax reads the RNN itself)."""

    attends = False

    def __init__(self, rnn: RNN, bridge: nn.Module, readout: Readout) -> None:
        super().__init__()
        self.rnn, self.bridge, self.readout = rnn, bridge, readout

    def prepare(self, encoded: Encoded, bias: Tensor | None) -> Selectable:
        return Nothing()

    def start(self, encoded: Encoded, source: Any) -> RNNState:
        first: RNNState = self.bridge(encoded.summary())
        return first

    def forward(self, embedded: Tensor, state: RNNState, source: Any) -> Decoded:
        hidden, state = self.rnn(embedded, state)
        return Decoded(self.readout(hidden), None, state)

    def step(self, embedded: Tensor, state: RNNState, source: Any, grid: Grid) -> Decoded:
        hidden, state = self.rnn.step(embedded, state)
        return Decoded(self.readout(hidden), None, state)


class SourceVector(NamedTuple):
    """The source as one vector (B, M)."""

    vector: Tensor

    def select(self, sentences: Tensor) -> SourceVector:
        return SourceVector(self.vector.index_select(0, sentences))


class SourceVectorDecoder(PlainDecoder):
    """The source's vector c enters every step: s_t = f(s_{t-1}, y_{t-1}, c), output from g(s_t, y_{t-1}, c).

    Cho et al. (2014), section 2.2. Here c is the top layer of the encoder's final state as it is, there tanh(V h_N).
    """

    def prepare(self, encoded: Encoded, bias: Tensor | None) -> Selectable:
        return SourceVector(encoded.summary().hidden[-1])

    def forward(self, embedded: Tensor, state: RNNState, source: Any) -> Decoded:
        vector = source.vector.unsqueeze(1).expand(-1, embedded.shape[1], -1)  # (B, T, M)
        hidden, state = self.rnn(_join(embedded, vector), state)
        return Decoded(self.readout(hidden, embedded, vector), None, state)

    def step(self, embedded: Tensor, state: RNNState, source: Any, grid: Grid) -> Decoded:
        vector = source.vector.index_select(0, grid.owners(embedded.device))  # (R, M)
        hidden, state = self.rnn.step(_join(embedded, vector), state)
        return Decoded(self.readout(hidden, embedded, vector), None, state)


def _join(embedded: Tensor, vector: Tensor) -> Tensor:
    return torch.cat([embedded, vector.to(embedded.dtype)], dim=-1)
