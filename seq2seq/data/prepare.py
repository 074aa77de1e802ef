"""From the config's files to encoded corpora: read, check, train or load the tokenizer, encode, report."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.config import Config
from seq2seq.data.cache import Cache, key_of
from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.encode import PREPARING, Encoder, TokenizerTraining
from seq2seq.data.lengths import LengthLimit
from seq2seq.data.store import StoredPairs
from seq2seq.data.text import ParallelText, TrainingText, hold_out, overlap, read_parallel, survey
from seq2seq.errors import CheckpointError, ConfigError, DataError
from seq2seq.files import read_json, sha256, write_json
from seq2seq.options.base import available_cores, resolve
from seq2seq.processes import Process
from seq2seq.text.pair import TokenizerPair

LOGGER = logging.getLogger("seq2seq")

CACHE_VERSION = 1  # of the entries: another number, and they are made again
LARGE = 50_000_000  # bytes of training text from which on processes are worth the seconds that they take to start


@dataclass(frozen=True)
class Texts:
    """The text of a run: what is known of the training pairs, and validation pairs and test sets themselves."""

    train: TrainingText
    valid: ParallelText
    tests: dict[str, ParallelText]
    files: dict[str, Any]  # SHA-256 by path: of "train", of "valid" (if it has files of its own), of each "test"


@dataclass(frozen=True)
class Corpora:
    """What training needs of the texts: the tokenizers, the encoded pairs, and the length limit learnt from them."""

    tokenizers: TokenizerPair
    train: EncodedCorpus
    valid: EncodedCorpus
    limit: LengthLimit
    report: dict[str, Any]  # plain data, for the run's data.json


def read_texts(config: Config) -> Texts:
    """Reads and checks all files before any time is spent; the training text streams by.

    Raises:
        ConfigError: no training files named, or no validation pairs to be had.
        DataError: files missing, empty, not UTF-8, or with sides of unequal length.
    """
    data = config.data
    _check_names(config)
    tests = {name: read_parallel(prefix, data.source, data.target, name) for name, prefix in data.tests().items()}
    given = None if data.valid is None else read_parallel(data.valid, data.source, data.target, "valid")
    others = [*([] if given is None else [given]), *tests.values()]
    known = {line for text in others for line in text.source if line.strip()}
    found = survey(data.train_prefixes(), data.source, data.target, known if given is not None else set())
    train, valid, seen = found.text, given, found.seen
    if valid is None:
        train, valid = hold_out(found, data.valid_split, config.seed)
        known.update(valid.source)
        for sources, _ in train.pairs():
            seen |= known.intersection(sources)
    if train.blank:
        LOGGER.info("dropped %s training pairs with a blank side", f"{train.blank:,}")
    for text in (valid, *tests.values()):
        again = overlap(text.source, seen)
        if again:
            LOGGER.warning(
                "%s of the %s sources of %s occur in the training data: its scores will flatter",
                f"{again:,}", f"{len(text):,}", text.name,
            )  # fmt: skip
    files = {
        "train": _hashes(path for pair in train.files for path in pair),
        "valid": {} if given is None else _hashes(given.files),
        "test": {name: _hashes(text.files) for name, text in tests.items()},
    }
    return Texts(train, valid, tests, files)


def encode_texts(config: Config, texts: Texts, tokenizers: TokenizerPair | None = None) -> Corpora:
    """Encodes the training and validation pairs, and trains or loads the tokenizers where none are given.

    The training pairs and tokenizers learnt from them are kept in the folder data.cache, and found there again.

    Raises:
        ConfigError, CheckpointError: a tokenizer that can't be trained or loaded.
        DataError: a line that the model can't take, no training pair short enough, or a folder that can't be written.
    """
    data = config.data
    processes = resolve(data.workers, available_cores() if texts.train.size > LARGE else 0)
    cache = Cache(Path(data.cache))
    if tokenizers is None:
        tokenizers = _tokenizers(config, texts, cache, processes)
    valid = EncodedCorpus.encode(texts.valid, tokenizers)
    _check_lengths(config, texts, valid, tokenizers)
    stored, train = _training_pairs(config, texts, tokenizers, cache, processes)
    if stored.too_long:
        LOGGER.info("dropped %s training pairs of more than %s tokens (data.max_length)",
                    f"{stored.too_long:,}", data.max_length)  # fmt: skip
    sizes = {text.name: len(text) for text in (texts.valid, *texts.tests.values())}
    LOGGER.info(
        "data: %s training pairs, %s target tokens, vocabulary %s; %s",
        f"{stored.pairs:,}", f"{stored.target_tokens:,}", _sizes(tokenizers),
        ", ".join(f"{name} {size:,}" for name, size in sizes.items()),
    )  # fmt: skip
    report = {
        "files": texts.files,
        "pairs": {"train": stored.pairs, **sizes},
        "dropped": {"blank": texts.train.blank, "too_long": stored.too_long},
        "tokenizer": tokenizers.digests,
        "vocab_size": {"source": tokenizers.source.vocab_size, "target": tokenizers.target.vocab_size},
        "length_limit": stored.limit._asdict(),
        "source_per_target": round(stored.source_per_target, 4),
    }
    return Corpora(tokenizers, train, valid, stored.limit, report)


def _check_names(config: Config) -> None:
    data = config.data
    if not data.train_prefixes():
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


def _tokenizers(config: Config, texts: Texts, cache: Cache, processes: int) -> TokenizerPair:
    """Those that the config names, or else those learnt from the training text."""
    options = config.tokenizer
    given = options.model if options.model is not None else config.init  # weights of a run read its pieces
    if given is not None:
        return TokenizerPair.from_path(Path(given), options.shared)
    facts = {**_facts(texts), "options": asdict(options), "seed": config.seed}

    def build(folder: Path) -> None:
        task = TokenizerTraining(options, config.seed)
        if processes:  # learning takes gigabytes, and this process would keep them
            LOGGER.info("learning the tokenizer from %s pairs", f"{len(texts.train):,}")
            with Process.of(task, PREPARING) as process:
                pair: TokenizerPair = process.ask(texts.train)
        else:
            pair = task(texts.train)
        texts.train.check_unchanged()
        pair.save(folder)
        write_json(folder / "manifest.json", {"digests": pair.digests, "made_of": facts})

    def read(folder: Path) -> TokenizerPair:
        digests = read_json(folder / "manifest.json").get("digests")
        pair = TokenizerPair.load(folder)
        if digests != pair.digests:
            raise CheckpointError("its tokenizers aren't those that were saved")
        return pair

    return cache.get(f"tokenizer-{key_of(**facts)}", build, read)


def _training_pairs(
    config: Config, texts: Texts, tokenizers: TokenizerPair, cache: Cache, processes: int
) -> tuple[StoredPairs, EncodedCorpus]:
    longest = config.data.max_length
    facts = {
        **_facts(texts),
        "tokenizers": tokenizers.digests,
        "max_length": longest,
        "byte_order": sys.byteorder,
    }

    def build(folder: Path) -> None:
        encoder = Encoder(tokenizers, longest, threads=1 if processes else -1)
        start = time.monotonic()
        StoredPairs.write(folder, texts.train, encoder, processes, facts)
        LOGGER.info("encoded the training pairs into %s in %.1f s", cache.folder, time.monotonic() - start)

    def read(folder: Path) -> tuple[StoredPairs, EncodedCorpus]:
        stored = StoredPairs.read(folder)
        return stored, stored.map(folder)

    return cache.get(key_of(**facts), build, read)


def _facts(texts: Texts) -> dict[str, Any]:
    """Which pairs are trained on."""
    hashes = texts.files["train"]
    return {
        "version": CACHE_VERSION,
        "files": [[hashes[str(path)] for path in pair] for pair in texts.train.files],
        "held_out": {"pairs": len(texts.train.held_out), "hash": key_of(numbers=texts.train.held_out)},
    }


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


def _sizes(tokenizers: TokenizerPair) -> str:
    if tokenizers.shared:
        return f"{tokenizers.source.vocab_size:,} (shared)"
    return f"{tokenizers.source.vocab_size:,} and {tokenizers.target.vocab_size:,}"


def _hashes(paths: Iterable[Path]) -> dict[str, str]:
    return {str(path): sha256(path) for path in dict.fromkeys(paths)}
