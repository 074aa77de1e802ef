"""From the config's files to encoded corpora: read, check, train or load the tokenizer, encode, report."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from seq2seq.config import Config
from seq2seq.data.corpus import EncodedCorpus, ParallelText, drop_blank, overlap, read_parallel, sha256, split_valid
from seq2seq.data.lengths import LengthLimit
from seq2seq.errors import ConfigError, DataError
from seq2seq.text.tokenizer import TokenizerPair

LOGGER = logging.getLogger("seq2seq")


@dataclass(frozen=True)
class Texts:
    """The raw text of a run: training pairs without blank lines, validation pairs, and the test sets by name."""

    train: ParallelText
    valid: ParallelText
    tests: dict[str, ParallelText]
    blank: int  # training pairs dropped for a blank side


@dataclass(frozen=True)
class Corpora:
    """What training needs of the texts: the tokenizers, the encoded pairs, and the length limit learnt from them."""

    tokenizers: TokenizerPair
    train: EncodedCorpus
    valid: EncodedCorpus
    limit: LengthLimit
    report: dict[str, Any]  # plain data, for the run's data.json


def read_texts(config: Config) -> Texts:
    """Reads and checks all files before any time is spent.

    Raises:
        ConfigError: no training files named, or no validation pairs to be had.
        DataError: files missing, empty, not UTF-8, or with sides of unequal length.
    """
    data = config.data
    prefixes = data.train_prefixes()
    if not prefixes:
        raise ConfigError(
            "no training data: set data.train=PREFIX, where "
            f"PREFIX.{data.source} and PREFIX.{data.target} are the two sides, or use data=tiny"
        )
    if data.valid is None and data.valid_split == 0:
        raise ConfigError(
            "no validation set: set data.valid=PREFIX, or data.valid_split=N to hold out N of the training pairs"
        )
    if data.valid is not None and data.valid_split:
        raise ConfigError("data.valid and data.valid_split are both set; keep one of them")

    def read(names: list[str], label: str) -> ParallelText:
        return read_parallel(names, data.source, data.target, label)

    tests = {name: read([prefix], name) for name, prefix in data.tests().items()}
    valid = None if data.valid is None else read([data.valid], "valid")
    train, blank = drop_blank(read(prefixes, "train"))
    if valid is None:
        train, valid = split_valid(train, data.valid_split, config.seed)
    if blank:
        LOGGER.info("dropped %s training pairs with a blank side", f"{blank:,}")
    known = set(train.source)
    for text in (valid, *tests.values()):
        seen = overlap(text.source, known)
        if seen:
            LOGGER.warning(
                "%s of the %s sources of %s occur in the training data: its scores will flatter",
                f"{seen:,}", f"{len(text):,}", text.name,
            )  # fmt: skip
    return Texts(train, valid, tests, blank)


def encode_texts(config: Config, texts: Texts) -> Corpora:
    """Trains or loads the tokenizer, and encodes the training and validation pairs."""
    tokenizers = _tokenizers(config, texts.train)
    train, too_long = EncodedCorpus.encode(texts.train, tokenizers, config.data.max_length)
    if too_long:
        LOGGER.info(
            "dropped %s training pairs of more than %s tokens (data.max_length)",
            f"{too_long:,}",
            config.data.max_length,
        )
    valid, _ = EncodedCorpus.encode(texts.valid, tokenizers, None)
    _check_lengths(config, texts, valid, tokenizers)
    limit = LengthLimit.fit(train.source_lengths, train.target_lengths)
    sizes = {text.name: len(text) for text in (texts.valid, *texts.tests.values())}
    LOGGER.info(
        "data: %s training pairs, %s target tokens, vocabulary %s; %s",
        f"{len(train):,}", f"{int(train.target_lengths.sum()):,}", _sizes(tokenizers),
        ", ".join(f"{name} {size:,}" for name, size in sizes.items()),
    )  # fmt: skip
    report = {
        "files": _hashes(texts),
        "pairs": {"train": len(train), **sizes},
        "dropped": {"blank": texts.blank, "too_long": too_long},
        "tokenizer": {"source": tokenizers.source.digest, "target": tokenizers.target.digest},
        "vocab_size": {"source": tokenizers.source.vocab_size, "target": tokenizers.target.vocab_size},
        "length_limit": limit._asdict(),
        "source_per_target": round(_with_end(train.source_lengths) / _with_end(train.target_lengths), 4),
    }
    return Corpora(tokenizers, train, valid, limit, report)


class Capacity(NamedTuple):
    """The most pieces that the model takes on a side, EOS counted, and the option that says so."""

    longest: int
    key: str


def _check_lengths(config: Config, texts: Texts, valid: EncodedCorpus, tokenizers: TokenizerPair) -> None:
    """Whether the model can read the validation and test sets; training pairs are kept short by data.max_length."""
    numbered = config.data.valid is not None  # pairs held out of the training data are no lines of one file
    source, target = config.longest_source, config.decoder.longest
    if source is not None:
        key = "attention.max_source_length" if source == config.attention.longest else "encoder.max_length"
        _check_side(texts.valid, 0, valid.source_lengths.tolist(), Capacity(source, key), numbered)
        for text in texts.tests.values():  # their lines are cut before they are translated
            lengths = [len(ids) for ids in tokenizers.source.encode_batch(text.source)]
            cut = [min(length, config.search.max_source_length) for length in lengths]
            _check_side(text, 0, cut, Capacity(source, key), numbered=True)
    if target is not None:
        _check_side(texts.valid, 1, valid.target_lengths.tolist(), Capacity(target, "decoder.max_length"), numbered)


def _check_side(text: ParallelText, side: int, lengths: list[int], capacity: Capacity, numbered: bool) -> None:
    """Side 0 is the source, 1 the target. The longest line is named, so that one change does for all."""
    i = max(range(len(lengths)), key=lengths.__getitem__)
    pieces = lengths[i] + 1
    if pieces > capacity.longest:
        where = f"{text.files[side]}, line {i + 1}" if numbered else f"{text.name} (held out of the training data)"
        line = (text.source, text.target)[side][i]
        raise DataError(
            f"{where}: {line[:40]!r}... has {pieces} pieces with the end of sentence, but this model takes at most "
            f"{capacity.longest}; set {capacity.key}={pieces}, or shorten all lines that are too long"
        )


def _with_end(lengths: Tensor) -> int:
    """Pieces in all, EOS counted."""
    return int(lengths.sum()) + len(lengths)


def _tokenizers(config: Config, train: ParallelText) -> TokenizerPair:
    options = config.tokenizer
    given = options.model if options.model is not None else config.init  # weights of a run read its pieces
    if given is not None:
        return TokenizerPair.from_path(Path(given), options.shared)
    return TokenizerPair.train(
        train.source,
        train.target,
        shared=options.shared,
        model_type=options.name,
        vocab_size=options.vocab_size,
        character_coverage=options.character_coverage,
        seed=config.seed,
    )


def _sizes(tokenizers: TokenizerPair) -> str:
    if tokenizers.shared:
        return f"{tokenizers.source.vocab_size:,} (shared)"
    return f"{tokenizers.source.vocab_size:,} and {tokenizers.target.vocab_size:,}"


def _hashes(texts: Texts) -> dict[str, str]:
    files = [file for text in (texts.train, texts.valid, *texts.tests.values()) for file in text.files]
    return {str(file): sha256(file) for file in dict.fromkeys(files)}
