"""Options that can't go together, each with a way out."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from seq2seq.errors import ConfigError
from seq2seq.options.search import SearchConfig
from seq2seq.options.training import interval
from seq2seq.schema import show

if TYPE_CHECKING:
    from seq2seq.config import Config

MOST_HEADS_IN_ALL = 4096  # of a decoder; each is a module of its own, so that many more take long to build


NO_FOLDER = "resume=auto goes on with a folder, and none is named: set run=FOLDER"


def impossible(config: Config) -> list[str]:
    """All faults of a config whose options are right one by one."""
    return [
        *([NO_FOLDER] if config.resume == "auto" and config.run is None else []),
        *config.encoder.faults(config.embedding_size),
        *config.decoder.faults(config.embedding_size),
        *_attention(config),
        *_encoder(config),
        *_decoder(config),
        *_bridge(config),
        *_tying(config),
        *_lengths(config),
        *_sampling(config),
        *config.objective.faults(config.init, config.attention.coverage_loss),
        *_training(config),
        *_tests(config),
        *search_faults(config.search),
    ]


def search_faults(search: SearchConfig) -> list[str]:
    """Pairs of search options that can't go together."""
    faults = []
    if search.n_best > search.beam_size and not search.sample:
        faults.append(
            f"search.n_best={search.n_best} is more than search.beam_size={search.beam_size} can find; "
            f"set search.beam_size={search.n_best}"
        )
    if search.min_length > search.max_length:
        faults.append(
            f"search.min_length={search.min_length} is more than search.max_length={search.max_length}; "
            f"set search.max_length={search.min_length} or search.min_length={search.max_length}"
        )
    return faults


def _attention(config: Config) -> list[str]:
    """Whether the attention fits the encoder and the decoder."""
    attention, decoder = config.attention, config.decoder
    if attention.name == "none":
        penalty = config.search.coverage_penalty
        return (
            []
            if penalty == 0
            else [
                f"search.coverage_penalty={penalty} needs attention weights, but attention=none has none; choose an "
                "attention or set search.coverage_penalty=0"
            ]
        )
    if decoder.only_attention not in (None, attention.name):
        return [
            f"decoder={decoder.name} takes attention={decoder.only_attention}, not attention={attention.name}: each of "
            f"its layers attends with several heads; set attention={decoder.only_attention}, or decoder=lstm for any"
        ]
    faults: list[str] = attention.faults(config.decoder_size)
    if decoder.only_attention is not None and attention.num_heads * decoder.num_layers > MOST_HEADS_IN_ALL:
        faults.append(
            f"attention.num_heads={attention.num_heads} in each of decoder.num_layers={decoder.num_layers} are more "
            f"than {MOST_HEADS_IN_ALL}; set decoder.num_layers={MOST_HEADS_IN_ALL // attention.num_heads}"
        )
    if decoder.only_attention is not None and attention.coverage != "none":
        faults.append(
            f"attention.coverage={attention.coverage} goes step by step, but decoder={decoder.name} takes all steps at "
            "once; set attention.coverage=none (attention.coverage_loss works with both)"
        )
    if attention.same_size and config.decoder_size != config.encoder_size:
        faults.append(
            f"attention={attention.name} needs decoder.hidden_size ({config.decoder_size}) to equal the encoder's "
            f"output size ({config.encoder_size}); use attention=luong_general or set "
            f"decoder.hidden_size={config.encoder_size}"
        )
    return faults


def _encoder(config: Config) -> list[str]:
    """Whether the order that it reads in makes a difference to the encoder."""
    if not config.data.reverse_source or config.encoder.reads_order:
        return []
    return [
        f"data.reverse_source=true changes nothing for encoder={config.encoder.name}, which knows no order; set "
        "data.reverse_source=false or another encoder"
    ]


def _decoder(config: Config) -> list[str]:
    """Whether the decoder has the attention that it needs, where it needs it."""
    attention, decoder = config.attention, config.decoder
    if decoder.needs_attention:
        if attention.name != "none":
            return []
        return [
            f"decoder={decoder.name} needs attention, but attention=none has none; "
            f"set attention={decoder.only_attention or 'bahdanau'}, or decoder=gru for a decoder without"
        ]
    faults = []
    if (attention.name == "none") != (config.attend == "none"):
        other = "choose an attention" if attention.name == "none" else "attention=none for a decoder without attention"
        faults.append(
            f"attention={attention.name} and decoder.attend={config.attend} contradict each other; "
            f"use decoder.attend=auto, or {other}"
        )
    if decoder.input_feeding and config.attend != "after_rnn":
        faults.append(
            f"decoder.input_feeding=true needs attention after the RNN, but attention={attention.name} has "
            f"{config.attend}: there is no attentional vector to feed; set decoder.input_feeding=false"
        )
    if decoder.source_vector == "every_step" and attention.name != "none":
        faults.append(
            f"decoder.source_vector=every_step is for decoders without attention, but attention={attention.name} gives "
            "each step a context of its own; set attention=none or decoder.source_vector=initial"
        )
    return faults


