"""Small things that every builder needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from seq2seq.models.positions import Learned, Positions, Rotary, Sinusoidal
from seq2seq.models.rnn import RNNSpec
from seq2seq.models.transformer import RESIDUALS, LayerSpec
from seq2seq.options.base import resolve

# Large enough for the RNNs to see the words, small enough for the same matrix to be the output layer. After an epoch of
# Multi30k, starts of 0.15 and 0.3 were alike and well ahead of 1, and of 1/sqrt(E) with inputs multiplied by sqrt(E).
EMBEDDING_STD = 0.25

# positions=NAME of a Transformer -> built from its options; its embeddings are scaled to variance 1 before
TRANSFORMER_POSITIONS: dict[str, Callable[[Any, int], Positions]] = {
    "sinusoidal": lambda options, embedding_size: Sinusoidal(),
    "learned": lambda options, embedding_size: Learned(options.max_length, embedding_size, embedding_size**-0.5),
    "rotary": lambda options, embedding_size: Rotary(options.width(embedding_size) // options.num_heads),
}
# encoder.positions=NAME of the convolutions, added to the embeddings as they are
CNN_POSITIONS: dict[str, Callable[[Any, int], Positions]] = {
    "sinusoidal": lambda options, embedding_size: Sinusoidal(amplitude=EMBEDDING_STD),
    "learned": lambda options, embedding_size: Learned(options.max_length, embedding_size, EMBEDDING_STD),
}


def layer_spec(options: Any, embedding_size: int) -> LayerSpec:
    """What the layers of a Transformer's encoder or decoder have in common."""
    size = options.width(embedding_size)
    return LayerSpec(
        size,
        options.num_heads,
        resolve(options.feedforward_size, 4 * size),
        RESIDUALS[options.norm],
        options.dropout,
    )


def rnn_spec(options: Any) -> RNNSpec:
    """What the layers of a recurrent encoder or decoder have in common."""
    return RNNSpec(
        options.cell,
        options.num_layers,
        options.dropout,
        options.layer_norm,
        options.residual,
        options.locked_dropout,
        options.recurrent_dropout,
    )


def glorot(module: nn.Module) -> None:
    """Glorot weights (Glorot & Bengio 2010) and zero biases in the dense layers of a module."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
