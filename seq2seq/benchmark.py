"""benchmark.py: how fast a model trains and translates, in real target tokens and in sentences a second."""

from __future__ import annotations

import json
import statistics
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from seq2seq.config import Config, checked
from seq2seq.data.batch import Batch, collate
from seq2seq.data.corpus import EncodedCorpus
from seq2seq.data.prepare import encode_texts, read_texts
from seq2seq.data.sampler import BatchSampler, sorted_batches
from seq2seq.errors import ConfigError
from seq2seq.evaluation.evaluate import write_output
from seq2seq.evaluation.translator import Translator, predict
from seq2seq.models.build import build_model
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.options import Precision, RuntimeConfig, number
from seq2seq.progress import Progress
from seq2seq.runs import RunFolder
from seq2seq.runtime import Runtime, seed_everything, versions
from seq2seq.search.beam import SearchOptions, beam_search
from seq2seq.search.protocol import SpecialIds
from seq2seq.training.updater import Updater

BOS, EOS, PAD, FIRST_WORD = 1, 2, 3, 4  # ids of synthetic sentences, as our SentencePiece models have them


@dataclass(frozen=True)
class MeasureConfig:
    """What is measured; each option is explained in configs/benchmark.yaml."""

    source_length: int = number(15, 1)
    target_length: int = number(15, 1)
    vocab_size: int = number(8000, 5)
    updates: int = number(20, 1)
    warmup: int = number(5, 0)
    repeats: int = number(3, 1)
    sentences: int = number(256, 1)
    beams: list[int] = field(default_factory=lambda: [1, 5])
    translate_precision: Precision = "auto"


@dataclass(frozen=True)
class BenchmarkConfig:
    """A training config's model, data and runtime, and what to measure of them."""

    config: Config
    measure: MeasureConfig
    output: str | None

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> BenchmarkConfig:
        rest = {key: value for key, value in plain.items() if key not in ("benchmark", "output")}
        output = plain.get("output")
        if output is not None and not isinstance(output, str):
            raise ConfigError(f"output={output} is not allowed: it must be a file's name")
        measure: MeasureConfig = checked(MeasureConfig, plain.get("benchmark", {}), lambda _: [], where="benchmark")
        return cls(Config.from_dict(rest), measure, output)


@dataclass(frozen=True)
class Material:
    """What the measurements run on: a model, training batches, and pairs to translate."""

    model: Seq2Seq
    training: list[Batch]
    translation: list[Batch]
    forced: bool  # translations are made exactly as long as their references
    translator: Translator | None


def benchmark(options: BenchmarkConfig) -> dict[str, Any]:
    """Measures training, then translation; medians of several repeats, warm-up left out.

    Raises:
        ConfigError, DataError, CheckpointError: as train.py and translate.py do.
    """
    measure, output = options.measure, options.output
    runtime = Runtime.resolve(options.config, training=True)
    seed_everything(options.config.seed)
    config = options.config
    if config.run is not None:
        stored = RunFolder.open(Path(config.run)).read_config()
        config = config.replace(
            **{name: getattr(stored, name) for name in ("encoder", "attention", "decoder", "tokenizer")},
            embedding_size=stored.embedding_size,
            tie_embeddings=stored.tie_embeddings,
        )
    material = _material(config, measure, runtime)
    results: dict[str, Any] = {"train": _training(config, measure, material, runtime)}
    asked = RuntimeConfig(config.device, measure.translate_precision, runtime.threads, config.deterministic)
    translating = Runtime.resolve(asked, training=False)
    results["translate"] = _translation(config, measure, material, translating)
    results |= {
        "device": runtime.describe(),
        "threads": runtime.threads,
        "precision": runtime.precision,
        "translate_precision": translating.precision,
        "model": {
            "encoder": config.encoder.name,
            "attention": config.attention.name,
            "decoder": config.decoder.name,
            "input_feeding": config.decoder.feeds_input,
            "parameters": sum(parameter.numel() for parameter in material.model.parameters()),
        },
        "versions": versions(),
    }
    if output is not None:
        write_output("output", output, json.dumps(results, indent=2) + "\n")
    return results


def show(results: Mapping[str, Any]) -> str:
    """The results as a table."""
    train, model = results["train"], results["model"]
    feeding = ", input feeding" if model["input_feeding"] else ""
    lines = [
        f"{model['encoder']} encoder, {model['attention']}, {model['decoder']} decoder{feeding}; "
        f"{model['parameters']:,} parameters; {results['device']}",
        f"training      {train['target_tokens_per_second']:12,.0f}  target tokens/s, {results['precision']}",
        f"              {train['flops_per_target_token'] / 1e6:12,.1f}  million floating-point operations a token",
        f"              {train['gflops_per_second']:12,.1f}  thousand million of them a second",
        f"peak memory   {train['peak_memory_bytes'] / 2**20:12,.0f}  MiB",
    ]
    for name, speed in results["translate"].items():
        label = name.replace("_", " ")
        speed_here = speed["sentences_per_second"]
        lines.append(f"{label:<13} {speed_here:12,.1f}  sentences/s, {results['translate_precision']}")
    return "\n".join(lines) + "\n"


