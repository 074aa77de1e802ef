"""The conditional GRU of Nematus: attention between two transitions of one state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2seq.grid import Grid
from seq2seq.models.attention import Attention
from seq2seq.models.cells import Cell, initialise
from seq2seq.models.decoders import AttendingDecoder, Decoded, DecoderState
from seq2seq.models.memory import Encoded, Memory, RNNState
from seq2seq.models.readout import Readout


class ConditionalGRUDecoder(AttendingDecoder):
    """s'_i = GRU_1(y_{i-1}, s_{i-1}); a(s'_i, h) -> c_i; s_i = GRU_2(c_i, s'_i) (Sennrich et al. 2017, Nematus).

    The output is g(s_i, y_{i-1}, c_i), as in Bahdanau et al. (2015). The first state comes from the mean of the memory.
    """

    def __init__(
        self,
        transition: ConditionalGRU,
        bridge: nn.Module,
        attention: Attention,
        readout: Readout,
    ) -> None:
        super().__init__(bridge, attention, readout)
        self.transition = transition

    def start(self, encoded: Encoded, source: Memory) -> DecoderState:
        mean = RNNState(encoded.mean().unsqueeze(0), None)
        return DecoderState(self.bridge(mean), self.attention.start(source))

    def forward(self, embedded: Tensor, state: DecoderState, source: Memory) -> Decoded:
        hidden, contexts, all_weights, grid = [], [], [], Grid.full(len(embedded))
        for projected in self.transition.embedding_projection(embedded).unbind(1):
            context, weights, state = self._advance(projected, state, source, grid)
            hidden.append(state.rnn.hidden[0])
            contexts.append(context)
            all_weights.append(weights)
        features = self.readout(torch.stack(hidden, dim=1), embedded, torch.stack(contexts, dim=1))  # (B, T, F)
        return Decoded(features, torch.stack(all_weights, dim=1), state)

    def step(self, embedded: Tensor, state: DecoderState, source: Memory, grid: Grid) -> Decoded:
        context, weights, state = self._advance(self.transition.embedding_projection(embedded), state, source, grid)
        return Decoded(self.readout(state.rnn.hidden[0], embedded, context), weights, state)

    def _advance(
        self, projected: Tensor, state: DecoderState, source: Memory, grid: Grid
    ) -> tuple[Tensor, Tensor, DecoderState]:
        """Gates of the embedding (R, 3H) to the context (R, V), the weights (R, S) and the next state."""
        between, _ = self.transition.first(projected, state.rnn.hidden[0], None)  # s'_i (R, H)
        context, weights, attention = self.attention.step(between, source, state.attention, grid)
        hidden, _ = self.transition.second(self.transition.context_projection(context), between, None)
        return context, weights, DecoderState(RNNState(hidden.unsqueeze(0), None), attention)


class ConditionalGRU(nn.Module):
    """Two GRU transitions of one state, the first over the embedding, the second over the context."""

    def __init__(
        self, embedding_size: int, context_size: int, hidden_size: int, layer_norm: bool, recurrent_dropout: float
    ) -> None:
        super().__init__()
        self.first = Cell("gru", hidden_size, layer_norm, recurrent_dropout)
        self.second = Cell("gru", hidden_size, layer_norm, recurrent_dropout)
        self.embedding_projection = self.first.input_projection(embedding_size)
        self.context_projection = self.second.input_projection(context_size)
        initialise(self, hidden_size)
