"""benchmark.py: the modes by name, their results as plain data, and the table of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from textwrap import wrap
from typing import Any

from seq2seq.benchmark.bench import Bench, Column, Table
from seq2seq.benchmark.latency import latency
from seq2seq.benchmark.machine import machine
from seq2seq.benchmark.models import models, one, plain
from seq2seq.benchmark.objectives import objectives
from seq2seq.benchmark.options import BenchmarkConfig, Comparison
from seq2seq.benchmark.precision import precision
from seq2seq.benchmark.rounds import Spread
from seq2seq.benchmark.scaling import beams, corpus, lengths
from seq2seq.benchmark.search import search
from seq2seq.outputs import check_outputs, write_results
from seq2seq.runtime import Runtime
from seq2seq.tables import aligned

MODES: dict[Comparison | None, Callable[[Bench], Table]] = {
    None: one,
    "models": models,
    "precision": precision,
    "plain": plain,
    "objectives": objectives,
    "search": search,
    "beams": beams,
    "corpus": corpus,
    "lengths": lengths,
    "latency": latency,
}


def benchmark(options: BenchmarkConfig) -> dict[str, Any]:
    """The figures of one mode, as plain data; also written to options.output where that is set.

    Raises:
        ConfigError, DataError, CheckpointError, TrainingError: as train.py and translate.py do.
    """
    check_outputs({"output": options.output})
    bench = Bench(options, Runtime.resolve(options.config, training=True))
    table = MODES[options.compare](bench)
    results = {
        "compare": options.compare,
        "machine": machine(bench.runtime),
        "columns": [column._asdict() for column in table.columns],
        "rows": [{key: _plain(value) for key, value in row.items()} for row in table.rows],
        "notes": list(table.notes),
        "measure": vars(options.measure),
        "config": bench.config.to_dict(),
    }
    if options.output is not None:
        write_results("output", options.output, results)
    return results


def show(results: Mapping[str, Any]) -> str:
    """The table, its columns aligned; a spread is the median and half the range in percent of it."""
    columns = [Column(**column) for column in results["columns"]]
    cells = [[column.title for column in columns]]
    cells += [[_cell(row.get(column.key), column) for column in columns] for row in results["rows"]]
    told = [wrap(text, 120) for text in [*results["notes"], _conditions(results["machine"])]]
    return aligned(cells) + "".join(f"{line}\n" for line in ["", *chain.from_iterable(told)])


def _plain(value: Any) -> Any:
    return value._asdict() if isinstance(value, Spread) else value


def _cell(value: Any, column: Column) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        half = (value["high"] - value["low"]) / 2 / value["median"]
        return f"{_number(value['median'], column)} ±{100 * half:.0f}%"
    return value if isinstance(value, str) else _number(value, column)


def _number(value: float, column: Column) -> str:
    return format(value if column.unit == 1 else value / column.unit, column.format)


def _conditions(facts: Mapping[str, Any]) -> str:
    where = facts["cpu"] if facts["device"] == "cpu" else f"{facts['device']}, {facts['cpu']}"
    return (
        f"{where}, {facts['cores']} cores, threads={facts['threads']}, torch {facts['versions']['torch']}, "
        f"{facts['date']}; medians ± half the range of the repeats"
    )
