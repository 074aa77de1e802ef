"""Speed, floor and memory of one model, or of several side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from seq2seq.benchmark.bench import Bench, Column, Row, Table, with_parts
from seq2seq.benchmark.child import alone
from seq2seq.benchmark.floor import Floor
from seq2seq.benchmark.material import Material
from seq2seq.benchmark.options import MeasureConfig
from seq2seq.benchmark.plain import plain_paths
from seq2seq.benchmark.rounds import in_turn, interleaved
from seq2seq.benchmark.training import Training
from seq2seq.benchmark.translating import Translating
from seq2seq.config import Config
from seq2seq.models.weights import parameters
from seq2seq.runtime import Runtime

Switch = Callable[[], AbstractContextManager[object]]  # gives what a model is run in, such as plainer code

NOTES = (
    "training: real target tokens a second, padding not counted, of real updates. floor: tokens/s if the model's "
    "matrix products, forward and backward, were all there is, at the faster of square (GFLOP/s of a large square "
    "product) and own (of the model's largest). share: training over floor.",
    "peak: resident memory (on a GPU, allocated) of a process that only trains. beam: sentences/s, from text to text.",
)


@dataclass(frozen=True)
class Subject:
    """A row: a model, and the code path that it is run on."""

    name: str
    config: Config
    switch: Switch = nullcontext


def one(bench: Bench) -> Table:
    """The model of the command line."""
    config = bench.config
    parts = [f"{group}={getattr(config, group).name}" for group in ("encoder", "attention", "decoder")]
    fed = ["decoder.input_feeding=true"] if config.decoder.feeds_input else []
    return side_by_side(bench, [Subject(" ".join([*parts, *fed]), config)])


def models(bench: Bench) -> Table:
    """The three attention models that toolkits are compared by, and a Transformer."""
    readout = 2 * bench.config.embedding_size

    def rnn(cell: str, attention: str, **options: Any) -> dict[str, Any]:
        decoder = {"name": cell, "readout_size": readout, **options}
        return {"encoder": cell, "attention": attention, "decoder": decoder}

    parts: dict[str, dict[str, Any]] = {
        "LSTM, Luong general": rnn("lstm", "luong_general"),
        "LSTM, Luong general, input feeding": rnn("lstm", "luong_general", input_feeding=True),
        "GRU, Bahdanau": rnn("gru", "bahdanau"),
        "Transformer": {"encoder": "transformer", "attention": "multi_head", "decoder": "transformer"},
    }
    return side_by_side(bench, [Subject(name, with_parts(bench.config, part)) for name, part in parts.items()])


# The code paths of compare=plain: a name, and what gives a context in which the models take that path.
PATHS: dict[str, Switch] = {"fast": nullcontext, "plain": plain_paths}


def plain(bench: Bench) -> Table:
    """The command line's model on each code path."""
    return side_by_side(bench, [Subject(name, bench.config, switch) for name, switch in PATHS.items()])


def side_by_side(bench: Bench, subjects: list[Subject]) -> Table:
    """Training, memory and translation of each: memory in processes of their own, speed in this one."""
    measure, beams = bench.measure, bench.options.beams([1, 5])
    precisions = {"precision": bench.runtime.precision, "translate_precision": bench.translate_precision}
    works = [(subject.name, _Work(bench, subject)) for subject in subjects]
    rows: dict[str, Row] = {name: {"name": name, **precisions} for name, _ in works}
    memory = in_turn("memory", [(name, work.peak_bytes) for name, work in works])
    for (name, _), peak in zip(works, memory, strict=True):
        rows[name]["peak_bytes"] = peak
    in_turn("warm-up", [(name, work.warm_up) for name, work in works])
    trained = interleaved("training", {name: work.sample for name, work in works}, measure.repeats)
    for name, work in works:
        rows[name] |= {**trained[name], **work.facts()}
    for beam in beams:
        translated = interleaved(
            f"beam {beam}", {name: work.translating(beam) for name, work in works}, measure.repeats
        )
        for name, numbers in translated.items():
            rows[name][f"beam_{beam}"] = numbers["sentences_per_second"]
    columns = [
        Column("name", "model"),
        Column("parameters", "parameters", ",.0f"),
        Column("tokens_per_second", f"training, {bench.runtime.precision}", ",.0f"),
        Column("floor_tokens_per_second", "floor", ",.0f"),
        Column("share", "share %", ".1f", 0.01),
        Column("flops_per_token", "MFLOP/token", ",.1f", 1e6),
        Column("square_gflops", "square", ",.0f"),
        Column("own_gflops", "own", ",.0f"),
        Column("peak_bytes", "peak MiB", ",.0f", 2**20),
        *(Column(f"beam_{beam}", f"beam {beam}, {bench.translate_precision}", ",.1f") for beam in beams),
    ]
    return Table(columns, list(rows.values()), NOTES)


class _Work:
    """The measurements of one subject."""

    def __init__(self, bench: Bench, subject: Subject) -> None:
        self.bench, self.subject = bench, subject

    def peak_bytes(self) -> int:
        request = (self.subject.config, self.bench.measure, self.subject.switch)
        return alone(_peak_bytes, request, self.subject.name)

    def warm_up(self) -> None:
        bench = self.bench
        with self.subject.switch():
            self.training = Training(self.subject.config, bench.material, bench.runtime)
            self.floor = Floor(self.training.model, self.training.first(), bench.runtime, bench.square)
            self.training.run(bench.measure.warmup)

    def sample(self) -> dict[str, float]:
        with self.subject.switch():
            stretch = self.training.run(self.bench.measure.updates)
        floor = self.floor.sample()
        rate = stretch.tokens / stretch.seconds
        return {"tokens_per_second": rate, "share": rate / floor["floor_tokens_per_second"], **floor}

    def facts(self) -> Row:
        return {"parameters": parameters(self.training.model), "flops_per_token": self.floor.flops_per_token}

    def translating(self, beam: int) -> Callable[[], dict[str, float]]:
        bench, config = self.bench, self.subject.config
        lines = bench.material.lines.source[: bench.measure.sentences]
        with self.subject.switch():
            translator = bench.material.translator(config, bench.measure.translate_precision, {"beam_size": beam})
            translating = Translating(translator, lines, config.trainer.translate_batch)

        def sample() -> dict[str, float]:
            with self.subject.switch():
                return translating.sample()

        return sample


def _peak_bytes(request: tuple[Config, MeasureConfig, Switch]) -> int:
    """In a process of its own."""
    config, measure, switch = request
    runtime = Runtime.resolve(config, training=True)
    with switch():
        return Training(config, Material.make(config, measure), runtime).peak_bytes(measure.warmup + 1)
