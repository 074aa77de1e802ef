"""What is measured on: text, real or made up, and fresh or trained models that read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seq2seq.benchmark.options import MeasureConfig
from seq2seq.config import Config
from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.lengths import LengthLimit
from seq2seq.data.lines import read_lines
from seq2seq.data.prepare import encode_texts, read_texts
from seq2seq.data.text import read_parallel
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.evaluation.saved import Described, Saved, model_for
from seq2seq.evaluation.searching import override
from seq2seq.evaluation.translator import Translator
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.options import Precision, RuntimeConfig
from seq2seq.runs import RunFolder
from seq2seq.runtime import Runtime, seed_everything
from seq2seq.text.pair import TokenizerPair

LONGEST_LINE = 100  # words, of the text that the synthetic vocabulary is learnt from


class Lines(NamedTuple):
    """Sentences to translate, and what they should become; no references where the text is made up."""

    source: list[str]
    reference: list[str]


@dataclass(frozen=True)
class Material:
    """Training pairs, sentences to translate, and the tokenizers of both; in `config`, a run's model if there is one.

    An untrained model doesn't know when to stop: each of its translations is `forced` pieces long.
    """

    config: Config
    tokenizers: TokenizerPair
    corpus: EncodedCorpus
    limit: LengthLimit
    lines: Lines
    forced: int

    @classmethod
    def make(cls, config: Config, measure: MeasureConfig) -> Material:
        """Of data.train and data.test, where they are set; of the run; or else of random words.

        Raises:
            ConfigError, DataError, CheckpointError: as train.py and translate.py do.
        """
        tokenizers, limit, lines = None, None, _named(config)
        if config.run is not None:
            described = Described.read(Path(config.run))
            config, tokenizers, limit = _of_run(config, described.config), described.tokenizers, described.limit
            lines = lines or _tested(described.folder)
        if config.data.train_prefixes():
            texts = read_texts(config)
            corpora = encode_texts(config, texts, tokenizers)
            corpus, tokenizers, limit = corpora.train, corpora.tokenizers, limit or corpora.limit
            lines = lines or Lines(texts.valid.source, texts.valid.target)
        else:
            tokenizers = tokenizers or words(measure.vocab_size)
            corpus = random_pairs(tokenizers, 100 * (config.trainer.batch_sentences or 64), measure, config.seed)
        if lines is None:
            sources = random_pairs(tokenizers, measure.sentences, measure, config.seed)
            lines = Lines([tokenizers.source.decode(sources.pair(i)[0].tolist()) for i in range(len(sources))], [])
        slope = len(corpus.source) / max(1, len(corpus.target))
        config = config.replace(attention=config.attention.fitted(round(slope, 4)))
        forced = max(1, round(len(corpus.target) / len(corpus)))
        return cls(config, tokenizers, corpus, limit or LengthLimit(0.0, forced + 1), lines, forced)

    def fresh(self, config: Config) -> Seq2Seq:
        """An untrained model of `config`, the same each time."""
        seed_everything(config.seed)
        return model_for(config, self.tokenizers)

    def trained(self) -> Seq2Seq:
        """The run's model, with its best weights."""
        return Saved.load(Path(str(self.config.run)), "best").model

    def translator(self, config: Config, precision: Precision, changes: Mapping[str, Any]) -> Translator:
        """The run's model, or an untrained one of `config`, with the config's search but for these changes."""
        asked = RuntimeConfig(config.device, precision, config.threads, config.deterministic)
        search = {**dataclasses.asdict(config.search), **changes}
        if config.run is not None:
            return Translator.load(config.run, search=search, runtime=asked)
        runtime = Runtime.resolve(asked, training=False)
        length = self.forced + 1  # with the end of sentence
        options = override(config.search, {**search, "min_length": length, "max_length": length})
        limit = LengthLimit(0.0, length)
        return Translator(self.fresh(config).to(runtime.device), self.tokenizers, limit, options, runtime)


def words(vocab_size: int) -> TokenizerPair:
    """One tokenizer for both sides, of made-up words: w0, w1, ..."""
    known = [f"w{i}" for i in range(vocab_size - 4)]  # besides the four special pieces
    lines = [" ".join(known[start : start + LONGEST_LINE]) for start in range(0, len(known), LONGEST_LINE)]
    return TokenizerPair.train(lines, lines, shared=True, model_type="word", vocab_size=vocab_size)


def random_pairs(
    tokenizers: TokenizerPair, pairs: int, measure: MeasureConfig, seed: int, varied: bool = False
) -> EncodedCorpus:
    """Pairs of random pieces, all of the stated lengths; or `varied` around them, from 1 to twice as many."""
    generator = torch.Generator().manual_seed(seed)

    def side(length: int, vocab_size: int) -> tuple[Tensor, Tensor]:
        lengths = torch.randint(1, 2 * length, (pairs,), generator=generator) if varied else torch.tensor(length)
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.expand(pairs).cumsum(0)])
        ids = torch.randint(4, vocab_size, (int(offsets[-1]),), dtype=torch.int32, generator=generator)
        return ids, offsets

    source = side(measure.source_length, tokenizers.source.vocab_size)
    return EncodedCorpus(*source, *side(measure.target_length, tokenizers.target.vocab_size))


def _named(config: Config) -> Lines | None:
    """The first test set of data.test."""
    for name, prefix in config.data.tests().items():
        text = read_parallel(prefix, config.data.source, config.data.target, name)
        return Lines(text.source, text.target)
    return None


def _tested(folder: RunFolder) -> Lines:
    """The test set that the run was scored on."""
    try:
        for name in folder.read_json("results.json")["test"]:
            source, reference = (read_lines(folder.translations / f"{name}.{side}") for side in ("source", "reference"))
            return Lines(source, reference)
    except (CheckpointError, KeyError):  # it hasn't ended
        pass
    raise ConfigError(f"run={folder.path} was scored on no test set: set data.test=PREFIX to have text to translate")


def _of_run(asked: Config, stored: Config) -> Config:
    """The run's model under the options of the command line."""
    return stored.replace(
        run=asked.run,
        device=asked.device,
        precision=asked.precision,
        threads=asked.threads,
        deterministic=asked.deterministic,
        seed=asked.seed,
        data=dataclasses.replace(asked.data, reverse_source=stored.data.reverse_source),
        objective=asked.objective,
        optimizer=asked.optimizer,
        scheduler=asked.scheduler,
        trainer=asked.trainer,
        search=asked.search,
    )
