"""What an update costs under each objective."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from seq2seq.benchmark.bench import Bench, Column, Table, with_parts
from seq2seq.benchmark.rounds import in_turn, interleaved
from seq2seq.benchmark.training import Training
from seq2seq.errors import ConfigError

LOGGER = logging.getLogger("seq2seq")

# Rows of compare=objectives: a name, and the objective's options. The first is what the others are compared with.
OBJECTIVES: dict[str, dict[str, Any]] = {
    "cross_entropy": {"name": "cross_entropy"},
    "r_drop": {"name": "r_drop"},
    "scheduled_sampling": {"name": "scheduled_sampling"},
    "minimum_risk, 5 samples": {"name": "minimum_risk", "samples": 5},
    "minimum_risk, 20 samples": {"name": "minimum_risk", "samples": 20},
}


def objectives(bench: Bench) -> Table:
    """A run's model trained further under each: a fresh one's samples would have the lengths of chance."""
    config, measure = bench.config, bench.measure
    trainings: dict[str, Training] = {}
    for name, options in OBJECTIVES.items():
        try:
            parts = with_parts(config, {"objective": options, "init": config.run})
        except ConfigError as error:  # such as an attention with a loss of its own, for which samples are no references
            LOGGER.info("left out: %s: %s", name, error)
            continue
        trainings[name] = Training(parts, bench.material, bench.runtime, model=bench.material.trained())
    in_turn("warm-up", [(name, partial(training.run, measure.warmup)) for name, training in trainings.items()])

    def sample(training: Training) -> dict[str, float]:
        stretch = training.run(measure.updates)
        return {
            "tokens_per_second": stretch.tokens / stretch.seconds,
            "milliseconds": 1000 * stretch.seconds / measure.updates,
        }

    works = {name: partial(sample, training) for name, training in trainings.items()}
    found = interleaved("training", works, measure.repeats)
    first = next(iter(found.values()))["milliseconds"].median
    rows = [
        {
            "name": name,
            "precision": bench.runtime.precision,
            "times": numbers["milliseconds"].median / first,
            **numbers,
        }
        for name, numbers in found.items()
    ]
    columns = [
        Column("name", "objective"),
        Column("precision", "precision"),
        Column("tokens_per_second", "tokens/s", ",.0f"),
        Column("milliseconds", "ms/update", ",.0f"),
        Column("times", "times the first", ",.2f"),
    ]
    return Table(columns, rows)