def _material(config: Config, measure: MeasureConfig, runtime: Runtime) -> Material:
    """Synthetic sentences of the stated lengths, or real text where `data.train` is set."""
    batch_sentences = config.trainer.batch_sentences or max(
        1, (config.trainer.batch_tokens or 1) // (max(measure.source_length, measure.target_length) + 1)
    )
    translator = Translator.load(config.run, runtime=RuntimeConfig(config.device)) if config.run else None
    if not config.data.train_prefixes():
        sizes = [measure.vocab_size] * 2
        if translator is not None:
            sizes = [translator.tokenizers.source.vocab_size, translator.tokenizers.target.vocab_size]
        model = build_model(config, *sizes) if translator is None else translator.model
        training = [_synthetic(measure, batch_sentences, sizes) for _ in range(measure.updates)]
        translate_batch = config.trainer.translate_batch
        starts = range(0, measure.sentences, translate_batch)
        translation = [_synthetic(measure, min(translate_batch, measure.sentences - start), sizes) for start in starts]
        return Material(model.to(runtime.device), training, translation, True, translator)

    tokenized = config if config.run is None else config.replace(init=config.run)  # reads the run's pieces
    texts = read_texts(tokenized)
    corpora = encode_texts(tokenized, texts)
    pair = corpora.tokenizers
    if translator is None:
        model = build_model(config, pair.source.vocab_size, pair.target.vocab_size)
    else:
        model = translator.model
    sampler = BatchSampler.of(corpora.train, config.trainer, config.seed)
    training = [collate(corpora.train, rows, pair) for rows in sampler.epoch(0)[: measure.updates]]
    text = next(iter(texts.tests.values()), texts.valid)
    corpus = EncodedCorpus.encode(text, pair)
    rows_of = sorted_batches(corpus.source_lengths, config.trainer.translate_batch)
    translation = [collate(corpus, rows, pair) for rows in rows_of]
    return Material(model.to(runtime.device), training, translation, translator is None, translator)


def _synthetic(measure: MeasureConfig, sentences: int, vocab_sizes: Sequence[int]) -> Batch:
    """Random words in sentences of exactly the stated lengths, EOS not counted."""
    source = torch.randint(FIRST_WORD, vocab_sizes[0], (sentences, measure.source_length + 1))
    source[:, -1] = EOS
    words = torch.randint(FIRST_WORD, vocab_sizes[1], (sentences, measure.target_length))
    edge = torch.full((sentences, 1), BOS)
    return Batch(
        source,
        torch.full((sentences,), measure.source_length + 1),
        torch.cat([edge, words], dim=1),
        torch.cat([words, torch.full_like(edge, EOS)], dim=1),
        torch.full((sentences,), measure.target_length + 1),
    )


def _training(config: Config, measure: MeasureConfig, material: Material, runtime: Runtime) -> dict[str, float]:
    """Target tokens a second over the training batches; a real update, optimizer and all."""
    flops = _flops_per_target_token(material.model, material.training[0], runtime)
    weights = {name: tensor.clone() for name, tensor in material.model.state_dict().items()}
    updater = Updater(config, material.model, runtime)
    rates = []
    total = measure.warmup + measure.repeats * len(material.training)
    with Progress("training", total, "updates", every=10.0) as bar:
        for i in range(measure.warmup):
            updater.update([material.training[i % len(material.training)]])
            bar.update(1)
        for _ in range(measure.repeats):
            runtime.synchronize()
            start, tokens = time.perf_counter(), 0
            for batch in material.training:
                tokens += updater.update([batch])
                bar.update(1)
            runtime.synchronize()
            rates.append(tokens / (time.perf_counter() - start))
    memory = runtime.peak_memory_bytes()
    material.model.load_state_dict(weights)  # translation is measured with the weights that came in
    rate = statistics.median(rates)
    return {
        "target_tokens_per_second": round(rate, 1),
        "peak_memory_bytes": memory,
        "flops_per_target_token": round(flops),
        "gflops_per_second": round(rate * flops / 1e9, 2),
    }


@torch.inference_mode()
def _translation(
    config: Config, measure: MeasureConfig, material: Material, runtime: Runtime
) -> dict[str, dict[str, float]]:
    """Sentences a second for each beam size, from ids to ids."""
    model = material.model.eval()
    translator = material.translator
    special = SpecialIds(BOS, EOS, [0, BOS, PAD]) if translator is None else translator.special
    speeds = {}
    for beam_size in measure.beams:
        seconds = []
        for repeat in range(measure.repeats + 1):
            batches = material.translation if repeat else material.translation[:1]  # the first is the warm-up
            runtime.synchronize()
            start = time.perf_counter()
            for batch in batches:
                limits = batch.target_lengths
                if not material.forced:
                    assert translator is not None
                    limits = translator.limit.limits(batch.source_lengths - 1, config.search.max_length)
                options = SearchOptions(
                    beam_size=beam_size,
                    length_penalty=config.search.length_penalty,
                    length_alpha=config.search.length_alpha,
                    min_length=int(limits.max()) + 1 if material.forced else config.search.min_length,
                )
                with runtime.autocast():
                    beam_search(model, batch.source.to(runtime.device), batch.source_lengths, limits, options, special)
            runtime.synchronize()
            if repeat:
                seconds.append(time.perf_counter() - start)
        sentences = sum(len(batch.source) for batch in material.translation)
        speeds[f"beam_{beam_size}"] = {"sentences_per_second": round(sentences / statistics.median(seconds), 2)}
    return speeds


def _flops_per_target_token(model: Seq2Seq, batch: Batch, runtime: Runtime) -> float:
    """Floating-point operations of one forward and backward pass, by torch's counter, a real target token.

    Counted on the CPU without oneDNN, whose fused RNN the counter can't look into.
    """
    model.to("cpu").train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of TF32 on Intel GPUs whenever these flags are set
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            logits, _ = predict(model, batch)
            logits.sum().backward()  # type: ignore[no-untyped-call]
    model.zero_grad(set_to_none=True)
    model.to(runtime.device)
    return float(counter.get_total_flops()) / batch.target_tokens
