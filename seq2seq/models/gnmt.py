"""The decoder of Google's translation system: attention by the bottom layer, its context an input of all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.grid import Grid
from seq2seq.models.attention import Attention
from seq2seq.models.decoders import AttendingDecoder, Decoded, DecoderState
from seq2seq.models.dropout import Dropout
from seq2seq.models.memory import Memory, RNNState
from seq2seq.models.readout import Readout
from seq2seq.models.rnn import RNN, SteppedRNN


class GNMTDecoder(AttendingDecoder):
    """a(s^1_{i-1}, h) -> c_i, and every layer reads c_i: s^1_i = f([y_{i-1}; c_i]), s^l_i = f([x^{l-1}_i; c_i]).

    Wu et al. (2016), section 3: the bottom layer's last output asks, which leaves the layers above it outside the loop.
    With `residual` what layer l hands on is x^l = s^l + x^{l-1} (section 3.1), here from the second layer on, where the
    paper's eight layers begin with the third. The readout over [x^L; c] is ours: the paper's softmax reads x^L.
    """

    def __init__(
        self,
        bottom: SteppedRNN,
        upper: list[RNN],
        dropout: Dropout,
        residual: bool,
        bridge: nn.Module,
        attention: Attention,
        readout: Readout,
    ) -> None:
        super().__init__(bridge, attention, readout)
        self.bottom, self.upper, self.dropout, self.residual = bottom, nn.ModuleList(upper), dropout, residual

    def forward(self, embedded: Tensor, state: DecoderState, source: Memory) -> Decoded:
        outputs, contexts, all_weights = [], [], []
        (first, *above), attention, grid = state.rnn.layers(), state.attention, Grid.full(len(embedded))
        for projected in self.bottom.project(embedded).unbind(1):
            context, weights, attention = self.attention.step(first.hidden[0], source, attention, grid)
            output, first = self.bottom.step(projected, context, first)
            outputs.append(output)
            contexts.append(context)
            all_weights.append(weights)
        hidden, context = torch.stack(outputs, dim=1), torch.stack(contexts, dim=1)  # (B, T, H), (B, T, V)
        hidden, states = self._climb(hidden, context, [first], above, RNN.__call__)
        weights = torch.stack(all_weights, dim=1)
        return Decoded(self.readout(hidden, context), weights, DecoderState(RNNState.join(states), attention))

    def step(self, embedded: Tensor, state: DecoderState, source: Memory, grid: Grid) -> Decoded:
        first, *above = state.rnn.layers()
        context, weights, attention = self.attention.step(first.hidden[0], source, state.attention, grid)
        hidden, first = self.bottom.step(self.bottom.project(embedded), context, first)
        hidden, states = self._climb(hidden, context, [first], above, RNN.step)
        return Decoded(self.readout(hidden, context), weights, DecoderState(RNNState.join(states), attention))

    def _climb(
        self, hidden: Tensor, context: Tensor, states: list[RNNState], above: list[RNNState], run: Any
    ) -> tuple[Tensor, list[RNNState]]:
        """Through the layers above the bottom one, all steps or one as `run` does; the top's output, and all states."""
        for rnn, before in zip(self.upper, above, strict=True):
            inputs = torch.cat([self.dropout(hidden), context.to(hidden.dtype)], dim=-1)
            output, state = run(rnn, inputs, before)
            hidden = output + hidden if self.residual else output
            states.append(state)
        return hidden, states
