"""The bridge from an encoder's final state to a decoder's first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2seq.models.memory import RNNState


class Bridge(nn.Module):
    """s_0 = tanh(W h_final) for every layer and part of the decoder's state (Bahdanau et al. 2015, A.2.2, with both
    directions of the encoder instead of the backward one alone).

    Top layer reads top layer: where the encoder has more layers, the decoder's read its upper ones; where it has
    fewer, the decoder's upper ones all read its top. An LSTM's first cell is mapped from the encoder's cell, or from
    its hidden state where the encoder has none.
    """

    def __init__(self, encoder_size: int, decoder_size: int, num_layers: int, with_cell: bool) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(encoder_size, decoder_size) for _ in range(num_layers))
        self.cell = nn.ModuleList(nn.Linear(encoder_size, decoder_size) for _ in range(num_layers if with_cell else 0))

    def forward(self, final: RNNState) -> RNNState:
        """The encoder's final state (L_encoder, B, M) as the decoder's first (L_decoder, B, H)."""
        hidden = _map(self.hidden, final.hidden)
        if not self.cell:
            return RNNState(hidden, None)
        return RNNState(hidden, _map(self.cell, final.hidden if final.cell is None else final.cell))


class CopyBridge(nn.Module):
    """s_0 = h_final, layer by layer, as in Sutskever et al. (2014); sizes, layers and kind of cell must agree."""

    def forward(self, final: RNNState) -> RNNState:
        return RNNState(final.hidden.float(), None if final.cell is None else final.cell.float())


def _map(layers: nn.ModuleList, final: Tensor) -> Tensor:
    top = final.shape[0] - 1
    skipped = max(0, final.shape[0] - len(layers))  # of the encoder's layers, the lowest
    # In float32, as states are kept, whatever autocast made of the product.
    return torch.stack([torch.tanh(linear(final[min(i + skipped, top)]).float()) for i, linear in enumerate(layers)])
