"""How cost grows: with the beam and the text in translation, with the corpus in training, with lengths in attention."""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from itertools import cycle, islice, pairwise
from typing import NamedTuple

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from seq2seq.benchmark.bench import Bench, Column, Row, Table, with_parts
from seq2seq.benchmark.child import alone
from seq2seq.benchmark.machine import peak_bytes
from seq2seq.benchmark.material import Material, random_pairs
from seq2seq.benchmark.options import MeasureConfig
from seq2seq.benchmark.rounds import Spread, in_turn, interleaved
from seq2seq.benchmark.training import Training
from seq2seq.benchmark.translating import Translating
from seq2seq.config import Config
from seq2seq.data.batch import Batch, collate
from seq2seq.evaluation.members import predict
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.runtime import Runtime

ROWS = 16  # sentences of a batch whose length grows
BAHDANAU = {"encoder": "gru", "attention": "bahdanau", "decoder": "gru"}


def beams(bench: Bench) -> Table:
    """Translation against beam size, and against the number of sentences."""
    config, measure, material = bench.config, bench.measure, bench.material
    sizes = [(beam, measure.sentences) for beam in bench.options.beams([1, 2, 5, 10, 20])]
    sizes += [(config.search.beam_size, sentences) for sentences in measure.lines]
    works: dict[str, Translating] = {}
    rows: dict[str, Row] = {}
    for beam, sentences in dict.fromkeys(sizes):
        translator = material.translator(config, measure.translate_precision, {"beam_size": beam})
        lines = list(islice(cycle(material.lines.source), sentences))
        name = f"beam {beam}, {sentences:,} sentences"
        works[name] = Translating(translator, lines, config.trainer.translate_batch)
        precision = translator.runtime.precision
        rows[name] = {"name": name, "beam": beam, "sentences": sentences, "precision": precision}
    speeds = interleaved("translation", {name: work.sample for name, work in works.items()}, measure.repeats)
    for name, row in rows.items():
        row |= speeds[name]
        row["milliseconds_per_beam"] = row["milliseconds"].median / row["beam"]
    columns = [
        Column("name", "translation"),
        Column("precision", "precision"),
        Column("sentences_per_second", "sentences/s", ",.1f"),
        Column("milliseconds", "ms/sentence", ",.2f"),
        Column("milliseconds_per_beam", "ms/sentence/beam", ",.2f"),
    ]
    return Table(columns, list(rows.values()))


def corpus(bench: Bench) -> Table:
    """Training time a token against the number of pairs: batches are ordered and cut as in any training."""
    measure, config = bench.measure, bench.config
    trainings: dict[str, Training] = {}
    for pairs in measure.pairs:
        made = random_pairs(bench.material.tokenizers, pairs, measure, config.seed, varied=True)
        training = Training(config, dataclasses.replace(bench.material, corpus=made), bench.runtime)
        trainings[f"{pairs:,} pairs"] = training
    in_turn("warm-up", [(name, partial(training.run, measure.warmup + 1)) for name, training in trainings.items()])

    def sample(training: Training) -> dict[str, float]:
        stretch, ordering = training.run(measure.updates), training.ordering_seconds()
        tokens = len(training.material.corpus.target) + len(training.material.corpus)  # with the ends of sentence
        update = 1e6 * (stretch.seconds - stretch.ordering) / stretch.tokens
        order = 1e6 * ordering / tokens
        return {"update_microseconds": update, "order_microseconds": order, "microseconds": update + order}

    works = {name: partial(sample, training) for name, training in trainings.items()}
    speeds = interleaved("training", works, measure.repeats)
    columns = [
        Column("name", "corpus"),
        Column("precision", "precision"),
        Column("update_microseconds", "updates, µs/token", ",.2f"),
        Column("order_microseconds", "ordering an epoch, µs/token", ",.3f"),
        Column("microseconds", "both, µs/token", ",.2f"),
    ]
    rows = [{"name": name, "precision": bench.runtime.precision, **speeds[name]} for name in trainings]
    return Table(columns, rows)


class Lengths(NamedTuple):
    """Pieces of all sources of a batch and of all targets, the end of sentence counted."""

    source: int
    target: int


def lengths(bench: Bench) -> Table:
    """Memory and time of an update with additive attention against source and target length, one of them fixed."""
    measure = bench.measure
    config = with_parts(bench.config, BAHDANAU)
    fixed = measure.lengths[len(measure.lengths) // 2]
    series = {
        "source": [Lengths(length, fixed) for length in measure.lengths],
        "target": [Lengths(fixed, length) for length in measure.lengths],
    }
    sizes = list(dict.fromkeys([*series["source"], *series["target"]]))
    names = {size: f"S={size.source} T={size.target}" for size in sizes}
    works = [(names[size], partial(alone, _update, (config, measure, size), names[size])) for size in sizes]
    found = dict(zip(sizes, in_turn("updates", works), strict=True))
    rows = []
    for side, of_side in series.items():
        points = zip(measure.lengths, (found[size]["kept_bytes"] for size in of_side), strict=True)
        growth = [None, *((more - kept) / (longer - length) for (length, kept), (longer, more) in pairwise(points))]
        for size, more in zip(of_side, growth, strict=True):
            row = {"name": f"{side} grows", **size._asdict(), "precision": bench.runtime.precision, **found[size]}
            rows.append(row if more is None else {**row, "more_bytes": more})
    columns = [
        Column("name", f"{ROWS} sentences"),
        Column("precision", "precision"),
        Column("source", "S", ",d"),
        Column("target", "T", ",d"),
        Column("kept_bytes", "kept MiB", ",.1f", 2**20),
        Column("more_bytes", "KiB for each piece more", ",.1f", 2**10),
        Column("peak_bytes", "peak MiB", ",.1f", 2**20),
        Column("milliseconds", "ms/update", ",.1f"),
    ]
    note = (
        "kept: what the forward pass keeps for the backward pass, counted; growth is linear where the KiB for each "
        "piece more stay the same down a series. peak: of the whole process, as the system saw it."
    )
    return Table(columns, rows, [note])


def _update(request: tuple[Config, MeasureConfig, Lengths]) -> Row:
    """In a process of its own: memory and time of updates of this size."""
    config, measure, (source, target) = request
    runtime = Runtime.resolve(config, training=True)
    short = dataclasses.replace(measure, source_length=1, target_length=1)
    training = Training(config, Material.make(config, short), runtime)
    sized = dataclasses.replace(measure, source_length=source - 1, target_length=target - 1)  # the end is a piece too
    pairs = random_pairs(training.material.tokenizers, ROWS, sized, config.seed)
    batch = collate(pairs, range(ROWS), training.material.tokenizers)
    spent = []
    for _ in range(measure.repeats + 1):
        start = time.perf_counter()
        training.updater.update([batch], training.updates)
        runtime.synchronize()
        spent.append(1000 * (time.perf_counter() - start))
    return {
        "peak_bytes": peak_bytes(runtime),
        "kept_bytes": _kept_bytes(training.model, batch, runtime),
        "milliseconds": Spread.of(spent[1:]),
    }


def _kept_bytes(model: Seq2Seq, batch: Batch, runtime: Runtime) -> int:
    """Of the tensors that the forward pass saves for the backward pass, weights aside."""
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model.train()
    with runtime.autocast(), saved_tensors_hooks(pack, lambda tensor: tensor):
        saved = predict(model, batch.to(runtime.device))  # held, so that no place in memory is used twice
    del saved
    return sum(size for place, size in kept.items() if place not in weights)
