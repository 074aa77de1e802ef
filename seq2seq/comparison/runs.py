"""Finished runs, and translations from elsewhere, compared on one test set."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.comparison.comparison import Comparison
from seq2seq.comparison.finished import FinishedRun, find_runs
from seq2seq.comparison.names import MINOR, differing, named
from seq2seq.comparison.options import CompareConfig
from seq2seq.comparison.recipes import recipe_names, recipe_row, recipes
from seq2seq.comparison.views import by_recipe, by_run
from seq2seq.data.lines import read_lines
from seq2seq.errors import CheckpointError, ConfigError, DataError
from seq2seq.evaluation.metrics import bleu_by_length, check_memory, paired_p, score_texts, with_changes
from seq2seq.evaluation.translated import Translated
from seq2seq.options import MetricConfig
from seq2seq.outputs import make_folder
from seq2seq.progress import Progress
from seq2seq.schema import show

LOGGER = logging.getLogger("seq2seq")
Row = dict[str, Any]


class System(NamedTuple):
    """A row: translations of the test set, and what is known of whoever made them."""

    name: str
    hypotheses: list[str]
    facts: Row


def compare_runs(options: CompareConfig) -> Comparison:
    """Scores with intervals, significance against the first, and cost; where there are several seeds, by recipe too.

    Raises:
        CheckpointError, ConfigError, DataError: what can't be compared, before any time is spent.
    """
    runs = find_runs(options.runs())
    translated = _translated(runs, options.test)
    test = translated[0]
    metric = _metric(runs, options.metric)
    systems = [*_of_runs(runs, translated), *_of_files(options.hypothesis, test)]
    _refuse_twice([system.name for system in systems])
    check_memory(len(test.references), options.resamples)
    if options.folder is not None:
        make_folder("folder", Path(options.folder))
    rows = _rows(systems, test, metric, options)
    results = {
        "test": test.name,
        "sentences": len(test.references),
        "metric": dataclasses.asdict(metric),
        "significance": {"test": options.significance, "samples": options.samples, "against": rows[0]["name"]},
        "resamples": options.resamples,
        "seed": options.seed,
        "rows": rows,
    }
    tables = [by_run(results)]
    if options.group == "seed" and (means := _recipes(runs, rows, options.seed)):
        results["recipes"] = means
        tables.append(by_recipe(means))
    comparison = Comparison(results, tables)
    if options.folder is not None:
        comparison.write(Path(options.folder))
        LOGGER.info("written: %s and table.json", Path(options.folder) / "table.md")
    return comparison


def _translated(runs: Sequence[FinishedRun], name: str | None) -> list[Translated]:
    """One test set as each run translated it, the first one of the first run by default."""
    first = runs[0]
    if not first.tests:
        raise CheckpointError(f"run={first.path} was scored on no test set; train it with data.test=PREFIX")
    name = name or first.tests[0]
    translated = [run.translated(name) for run in runs]
    for run, of_run in zip(runs, translated, strict=True):
        for part, expected, found in (
            ("source", translated[0].sources, of_run.sources),
            ("reference", translated[0].references, of_run.references),
        ):
            if expected != found:
                raise DataError(
                    f"run={run.path} and run={first.path} were scored on different test sets {name}: "
                    f"{_first_difference(part, found, expected)}; compare runs with the same one, or set test=NAME"
                )
    return translated


def _first_difference(part: str, found: Sequence[str], expected: Sequence[str]) -> str:
    if len(found) != len(expected):
        return f"the {part} has {len(found):,} lines and {len(expected):,}"
    line = next(i for i, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other)
    return f"line {line + 1} of the {part} is {show(found[line], quoted=True)} and {show(expected[line], quoted=True)}"


def _metric(runs: Sequence[FinishedRun], changes: Mapping[str, Any]) -> MetricConfig:
    """What all runs were scored with, or what the command line says."""
    metric = with_changes(runs[0].config.metric, changes)
    for run in runs[1:]:
        for key, value in dataclasses.asdict(with_changes(run.config.metric, changes)).items():
            if value != (first := getattr(metric, key)):
                raise ConfigError(
                    f"run={runs[0].path} was scored with metric.{key}={show(first)} and run={run.path} with "
                    f"{show(value)}; set metric.{key} here, to score all alike"
                )
    return metric


def _of_runs(runs: Sequence[FinishedRun], translated: Sequence[Translated]) -> list[System]:
    told = zip(runs, translated, named(runs), differing([run.config for run in runs], MINOR), strict=True)
    return [
        System(
            name,
            test.hypotheses,
            {"folder": str(run.path), "options": options, "seed": run.config.seed, **run.facts(test.name)},
        )
        for run, test, name, options in told
    ]


def _of_files(files: Mapping[str, str], test: Translated) -> list[System]:
    systems = [System(name, read_lines(Path(file)), {"file": file}) for name, file in files.items()]
    for system in systems:
        if len(system.hypotheses) != len(test.references):
            raise DataError(
                f"hypothesis.{system.name}: {system.facts['file']} has {len(system.hypotheses):,} lines, and the test "
                f"set {test.name} {len(test.references):,}; they must be aligned"
            )
    return systems


def _refuse_twice(names: Sequence[str]) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ConfigError(f"hypothesis.{name} has the name of a run; give it another one")


def _rows(systems: Sequence[System], test: Translated, metric: MetricConfig, options: CompareConfig) -> list[Row]:
    rows, references, baseline = [], [test.references], systems[0].hypotheses
    with Progress("compare", len(systems), "systems", every=10.0) as bar:
        for system in systems:
            lines = system.hypotheses
            scores = score_texts(lines, references, metric, ter=True, resamples=options.resamples, seed=options.seed)
            if options.significance != "none" and system is not systems[0]:
                found = paired_p(
                    baseline, lines, references, metric, options.significance, options.samples, options.seed
                )
                scores |= {f"{name}_p": p for name, p in found.items()}
            lengths = bleu_by_length(test.sources, lines, test.references, options.lengths, metric)
            rows.append({"name": system.name, **system.facts, **scores, "bleu_by_length": lengths})
            bar.update(1)
            if bar.due:
                bar.say(f"compare: {bar.done} of {len(systems)} scored and tested", system.name)
    return rows


def _recipes(runs: Sequence[FinishedRun], rows: Sequence[Row], seed: int) -> list[Row]:
    """A row for each recipe, and behind them those of files; none where no recipe has several seeds."""
    groups = recipes(runs)
    if len(groups) == len(runs):
        return []
    names = recipe_names(runs, [row["name"] for row in rows], groups)
    members = [[rows[i] for i in group] for group in groups] + [[row] for row in rows[len(runs) :]]
    names += [row["name"] for row in rows[len(runs) :]]
    return [recipe_row(name, some, members[0], seed) for name, some in zip(names, members, strict=True)]
