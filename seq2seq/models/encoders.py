"""Encoders: source embeddings to a memory for attention, and a final state for the decoder's first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2seq.models.dropout import Dropout
from seq2seq.models.memory import Encoded
from seq2seq.models.rnn import RNN


class RecurrentEncoder(nn.Module):
    """A GRU or LSTM over the source, by default both ways: h_j = [h->_j; h<-_j], Bahdanau et al. (2015), 3.2."""

    def __init__(
        self, cell: str, embedding_size: int, hidden_size: int, num_layers: int, bidirectional: bool, dropout: float
    ) -> None:
        super().__init__()
        self.output_size = hidden_size * (2 if bidirectional else 1)
        self.rnn = RNN(cell, embedding_size, hidden_size, num_layers, dropout, bidirectional)
        self.dropout = Dropout(dropout)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        """Embeddings (B, S, E) and lengths (B,) on the CPU to the memory (B, S, M) and the final state (L, B, M)."""
        memory, final = self.rnn.encode(self.dropout(embedded), lengths)
        positions = torch.arange(embedded.shape[1], device=embedded.device)
        mask = positions < lengths.to(embedded.device).unsqueeze(1)  # (B, S)
        return Encoded(memory, mask, final)
