"""A checked config to a model; the only place where models and config meet, and where a new component is registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from seq2seq.config import Config
from seq2seq.errors import ConfigError
from seq2seq.models.attention import Attention
from seq2seq.models.bridge import Bridge
from seq2seq.models.decoders import BahdanauDecoder, Decoder, InputFeedingDecoder, LuongDecoder, PlainDecoder, Readout
from seq2seq.models.encoders import RecurrentEncoder
from seq2seq.models.rnn import RNN, SteppedRNN
from seq2seq.models.scores import AdditiveScore, DotScore, GeneralScore, Score
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.schema import COMPONENTS

# Large enough for the RNNs to see the words, small enough for the same matrix to be the output layer. After an epoch of
# Multi30k, starts of 0.15 and 0.3 were alike and well ahead of 1, and of 1/sqrt(E) with inputs multiplied by sqrt(E).
EMBEDDING_STD = 0.25

F = TypeVar("F", bound=Callable[[Any, int, int], Score])

# attention=NAME -> its score, built from its options, the size of the query and the size of the memory
SCORES: dict[str, Callable[[Any, int, int], Score]] = {
    "bahdanau": lambda options, query, memory: AdditiveScore(query, memory, _size(options.key_size, query)),
    "luong_dot": lambda options, query, memory: DotScore(),
    "luong_general": lambda options, query, memory: GeneralScore(query, memory),
    "luong_concat": lambda options, query, memory: AdditiveScore(query, memory, _size(options.key_size, query)),
}


def register(name: str, options: type[Any]) -> Callable[[F], F]:
    """Adds `attention=NAME`: `options` is its dataclass, the decorated callable makes its score.

    It is called with (options, query_size, memory_size).

    Raises:
        ConfigError: the name is taken.
    """

    def add(build: F) -> F:
        if name in COMPONENTS["attention"]:
            raise ConfigError(f"attention={name} exists already; register yours under another name")
        COMPONENTS["attention"][name] = options
        SCORES[name] = build
        return build

    return add


def build_model(config: Config, source_vocab_size: int, target_vocab_size: int) -> Seq2Seq:
    """A model with fresh weights, drawn from torch's global generator.

    Raises:
        ConfigError: embeddings that can't be shared because the vocabularies differ in size.
    """
    source_embedding = _embedding(source_vocab_size, config.embedding_size)
    target_embedding = _embedding(target_vocab_size, config.embedding_size)
    output = nn.Linear(config.readout_size, target_vocab_size)
    nn.init.normal_(output.weight, std=config.readout_size**-0.5)
    nn.init.zeros_(output.bias)
    if config.tied == "all":
        if source_vocab_size != target_vocab_size:
            raise ConfigError(
                f"tie_embeddings=all needs one vocabulary, but the source's has {source_vocab_size} pieces and the "
                f"target's {target_vocab_size}; set tie_embeddings=output"
            )
        source_embedding = target_embedding
    if config.tied != "none":
        output.weight = target_embedding.weight
    encoder = config.encoder
    model = Seq2Seq(
        source_embedding,
        target_embedding,
        RecurrentEncoder(
            encoder.name,
            config.embedding_size,
            encoder.hidden_size,
            encoder.num_layers,
            encoder.bidirectional,
            encoder.dropout,
        ),
        Bridge(encoder.output_size, config.decoder_size, config.decoder.num_layers, config.decoder.name == "lstm"),
        _decoder(config),
        output,
        config.decoder.dropout,
    )
    _glorot(model)
    return model


def _decoder(config: Config) -> Decoder:
    """The decoder whose class is the place of attention: `config.attend`, with or without input feeding."""
    options, hidden_size, memory_size = config.decoder, config.decoder_size, config.encoder.output_size
    embedding_size = config.embedding_size

    def readout(input_size: int) -> Readout:
        return Readout(input_size, config.readout_size, options.dropout)

    def rnn() -> RNN:
        return RNN(options.name, embedding_size, hidden_size, options.num_layers, options.dropout)

    def stepped(context_size: int) -> SteppedRNN:
        return SteppedRNN(options.name, embedding_size, context_size, hidden_size, options.num_layers, options.dropout)

    if config.attend == "none":
        return PlainDecoder(rnn(), readout(hidden_size))
    attention = Attention(SCORES[config.attention.name](config.attention, hidden_size, memory_size))
    if config.attend == "before_rnn":
        return BahdanauDecoder(stepped(memory_size), attention, readout(hidden_size + embedding_size + memory_size))
    if options.input_feeding:
        return InputFeedingDecoder(stepped(config.readout_size), attention, readout(memory_size + hidden_size))
    return LuongDecoder(rnn(), attention, readout(memory_size + hidden_size))


def _glorot(model: Seq2Seq) -> None:
    """Glorot weights (Glorot & Bengio 2010) and zero biases in the dense layers between the RNNs."""
    for part in (model.bridge, model.decoder.attention, model.decoder.readout):
        for module in () if part is None else part.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def _embedding(vocab_size: int, size: int) -> nn.Embedding:
    embedding = nn.Embedding(vocab_size, size)
    nn.init.normal_(embedding.weight, std=EMBEDDING_STD)
    return embedding


def _size(asked: int | str, default: int) -> int:
    return default if isinstance(asked, str) else asked
