"""The transformer's encoder, and the layers that its encoder and its decoder are made of: Vaswani et al. (2017)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.errors import ConfigError
from seq2seq.models.dropout import Dropout
from seq2seq.models.encoders import Encoder, padding_mask
from seq2seq.models.memory import Encoded
from seq2seq.models.positions import Positions


class TransformerEncoder(Encoder):
    """Layers of self-attention and a feed-forward network: Vaswani et al. (2017), section 3.1.

    `scale` multiplies the embeddings before positions are added. The paper's sqrt(d_model) brings them to variance 1;
    embeddings of standard deviation s want 1/s. Dropout is where the paper has it (section 5.4): on the sum of
    embeddings and positions, and on what every sublayer adds; none on the attention weights.
    """

    def __init__(
        self, embedding_size: int, num_layers: int, spec: LayerSpec, positions: Positions, scale: float
    ) -> None:
        super().__init__()
        self.output_size = spec.size
        self.positions, self.scale, self.dropout = positions, scale, Dropout(spec.dropout)
        self.input = resize(embedding_size, spec.size)
        self.layers = nn.ModuleList(EncoderLayer(spec) for _ in range(num_layers))
        self.last = spec.residual.last(spec.size)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        size, device = embedded.shape[1], embedded.device
        mask = padding_mask(lengths, size, device)
        # Of a sentence without words the first padding may be looked at: a softmax over nothing is not a number.
        seen = padding_mask(lengths.clamp(min=1), size, device)[:, None, None]  # (B, 1, 1, S)
        hidden = self.input(self.dropout(self.positions(embedded * self.scale)))  # (B, S, E) -> (B, S, H)
        for layer in self.layers:
            hidden = layer(hidden, self.positions, seen)
        return Encoded(self.last(hidden).masked_fill(~mask.unsqueeze(2), 0.0), mask, None)


class LayerSpec(NamedTuple):
    """What all layers of a transformer have in common."""

    size: int  # H
    num_heads: int
    feedforward_size: int
    residual: type[Residual]  # one of RESIDUALS
    dropout: float


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network, each inside a residual."""

    def __init__(self, spec: LayerSpec) -> None:
        super().__init__()
        self.attention = SelfAttention(spec.size, spec.num_heads)
        self.feedforward = FeedForward(spec.size, spec.feedforward_size)
        self.around_attention = spec.residual(spec.size, spec.dropout)
        self.around_feedforward = spec.residual(spec.size, spec.dropout)

    def forward(self, hidden: Tensor, positions: Positions, seen: Tensor) -> Tensor:
        """Hidden (B, S, H) to the same; `seen` (B, 1, 1, S) is True at words that may be attended to."""
        attended = self.attention(self.around_attention.enter(hidden), positions, seen)
        hidden = self.around_attention.leave(hidden, attended)
        changed = self.feedforward(self.around_feedforward.enter(hidden))
        return self.around_feedforward.leave(hidden, changed)


