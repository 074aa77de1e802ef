"""The transformer's decoder: Vaswani et al. (2017), section 3.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.grid import Grid
from seq2seq.models.attention import Attention
from seq2seq.models.decoders import Decoded, Decoder
from seq2seq.models.memory import Encoded, Memory
from seq2seq.models.positions import Positions
from seq2seq.models.transformer import Cache, FeedForward, LayerSpec, SelfAttention, resize


class LayeredMemory(NamedTuple):
    """What each layer attends to, from the bottom; all of the same B sentences."""

    layers: tuple[Memory, ...]

    def select(self, sentences: Tensor) -> LayeredMemory:
        """Only these sentences, in this order."""
        return LayeredMemory(tuple(memory.select(sentences) for memory in self.layers))


class TransformerState(NamedTuple):
    """The number of steps done, and what each layer keeps of them."""

    step: int
    caches: tuple[Cache, ...]

    def select(self, rows: Tensor) -> TransformerState:
        """The state of these decoder rows, in this order."""
        return TransformerState(self.step, tuple(cache.select(rows) for cache in self.caches))


class TransformerDecoder(Decoder):
    """Layers of causal self-attention, attention to the source, and a feed-forward network: one a source attention.

    The weights that it shows are the top layer's. `scale` is as in TransformerEncoder. Embeddings come with their
    dropout done, so that of the sum of embeddings and positions (section 5.4) only the former is ever dropped.
    """

    def __init__(
        self,
        embedding_size: int,
        output_size: int,
        spec: LayerSpec,
        attentions: Sequence[Attention],
        positions: Positions,
        scale: float,
    ) -> None:
        super().__init__()
        self.output_size = output_size  # F
        self.positions, self.scale = positions, scale
        self.input = resize(embedding_size, spec.size)
        kinds = [DecoderLayer] * (len(attentions) - 1) + [TopDecoderLayer]
        self.layers = nn.ModuleList(kind(spec, attention) for kind, attention in zip(kinds, attentions, strict=True))
        self.last = spec.residual.last(spec.size)
        self.output = resize(spec.size, output_size)

    def prepare(self, encoded: Encoded, bias: Tensor | None) -> LayeredMemory:
        return LayeredMemory(tuple(layer.source_attention.prepare(encoded, bias) for layer in self._layers()))

    def start(self, encoded: Encoded, source: LayeredMemory) -> TransformerState:
        rows = encoded.mask.shape[0]
        return TransformerState(0, tuple(layer.attention.start(rows, encoded.memory) for layer in self._layers()))

    def forward(self, embedded: Tensor, state: TransformerState, source: LayeredMemory) -> Decoded:
        """The next T steps at once, from the first or from any later one, of a row a sentence."""
        return self._climb(embedded, state, source, None)

    def step(self, embedded: Tensor, state: TransformerState, source: LayeredMemory, grid: Grid) -> Decoded:
        features, weights, state = self._climb(embedded.unsqueeze(1), state, source, grid)
        assert weights is not None
        return Decoded(features.squeeze(1), weights.squeeze(1), state)

    def _climb(self, embedded: Tensor, state: TransformerState, source: LayeredMemory, grid: Grid | None) -> Decoded:
        """Through all layers: T steps of a row a sentence, or one step of the rows of a grid."""
        length = embedded.shape[1]
        steps = torch.arange(state.step, state.step + length, device=embedded.device)
        hidden = self.input(self.positions(embedded * self.scale, state.step))  # (R, T, E) -> (R, T, H)
        weights, caches = None, []
        for layer, cache, memory in zip(self.layers, state.caches, source.layers, strict=True):
            hidden, weights, cache = layer(hidden, self.positions, cache, memory, steps, grid)
            caches.append(cache)
        features = self.output(self.last(hidden))  # (R, T, F)
        return Decoded(features, weights, TransformerState(state.step + length, tuple(caches)))

    def _layers(self) -> list[DecoderLayer]:
        return [
            layer for layer in self.layers if isinstance(layer, DecoderLayer)
        ]  # what ModuleList forgets: their type


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the source, and a feed-forward network, each inside a residual."""

    def __init__(self, spec: LayerSpec, source_attention: Attention) -> None:
        super().__init__()
        self.attention = SelfAttention(spec.size, spec.num_heads)
        self.source_attention = source_attention
        self.context = resize(source_attention.context_size, spec.size)
        self.feedforward = FeedForward(spec.size, spec.feedforward_size)
        self.around_attention = spec.residual(spec.size, spec.dropout)
        self.around_source = spec.residual(spec.size, spec.dropout)
        self.around_feedforward = spec.residual(spec.size, spec.dropout)

    def forward(
        self,
        hidden: Tensor,
        positions: Positions,
        cache: Cache,
        memory: Memory,
        steps: Tensor,
        grid: Grid | None,
    ) -> tuple[Tensor, Tensor | None, Cache]:
        """Hidden (R, T, H) at the T next `steps` to the same, source weights (R, T, S) if anyone reads them, cache."""
        attended, cache = self.attention.extend(self.around_attention.enter(hidden), positions, cache)
        hidden = self.around_attention.leave(hidden, attended)
        context, weights = self._look(self.around_source.enter(hidden), memory, steps, grid)
        hidden = self.around_source.leave(hidden, context)
        changed = self.feedforward(self.around_feedforward.enter(hidden))
        return self.around_feedforward.leave(hidden, changed), weights, cache

    def _look(self, hidden: Tensor, memory: Memory, steps: Tensor, grid: Grid | None) -> tuple[Tensor, Tensor | None]:
        """Context (R, T, H) and weights: a sentence's queries are its T steps, or its rows in the grid at one step."""
        if grid is None:
            context, weights = self._attend(hidden, memory, steps)
            return self.context(context), weights
        context, weights = self._attend(grid.spread(hidden.squeeze(1)), memory, steps)  # (B, K, ...)
        seen = None if weights is None else grid.rows(weights).unsqueeze(1)
        return self.context(grid.rows(context)).unsqueeze(1), seen

    def _attend(self, queries: Tensor, memory: Memory, steps: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.source_attention.context(queries, memory, steps), None


class TopDecoderLayer(DecoderLayer):
    """The layer whose weights are read."""

    def _attend(self, queries: Tensor, memory: Memory, steps: Tensor) -> tuple[Tensor, Tensor | None]:
        context, weights, _ = self.source_attention.weigh(queries, memory, steps, None)
        return context, weights
