"""Encoders: source embeddings to a memory for attention, and where there is recurrence a final state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seq2seq.models.dropout import Dropout
from seq2seq.models.memory import Encoded
from seq2seq.models.rnn import RNN


class Encoder(nn.Module):
    """Embedded source tokens to a memory of `output_size` = M, zero at padding. Padding changes nothing else either."""

    output_size: int

    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        """Embeddings (B, S, E) and lengths (B,), EOS counted, on the CPU, to the memory (B, S, M)."""
        raise NotImplementedError


class RecurrentEncoder(Encoder):
    """A GRU or LSTM over the source, by default both ways: h_j = [h->_j; h<-_j], Bahdanau et al. (2015), 3.2."""

    def __init__(self, rnn: RNN, output_size: int, dropout: Dropout) -> None:
        super().__init__()
        self.rnn, self.output_size, self.dropout = rnn, output_size, dropout

    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        memory, final = self.rnn.encode(self.dropout(embedded), lengths)  # (B, S, M), (L, B, M)
        return Encoded(memory, padding_mask(lengths, embedded.shape[1], embedded.device), final)


class MeanEncoder(Encoder):
    """Nothing but the embeddings: the memory is the words as they are, and the decoder starts from their mean.

    What is left when an encoder is taken away; neither order nor context are known to it. (The "pooling" encoder of
    Gehring et al. (2017), "A Convolutional Encoder Model for Neural Machine Translation", without its positions and
    its averaging window.)
    """

    def __init__(self, embedding_size: int, dropout: Dropout) -> None:
        super().__init__()
        self.output_size, self.dropout = embedding_size, dropout

    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        mask = padding_mask(lengths, embedded.shape[1], embedded.device)
        return Encoded(self.dropout(embedded).masked_fill(~mask.unsqueeze(2), 0.0), mask, None)


class ReversedEncoder(Encoder):
    """Another encoder that reads every sentence backwards, EOS staying last (Sutskever et al. 2014, section 3.3).

    The memory comes back in the reader's order, so that windows, priors and the weights that a user sees are in the
    source's own. The final state is that after the sentence's first word and EOS.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.output_size = encoder, encoder.output_size

    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        order = _backwards(lengths, embedded.shape[1]).to(embedded.device).unsqueeze(2)  # (B, S, 1), its own inverse
        encoded: Encoded = self.encoder(embedded.take_along_dim(order, dim=1), lengths)
        values = None if encoded.values is None else encoded.values.take_along_dim(order, dim=1)
        return encoded._replace(memory=encoded.memory.take_along_dim(order, dim=1), values=values)


def padding_mask(lengths: Tensor, size: int, device: torch.device) -> Tensor:
    """(B, size) on the device, True at the first `lengths` (B,) positions of each row."""
    return torch.arange(size, device=device) < lengths.to(device).unsqueeze(1)


def _backwards(lengths: Tensor, size: int) -> Tensor:
    """Where the word stands that is read at each position (B, size): n-2, .., 0, then EOS at n-1 and padding."""
    positions = torch.arange(size)
    last = lengths.unsqueeze(1) - 1  # (B, 1)
    return torch.where(positions < last, last - 1 - positions, positions)