class Residual(nn.Module):
    """A sublayer's surroundings: x -> leave(x, sublayer(enter(x)))."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.dropout = Dropout(dropout)

    def enter(self, hidden: Tensor) -> Tensor:
        """What the sublayer reads of `hidden` (..., H)."""
        raise NotImplementedError

    def leave(self, hidden: Tensor, change: Tensor) -> Tensor:
        """Both (..., H), with what the sublayer has made of it."""
        raise NotImplementedError

    @staticmethod
    def last(size: int) -> nn.Module:
        """What comes after the top layer."""
        raise NotImplementedError


class PreNorm(Residual):
    """x + sublayer(LayerNorm(x)), and a last LayerNorm on top: Xiong et al. (2020), table 1.

    The sum itself passes no norm, so that gradients reach the bottom unscaled and warm-up matters little.
    """

    def enter(self, hidden: Tensor) -> Tensor:
        normed: Tensor = self.norm(hidden)
        return normed

    def leave(self, hidden: Tensor, change: Tensor) -> Tensor:
        summed: Tensor = hidden + self.dropout(change)
        return summed

    @staticmethod
    def last(size: int) -> nn.Module:
        return nn.LayerNorm(size)


class PostNorm(Residual):
    """LayerNorm(x + sublayer(x)): Vaswani et al. (2017), section 3.1."""

    def enter(self, hidden: Tensor) -> Tensor:
        return hidden

    def leave(self, hidden: Tensor, change: Tensor) -> Tensor:
        normed: Tensor = self.norm(hidden + self.dropout(change))
        return normed

    @staticmethod
    def last(size: int) -> nn.Module:
        return nn.Identity()


RESIDUALS: dict[str, type[Residual]] = {"pre": PreNorm, "post": PostNorm}


class Cache(NamedTuple):
    """What self-attention keeps of the t steps so far: keys and values, (R, h, t, d) each."""

    keys: Tensor
    values: Tensor

    def select(self, rows: Tensor) -> Cache:
        """The cache of these rows, in this order; `rows` (N,) are indices into R."""
        return Cache(self.keys.index_select(0, rows), self.values.index_select(0, rows))

    def extend(self, keys: Tensor, values: Tensor) -> Cache:
        """With the keys and values (R, h, T, d) of the next T steps, in whose type (autocast's) all are kept."""
        return Cache(
            torch.cat([self.keys.to(keys.dtype), keys], dim=2), torch.cat([self.values.to(values.dtype), values], dim=2)
        )


class SelfAttention(nn.Module):
    """W_o [head_1; ..; head_h], head_i = softmax(Q_i K_i^T / sqrt(d)) V_i: Vaswani et al. (2017), section 3.2.

    Queries, keys and values come from one product. torch's fused kernels do the rest; no weights are to be had.
    """

    def __init__(self, size: int, num_heads: int) -> None:
        super().__init__()
        if size % num_heads:
            raise ConfigError(f"hidden_size={size} can't be split into num_heads={num_heads} heads of equal size")
        self.num_heads = num_heads
        self.projection = dense(size, 3 * size)
        self.output = dense(size, size)

    def forward(self, inputs: Tensor, positions: Positions, seen: Tensor) -> Tensor:
        """Every word looks at every word of inputs (B, S, H) that is `seen`, (B, 1, 1, S) and True."""
        query, keys, values = self._project(inputs, positions, 0)
        return self._join(F.scaled_dot_product_attention(query, keys, values, attn_mask=seen))

    def start(self, rows: int, like: Tensor) -> Cache:
        """The cache before the first step; `like` has its device."""
        empty = like.new_empty(rows, self.num_heads, 0, self.output.in_features // self.num_heads)
        return Cache(empty, empty)

    def extend(self, inputs: Tensor, positions: Positions, cache: Cache) -> tuple[Tensor, Cache]:
        """The next T steps, inputs (R, T, H): each looks at itself and at all before it, those in the cache included.

        No mask of padding is wanted, for padding comes after all that is real.
        """
        past, length = cache.keys.shape[2], inputs.shape[1]
        query, keys, values = self._project(inputs, positions, past)
        cache = cache.extend(keys, values)
        if past == 0 or length == 1:
            attended = F.scaled_dot_product_attention(query, *cache, is_causal=length > 1)
        else:
            seen = torch.ones(length, past + length, dtype=torch.bool, device=inputs.device).tril(past)
            attended = F.scaled_dot_product_attention(query, *cache, attn_mask=seen)
        return self._join(attended), cache

    def _project(self, inputs: Tensor, positions: Positions, first: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs (B, T, H) to queries, keys and values (B, h, T, d)."""
        split = self.projection(inputs).unflatten(2, (3, self.num_heads, -1))  # (B, T, 3, h, d)
        query, keys, values = split.permute(2, 0, 3, 1, 4).unbind(0)
        return positions.rotate(query, first), positions.rotate(keys, first), values

    def _join(self, heads: Tensor) -> Tensor:
        joined: Tensor = self.output(heads.transpose(1, 2).flatten(2))  # (B, h, T, d) -> (B, T, H)
        return joined


class FeedForward(nn.Module):
    """max(0, x W_1 + b_1) W_2 + b_2: Vaswani et al. (2017), section 3.3, eq. 2."""

    def __init__(self, size: int, feedforward_size: int) -> None:
        super().__init__()
        self.inner, self.outer = dense(size, feedforward_size), dense(feedforward_size, size)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.outer(F.relu(self.inner(inputs)))
        return outputs


def dense(input_size: int, output_size: int) -> nn.Linear:
    """A linear layer with Glorot's weights (Glorot & Bengio 2010) and zero biases.

    The query's, keys' and values' matrices are drawn as the one that they are, a little smaller than each by itself.
    """
    layer = nn.Linear(input_size, output_size)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def resize(input_size: int, output_size: int) -> nn.Module:
    """A linear map where the sizes differ."""
    return nn.Identity() if input_size == output_size else dense(input_size, output_size)
