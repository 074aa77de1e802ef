"""The whole model: embeddings, encoder, bridge, decoder and output layer."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from seq2seq.grid import Grid
from seq2seq.models.decoders import Decoder, Selectable
from seq2seq.models.dropout import Dropout, WordDropout
from seq2seq.models.encoders import Encoder


class Prediction(NamedTuple):
    """What the output layer reads at the N real target tokens (N, F), in reading order; attention weights (B, T, S)."""

    features: Tensor
    weights: Tensor | None


class SearchState(NamedTuple):
    """All that a search carries of the model: B sentences, and R decoder rows in their slots."""

    decoder: Selectable  # rows of the decoder's state
    source: Selectable  # what the decoder reads of each sentence
    grid: Grid  # which sentence each row is of

    def select(self, rows: Tensor, grid: Grid, sentences: Tensor | None = None) -> SearchState:
        """The rows of the next step: row r goes on from row rows[r], and stands where its `grid` says.

        Of the source only these sentences (B',) stay, in this order; None: all of it, as it is.
        """
        source = self.source if sentences is None else self.source.select(sentences)
        return SearchState(self.decoder.select(rows), source, grid)


class Decoded(NamedTuple):
    """A step up to the output layer: features (R, F), attention weights (R, S) or None, and the state after it."""

    features: Tensor
    weights: Tensor | None
    state: SearchState


class Step(NamedTuple):
    """One step of a search: logits (R, V), attention weights (R, S) or None, and the state after it."""

    logits: Tensor
    weights: Tensor | None
    state: SearchState


class Seq2Seq(nn.Module):
    """p(y | x) = prod_t p(y_t | y_<t, x), as an encoder, attention and a decoder.

    longest_source and longest_target are the most tokens, EOS counted, that its parts can read and write; None: any.
    """

    def __init__(
        self,
        source_embedding: nn.Embedding,
        target_embedding: nn.Embedding,
        encoder: Encoder,
        decoder: Decoder,
        output: nn.Linear,
        dropout: Dropout,
        source_word_dropout: WordDropout,
        target_word_dropout: WordDropout,
        longest_source: int | None = None,
        longest_target: int | None = None,
    ) -> None:
        super().__init__()
        self.source_embedding, self.target_embedding = source_embedding, target_embedding
        self.encoder, self.decoder, self.output, self.dropout = encoder, decoder, output, dropout
        self.source_word_dropout, self.target_word_dropout = source_word_dropout, target_word_dropout
        self.longest_source, self.longest_target = longest_source, longest_target

    @property
    def attends(self) -> bool:
        """Whether there is attention, so that steps give weights."""
        return self.decoder.attends

    def forward(self, source: Tensor, source_lengths: Tensor, target_input: Tensor, target_mask: Tensor) -> Prediction:
        """Teacher forcing: the output layer's features of every real target token given all before it.

        The layer itself is left to whoever calls, for the logits of a batch take more memory than all else.

        Args:
            source: ids (B, S), each sentence ending in EOS.
            source_lengths: (B,), EOS counted, on the CPU.
            target_input: ids (B, T), beginning with BOS.
            target_mask: (B, T), True at real tokens.
        """
        first, read = self._encode(source, source_lengths, None)
        embedded = self.dropout(self.target_word_dropout(self.target_embedding(target_input)))  # (B, T, E)
        decoded = self.decoder(embedded, first, read)
        return Prediction(decoded.features[target_mask], decoded.weights)

    def start(self, source: Tensor, lengths: Tensor, bias: Tensor | None = None) -> SearchState:
        """Encodes source (B, S) once; each sentence has one decoder row, from which a first `select` makes others.

        bias (B, S) is added to the scores of attention, at every step.
        """
        first, read = self._encode(source, lengths, bias)
        return SearchState(first, read, Grid.full(len(source)))

    def step(self, tokens: Tensor, state: SearchState) -> Step:
        """The last tokens (R,) to the logits of the next ones."""
        features, weights, after = self.features(tokens, state)
        return Step(self.output(features), weights, after)

    def features(self, tokens: Tensor, state: SearchState) -> Decoded:
        """A step without the output layer: the last tokens (R,) to what the layer reads of them."""
        embedded = self.target_embedding(tokens)  # (R, E)
        features, weights, decoder = self.decoder.step(embedded, state.decoder, state.source, state.grid)
        return Decoded(features, weights, state._replace(decoder=decoder))

    def _encode(self, source: Tensor, lengths: Tensor, bias: Tensor | None) -> tuple[Selectable, Selectable]:
        """The decoder's first state, and what it reads of the source at each step."""
        encoded = self.encoder(self.source_word_dropout(self.source_embedding(source)), lengths)
        read = self.decoder.prepare(encoded, bias)
        return self.decoder.start(encoded, read), read
