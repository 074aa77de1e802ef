"""An encoder's options to its modules: one function a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seq2seq.config import Config
from seq2seq.models.build.parts import CNN_POSITIONS, EMBEDDING_STD, TRANSFORMER_POSITIONS, layer_spec, rnn_spec
from seq2seq.models.convolution import ConvolutionalEncoder
from seq2seq.models.dropout import Dropout, make_dropout
from seq2seq.models.encoders import Encoder, MeanEncoder, RecurrentEncoder, ReversedEncoder
from seq2seq.models.rnn import RNN
from seq2seq.models.transformer import TransformerEncoder
from seq2seq.options.base import resolve


def build_encoder(config: Config) -> Encoder:
    """The config's encoder, reading backwards where the config says so."""
    encoder = ENCODERS[config.encoder.name](config.encoder, config.embedding_size)
    return ReversedEncoder(encoder) if config.data.reverse_source else encoder


def _recurrent(options: Any, embedding_size: int) -> Encoder:
    size = resolve(options.hidden_size, embedding_size)
    rnn = RNN(rnn_spec(options), embedding_size, size, options.bidirectional)
    dropout = make_dropout(options.dropout, options.locked_dropout)
    return RecurrentEncoder(rnn, options.output_size(embedding_size), dropout)


def _mean(options: Any, embedding_size: int) -> Encoder:
    return MeanEncoder(embedding_size, Dropout(options.dropout))


def _convolutional(options: Any, embedding_size: int) -> Encoder:
    return ConvolutionalEncoder(
        embedding_size,
        resolve(options.hidden_size, embedding_size),
        options.num_layers,
        options.kernel_size,
        CNN_POSITIONS[options.positions](options, embedding_size),
        options.dropout,
    )


def _transformer(options: Any, embedding_size: int) -> Encoder:
    positions = TRANSFORMER_POSITIONS[options.positions](options, embedding_size)
    spec = layer_spec(options, embedding_size)
    return TransformerEncoder(embedding_size, options.num_layers, spec, positions, 1 / EMBEDDING_STD)


# encoder=NAME -> built from its options and the embedding size
ENCODERS: dict[str, Callable[[Any, int], Encoder]] = {
    "gru": _recurrent,
    "lstm": _recurrent,
    "mean": _mean,
    "cnn": _convolutional,
    "transformer": _transformer,
}
