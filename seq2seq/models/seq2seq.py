"""The whole model: embeddings, encoder, bridge, decoder and output layer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.models.bridge import Bridge
from seq2seq.models.decoders import Decoder, DecoderState
from seq2seq.models.dropout import Dropout
from seq2seq.models.encoders import RecurrentEncoder
from seq2seq.models.memory import Memory, RNNState


class Prediction(NamedTuple):
    """Logits (N, V) of the N real target tokens in reading order, padding left out; attention weights (B, T, S)."""

    logits: Tensor
    weights: Tensor | None


class SearchState(NamedTuple):
    """All that a search carries of the model: B sentences, K decoder rows for each, R = B * K."""

    decoder: DecoderState
    memory: Memory | None
    beams: int

    def select(self, rows: Tensor) -> SearchState:
        """Reorders decoder rows (R,); the memory belongs to sentences and stays as it is."""
        return self._replace(decoder=self.decoder.select(rows))

    def keep(self, sentences: Tensor) -> SearchState:
        """Only these sentences (N,), with their memory and their K rows each."""
        rows = (sentences.unsqueeze(1) * self.beams + torch.arange(self.beams, device=sentences.device)).flatten()
        memory = None if self.memory is None else self.memory.select(sentences)
        return SearchState(self.decoder.select(rows), memory, self.beams)


class Step(NamedTuple):
    """One step of a search: logits (R, V), attention weights (R, S) or None, and the state after it."""

    logits: Tensor
    weights: Tensor | None
    state: SearchState


class Seq2Seq(nn.Module):
    """p(y | x) = prod_t p(y_t | y_<t, x), as an encoder, attention and a decoder."""

    def __init__(
        self,
        source_embedding: nn.Embedding,
        target_embedding: nn.Embedding,
        encoder: RecurrentEncoder,
        bridge: Bridge,
        decoder: Decoder,
        output: nn.Linear,
        dropout: float,
    ) -> None:
        super().__init__()
        self.source_embedding, self.target_embedding = source_embedding, target_embedding
        self.encoder, self.bridge, self.decoder, self.output = encoder, bridge, decoder, output
        self.dropout = Dropout(dropout)

    def forward(self, source: Tensor, source_lengths: Tensor, target_input: Tensor, target_mask: Tensor) -> Prediction:
        """Teacher forcing: logits of every real target token given all before it.

        Args:
            source: ids (B, S), each sentence ending in EOS.
            source_lengths: (B,), EOS counted, on the CPU.
            target_input: ids (B, T), beginning with BOS.
            target_mask: (B, T), True at real tokens.
        """
        first, memory = self._encode(source, source_lengths)
        embedded = self.dropout(self.target_embedding(target_input))  # (B, T, E)
        decoded = self.decoder(embedded, self.decoder.start(first), memory)
        return Prediction(self.output(decoded.features[target_mask]), decoded.weights)

    def start(self, source: Tensor, lengths: Tensor, beams: int) -> SearchState:
        """Encodes source (B, S) once, and gives each sentence `beams` decoder rows."""
        first, memory = self._encode(source, lengths)
        rows = torch.arange(source.shape[0], device=source.device).repeat_interleave(beams)
        return SearchState(self.decoder.start(first).select(rows), memory, beams)

    def step(self, tokens: Tensor, state: SearchState) -> Step:
        """The last tokens (R,) to the logits of the next ones."""
        embedded = self.dropout(self.target_embedding(tokens))  # (R, E)
        features, weights, decoder = self.decoder.step(embedded, state.decoder, state.memory)
        return Step(self.output(features), weights, state._replace(decoder=decoder))

    def _encode(self, source: Tensor, lengths: Tensor) -> tuple[RNNState, Memory | None]:
        encoded = self.encoder(self.source_embedding(source), lengths)
        attention = self.decoder.attention
        memory = None if attention is None else attention.prepare(encoded)
        return self.bridge(encoded.final), memory
