"""What a precision gives and costs: speed and losses of training; speed, BLEU and changed lines of translation."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial

from seq2seq.benchmark.bench import Bench, Column, Row, Table
from seq2seq.benchmark.rounds import interleaved
from seq2seq.benchmark.training import Training
from seq2seq.benchmark.translating import TRANSLATED, Kind, compared
from seq2seq.errors import ConfigError
from seq2seq.evaluation.spreading import check_spread
from seq2seq.evaluation.translator import Translator
from seq2seq.options import Precision, RuntimeConfig
from seq2seq.runtime import Runtime

LOGGER = logging.getLogger("seq2seq")

TRAINING: list[Precision] = ["fp32", "bf16"]
TRANSLATION: list[Precision] = ["fp32", "bf16", "int8"]
POINTS = 10  # of a loss curve

COLUMNS = [
    Column("name", "what"),
    Column("precision", "precision"),
    Column("tokens_per_second", "tokens/s", ",.0f"),
    Column("loss", "loss of the last tenth", ".4f"),
    Column("difference", "largest difference from fp32", ".4f"),
    *TRANSLATED,
]


def precision(bench: Bench) -> Table:
    """The same training in each precision; with a run, its translation of the test set in each."""
    rows = []
    check_spread(bench.measure.workers, bench.runtime)
    if bench.config.run is None or bench.config.data.train_prefixes():
        rows += _trained(bench)
    if bench.config.run is not None:
        for beam in bench.options.beams([1, 5]):
            rows += _translated(bench, beam)
    note = (
        "training: the same fresh model, batches and random numbers in every precision; the loss, smoothed, is a mean "
        "over a tenth of the updates, and the difference the largest over all tenths."
    )
    notes = [note] if any("losses" in row for row in rows) else []
    return Table([column for column in COLUMNS if any(column.key in row for row in rows)], rows, notes)


def translating_precisions(bench: Bench) -> list[Precision]:
    """Those that this machine can translate in."""
    return [name for name in TRANSLATION if _can_translate(bench, name)]


def _can_translate(bench: Bench, name: Precision) -> bool:
    try:
        _runtime(bench, name, training=False)
    except ConfigError as error:
        LOGGER.info("left out: %s", error)
        return False
    return True


def _trained(bench: Bench) -> list[Row]:
    measure = bench.measure
    every = max(1, (measure.warmup + measure.repeats * measure.updates) // POINTS)
    trainings = {
        name: Training(bench.config, bench.material, _runtime(bench, name, training=True), every) for name in TRAINING
    }
    for training in trainings.values():
        training.run(measure.warmup)

    def rate(training: Training) -> dict[str, float]:
        stretch = training.run(measure.updates)
        return {"tokens_per_second": stretch.tokens / stretch.seconds}

    works = {name: partial(rate, training) for name, training in trainings.items()}
    speeds = interleaved("training", works, measure.repeats)
    exact = trainings["fp32"].losses
    return [
        {
            "name": "training",
            "precision": name,
            "updates": training.updates,
            "losses": training.losses,
            "loss": training.losses[-1],
            "difference": max(abs(a - b) for a, b in zip(training.losses, exact, strict=True)),
            **speeds[name],
        }
        for name, training in trainings.items()
    ]


def _runtime(bench: Bench, name: Precision, training: bool) -> Runtime:
    config = bench.config
    return Runtime.resolve(RuntimeConfig(config.device, name, config.threads, config.deterministic), training=training)


def _translated(bench: Bench, beam: int) -> list[Row]:
    """Each precision; with benchmark.workers, each spread over these as well."""
    translators = dict[Kind, Translator]()
    with ExitStack() as stack:
        for name in translating_precisions(bench):
            translator = bench.material.translator(bench.config, name, {"beam_size": beam})
            for workers in sorted({0, bench.measure.workers}):
                kind = Kind(f"translation, beam {beam}", name).by(workers)
                translators[kind] = stack.enter_context(translator.spread(workers))
        return compared(bench, f"beam {beam}", translators)
