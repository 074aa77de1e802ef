"""A decoder's options to its modules: one function a name, or for stacked RNNs one a place of attention."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from seq2seq.config import Config
from seq2seq.models.bridge import Bridge, CopyBridge
from seq2seq.models.build.attention import build_attention
from seq2seq.models.build.parts import EMBEDDING_STD, TRANSFORMER_POSITIONS, glorot, layer_spec, rnn_spec
from seq2seq.models.conditional import ConditionalGRU, ConditionalGRUDecoder
from seq2seq.models.decoders import BahdanauDecoder, Decoder, InputFeedingDecoder, LuongDecoder
from seq2seq.models.dropout import make_dropout
from seq2seq.models.gnmt import GNMTDecoder
from seq2seq.models.plain import PlainDecoder, SourceVectorDecoder
from seq2seq.models.readout import MaxoutReadout, Readout
from seq2seq.models.rnn import RNN, SteppedRNN
from seq2seq.models.transformer_decoder import TransformerDecoder

READOUTS: dict[str, type[Readout]] = {"tanh": Readout, "maxout": MaxoutReadout}


def build_decoder(config: Config) -> Decoder:
    """The config's decoder with its attention."""
    return DECODERS[config.decoder.name](config)


def _stacked(config: Config) -> Decoder:
    place = config.decoder.source_vector if config.attend == "none" else config.attend
    return PLACES[place, config.decoder.input_feeding](config)


def _plain(config: Config) -> Decoder:
    rnn = RNN(rnn_spec(config.decoder), config.embedding_size, config.decoder_size)
    return PlainDecoder(rnn, _bridge(config), _readout(config, config.decoder_size))


def _source_vector(config: Config) -> Decoder:
    rnn = RNN(rnn_spec(config.decoder), config.embedding_size + config.encoder_size, config.decoder_size)
    readout = _readout(config, config.decoder_size + config.embedding_size + config.encoder_size)
    return SourceVectorDecoder(rnn, _bridge(config), readout)


def _luong(config: Config) -> Decoder:
    attention = build_attention(config)
    rnn = RNN(rnn_spec(config.decoder), config.embedding_size, config.decoder_size)
    readout = _readout(config, attention.context_size + config.decoder_size)
    return LuongDecoder(rnn, _bridge(config), attention, readout)


def _input_feeding(config: Config) -> Decoder:
    attention = build_attention(config)
    rnn = SteppedRNN(rnn_spec(config.decoder), config.embedding_size, config.readout_size, config.decoder_size)
    readout = _readout(config, attention.context_size + config.decoder_size)
    return InputFeedingDecoder(rnn, _bridge(config), attention, readout)


def _bahdanau(config: Config) -> Decoder:
    attention = build_attention(config)
    rnn = SteppedRNN(rnn_spec(config.decoder), config.embedding_size, attention.context_size, config.decoder_size)
    readout = _readout(config, config.decoder_size + config.embedding_size + attention.context_size)
    return BahdanauDecoder(rnn, _bridge(config), attention, readout)


# (the place of attention, or without it that of the source's vector; input feeding) -> the decoder
PLACES: dict[tuple[str, bool], Callable[[Config], Decoder]] = {
    ("initial", False): _plain,
    ("every_step", False): _source_vector,
    ("after_rnn", False): _luong,
    ("after_rnn", True): _input_feeding,
    ("before_rnn", False): _bahdanau,
}


def _conditional(config: Config) -> Decoder:
    options, attention = config.decoder, build_attention(config)
    transition = ConditionalGRU(
        config.embedding_size,
        attention.context_size,
        config.decoder_size,
        options.layer_norm,
        options.recurrent_dropout,
    )
    readout = _readout(config, config.decoder_size + config.embedding_size + attention.context_size)
    return ConditionalGRUDecoder(transition, _bridge(config), attention, readout)


def _gnmt(config: Config) -> Decoder:
    options, attention = config.decoder, build_attention(config)
    one = rnn_spec(config.decoder)._replace(num_layers=1, residual=False)
    size, context_size = config.decoder_size, attention.context_size
    return GNMTDecoder(
        SteppedRNN(one, config.embedding_size, context_size, size),
        [RNN(one, size + context_size, size) for _ in range(options.num_layers - 1)],
        make_dropout(options.dropout, options.locked_dropout),
        options.residual,
        _bridge(config),
        attention,
        _readout(config, size + context_size),
    )


def _transformer(config: Config) -> Decoder:
    options = config.decoder
    return TransformerDecoder(
        config.embedding_size,
        config.readout_size,
        layer_spec(options, config.embedding_size),
        [build_attention(config) for _ in range(options.num_layers)],
        TRANSFORMER_POSITIONS[options.positions](options, config.embedding_size),
        1 / EMBEDDING_STD,
    )


DECODERS: dict[str, Callable[[Config], Decoder]] = {
    "gru": _stacked,
    "lstm": _stacked,
    "conditional_gru": _conditional,
    "gnmt": _gnmt,
    "transformer": _transformer,
}


def _bridge(config: Config) -> nn.Module:
    bridge = BRIDGES[config.decoder.bridge](config)
    glorot(bridge)
    return bridge


def _tanh_bridge(config: Config) -> nn.Module:
    options = config.decoder
    return Bridge(config.encoder_size, config.decoder_size, options.num_layers, options.cell == "lstm")


BRIDGES: dict[str, Callable[[Config], nn.Module]] = {"tanh": _tanh_bridge, "copy": lambda config: CopyBridge()}


def _readout(config: Config, input_size: int) -> Readout:
    options = config.decoder
    dropout = make_dropout(options.dropout, options.locked_dropout)
    readout = READOUTS[options.readout](input_size, config.readout_size, dropout)
    glorot(readout)
    return readout
