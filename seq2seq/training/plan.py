"""What a training would do, before any of it is done: `train.py dry_run=true`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from seq2seq.config import Config
from seq2seq.data.batch import Batch
from seq2seq.files import mebibytes
from seq2seq.models.weights import distinct, parameters
from seq2seq.runs import RunFolder
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.training.optim import numbers_kept
from seq2seq.training.ready import Ready
from seq2seq.training.trainer import Trainer
from seq2seq.training.updater import LAST_UPDATE

MEASURED = 5  # updates that time is estimated from
SHOWN = 2  # batches that are decoded, and pairs of each

Line = tuple[str, str]  # what it is about, and that


def plan(config: Config) -> str:
    """Sizes, the first batches back in text, memory and time; nothing is left behind but the encoded corpus.

    Memory is measured on the largest batch that can occur, time on the first ones of the first epoch.

    Raises:
        ConfigError, DataError, CheckpointError, TrainingError: what training would fail with.
    """
    folder = RunFolder(Path(config.run or "runs"))  # nothing is written to it
    ready = Ready.make(config, folder, None)
    trainer = ready.trainer(ready.translator(), folder)
    lines = [*_data(ready), *_model(ready), *_batches(ready, trainer), *_examples(ready, trainer)]
    return "".join(f"{about:<12}{text}\n" for about, text in [*lines, *_cost(ready, trainer)])


def _data(ready: Ready) -> Iterator[Line]:
    report, corpora = ready.corpora.report, ready.corpora
    dropped, sizes = report["dropped"], report["vocab_size"]
    yield (
        "data",
        f"{len(corpora.train):,} training pairs, {_target_tokens(ready):,} target pieces with ends of sentence",
    )
    yield (
        "",
        f"dropped: {dropped['blank']:,} blank, {dropped['too_long']:,} of more than {ready.config.data.max_length}",
    )
    yield "", ", ".join(f"{text.name} {len(text):,}" for text in (ready.texts.valid, *ready.texts.tests.values()))
    if corpora.tokenizers.shared:
        yield "vocabulary", f"{sizes['source']:,} pieces, shared"
    else:
        yield "vocabulary", f"{sizes['source']:,} source and {sizes['target']:,} target pieces"


def _model(ready: Ready) -> Iterator[Line]:
    config, model = ready.config, ready.model
    yield "model", f"encoder={config.encoder.name} attention={config.attention.name} decoder={config.decoder.name}"
    counts: dict[str, int] = {}
    for name, tensor in distinct(model).items():  # a tied matrix counts where it first stands
        part = name.partition(".")[0]
        counts[part] = counts.get(part, 0) + tensor.numel()
    shares = ", ".join(f"{part} {count:,}" for part, count in counts.items())
    yield "", f"{parameters(model):,} parameters: {shares}"


def _batches(ready: Ready, trainer: Trainer) -> Iterator[Line]:
    efficiency = f"{100 * trainer.padding_efficiency:.1f} % of their cells are real tokens"
    yield (
        "batches",
        f"{trainer.batches_per_epoch:,} in an epoch, of {trainer.limits.updates_per_epoch:,} updates; {efficiency}",
    )
    total = trainer.limits.last_update
    yield "", "no limit of updates" if total is None else f"at most {total:,} updates"


def _examples(ready: Ready, trainer: Trainer) -> Iterator[Line]:
    pair = ready.corpora.tokenizers
    for number in range(min(SHOWN, len(trainer.epoch))):
        batch = trainer.read(number)
        yield f"batch {number + 1}", _size(batch)
        for source, target in list(zip(batch.source.tolist(), batch.target_output.tolist(), strict=True))[:SHOWN]:
            yield "", _text(pair.source, source)
            yield "", f"  -> {_text(pair.target, target)}"


def _cost(ready: Ready, trainer: Trainer) -> Iterator[Line]:
    """By trying: the largest batch for memory, the first ones for time."""
    options = ready.config.trainer
    rate = _tokens_per_second(trainer, [trainer.read(i) for i in range(min(MEASURED, len(trainer.epoch)))])
    largest = trainer.batch(ready.sampler.largest())
    trainer.updater.rehearse(largest)
    epoch = _target_tokens(ready) / rate
    yield "machine", ready.runtime.describe()
    yield "memory", f"about {mebibytes(ready.runtime.peak_memory_bytes())} at its peak; largest batch: {_size(largest)}"
    numbers = 1 + numbers_kept(trainer.updater.optimizer)
    checkpoint = sum(numbers * 4 * tensor.numel() for tensor in distinct(ready.model).values())
    kept = options.keep_last + options.keep_best + 1  # one is written before another goes
    yield "disk", f"about {mebibytes(checkpoint)} for a checkpoint, and at most {kept} of them"
    yield "time", f"about {_duration(epoch)} an epoch without validations, {rate:,.0f} target tokens/s"
    total = trainer.limits.last_update
    limits = [] if total is None else [epoch * total / trainer.limits.updates_per_epoch]
    limits += [] if options.max_minutes is None else [60 * options.max_minutes]
    if limits:
        yield "", f"about {_duration(min(limits))} to the nearest limit"


def _target_tokens(ready: Ready) -> int:
    return int(ready.corpora.train.target_lengths.sum()) + len(ready.corpora.train)


def _size(batch: Batch) -> str:
    rows, source = batch.source.shape
    return f"{rows} pairs of {source} source and {batch.target_output.shape[1]} target pieces, padding included"


def _text(tokenizer: Tokenizer, ids: list[int]) -> str:
    return tokenizer.decode(ids[: ids.index(tokenizer.eos_id)])


def _tokens_per_second(trainer: Trainer, batches: Sequence[Batch]) -> float:
    trainer.updater.update(batches[:1], LAST_UPDATE)  # warm-up
    trainer.runtime.synchronize()
    start = time.monotonic()
    tokens = sum(trainer.updater.update([batch], LAST_UPDATE) for batch in batches)
    trainer.runtime.synchronize()
    return tokens / (time.monotonic() - start)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{math.ceil(seconds)} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