def _bridge(config: Config) -> list[str]:
    """Whether a copied state has the shape of the decoder's."""
    encoder, decoder = config.encoder, config.decoder
    if not decoder.copies_state:
        return []
    theirs = (config.encoder_size, encoder.state_layers, encoder.with_cell)
    ours = (config.decoder_size, decoder.num_layers, decoder.cell == "lstm")
    if theirs == ours:
        return []
    described = [f"{layers} x {size}{' with cells' if cell else ''}" for size, layers, cell in (theirs, ours)]
    return [
        f"decoder.bridge=copy needs states of one shape, but the encoder's final state is {described[0]} and the "
        f"decoder's first {described[1]} (layers x units); make them alike, or set decoder.bridge=tanh"
    ]


def _tying(config: Config) -> list[str]:
    """Whether the tied matrices can be one."""
    faults = []
    if config.tied != "none" and config.readout_size != config.embedding_size:
        key, fix = config.decoder.features_key, f"set {config.decoder.features_key}={config.embedding_size}"
        faults.append(
            f"tie_embeddings={config.tied} needs {key} ({config.readout_size}) to equal embedding_size "
            f"({config.embedding_size}); {fix} or tie_embeddings=none"
        )
    if config.tied == "all" and not config.tokenizer.shared:
        faults.append("tie_embeddings=all needs one vocabulary: set tokenizer.shared=true or tie_embeddings=output")
    return faults


def _lengths(config: Config) -> list[str]:
    """Whether the model can read and write all pairs that data.max_length lets through."""
    limits = {
        "attention.max_source_length": config.attention.longest,
        "encoder.max_length": config.encoder.longest,
        "decoder.max_length": config.decoder.longest,
    }
    needed = config.data.max_length + 1
    return [
        f"{key}={limit} is too short for data.max_length={config.data.max_length} pieces and the end of sentence; set "
        f"{key}={needed} or data.max_length={limit - 1}"
        for key, limit in limits.items()
        if limit is not None and limit < needed
    ]


def _sampling(config: Config) -> list[str]:
    """Whether the tokenizer is one whose pieces can be drawn so."""
    return [
        f"data.{key}={value} is for tokenizer={kind}, and this is tokenizer={config.tokenizer.name}; set data.{key}=0"
        for key, value, kind in sampling_options(config)
        if value and config.tokenizer.name != kind
    ]


def sampling_options(config: Config) -> list[tuple[str, float, str]]:
    """The options of `data` that have pieces drawn anew: name, value, and the kind of tokenizer that it is for."""
    return [("bpe_dropout", config.data.bpe_dropout, "bpe"), ("unigram_alpha", config.data.unigram_alpha, "unigram")]


def _training(config: Config) -> list[str]:
    """The trainer's limits, intervals and schedule."""
    faults, trainer = [], config.trainer
    if (trainer.batch_tokens is None) == (trainer.batch_sentences is None):
        faults.append("set exactly one of trainer.batch_tokens and trainer.batch_sentences, and the other to null")
    if trainer.max_epochs is None and trainer.max_updates is None and trainer.max_minutes is None:
        faults.append("set at least one of trainer.max_epochs, trainer.max_updates and trainer.max_minutes")
    for name in ("validate_every", "save_every"):
        try:
            interval(getattr(trainer, name))
        except ConfigError as error:
            faults.append(f"trainer.{name}={error}")
    if (
        config.scheduler.name == "cosine"
        and config.scheduler.decay_updates == "auto"
        and not (trainer.max_updates or trainer.max_epochs)
    ):
        faults.append(
            "scheduler=cosine needs scheduler.decay_updates where neither trainer.max_updates nor trainer.max_epochs "
            "is set"
        )
    return faults


def _tests(config: Config) -> list[str]:
    """The names of test sets name files."""
    return [
        f"data.test: {show(name, quoted=True)} can't be a test set's name, which names its files in translations/: use "
        "letters, digits, '_', '-', '+', '.' and spaces (100 characters and 200 bytes at most, the first a letter, a "
        "digit or '_'), and neither train nor valid"
        for name in config.data.tests()
        if name in ("train", "valid") or not _names_files(name)
    ]


def _names_files(name: str) -> bool:
    """Whether names of files can begin with it on any system, with room left for an ending."""
    letters = name.replace("_", "a")
    return (
        letters[:1].isalnum()
        and len(name) <= 100
        and all(letter.isalnum() or letter in " .+-" or unicodedata.category(letter)[0] == "M" for letter in letters)
        and len(name.encode()) <= 200  # a file's name ends at 255, and a letter has up to four
    )
