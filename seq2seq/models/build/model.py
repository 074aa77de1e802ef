"""The whole model of a config."""

from __future__ import annotations

from torch import nn

from seq2seq.config import Config
from seq2seq.errors import ConfigError
from seq2seq.models.build.decoders import build_decoder
from seq2seq.models.build.encoders import build_encoder
from seq2seq.models.build.parts import EMBEDDING_STD
from seq2seq.models.dropout import WordDropout, make_dropout
from seq2seq.models.seq2seq import Seq2Seq


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
    return Seq2Seq(
        source_embedding,
        target_embedding,
        build_encoder(config),
        build_decoder(config),
        output,
        make_dropout(config.decoder.dropout, config.decoder.locks_dropout),
        WordDropout(config.encoder.word_dropout),
        WordDropout(config.decoder.word_dropout),
        config.longest_source,
        config.decoder.longest,
    )


def _embedding(vocab_size: int, size: int) -> nn.Embedding:
    embedding = nn.Embedding(vocab_size, size)
    nn.init.normal_(embedding.weight, std=EMBEDDING_STD)
    return embedding
