"""Runs that differ in nothing but their seed, taken together: what a recipe gives, and not what one seed did."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Sequence
from itertools import combinations
from math import comb
from typing import Any

from seq2seq.comparison.comparison import Row
from seq2seq.comparison.finished import FinishedRun
from seq2seq.comparison.names import MINOR, differing, spelled

METRICS = ("bleu", "chrf", "ter")
MEANS = ("exact_match", "parameters", "target_tokens_per_second", "minutes_to_best", "sentences_per_second")
ANY_MACHINE = ("device", "threads", "deterministic")  # change a run by no more than rounding
MOST = 100_000  # ways to share runs out that are all looked at; of more, as many are drawn


def recipes(runs: Sequence[FinishedRun]) -> list[list[int]]:
    """The places of runs that are the same but for their seed; recipes in the order of their first runs."""
    groups: dict[str, list[int]] = {}
    for i, options in enumerate(differing([run.config for run in runs], ("seed", *ANY_MACHINE))):
        groups.setdefault(repr(options), []).append(i)
    return list(groups.values())


def recipe_names(runs: Sequence[FinishedRun], names: Sequence[str], groups: Sequence[Sequence[int]]) -> list[str]:
    """The options that tell recipes apart, or the names of their runs where options don't."""
    found = spelled(differing([runs[group[0]].config for group in groups], ("seed", *MINOR)))
    if len(set(found)) == len(found) and all(found):
        return found
    return [", ".join(names[i] for i in group) for group in groups]


def recipe_row(name: str, rows: Sequence[Row], first: Sequence[Row], seed: int) -> dict[str, Any]:
    """Means over the runs of a recipe, their standard deviations, and p against the runs of the `first` recipe."""
    row: dict[str, Any] = {
        "name": name,
        "runs": [run["name"] for run in rows],
        "seeds": [run.get("seed") for run in rows],
    }
    for metric in METRICS:
        scores = [run[metric] for run in rows]
        row[metric] = round(statistics.fmean(scores), 4)
        if len(scores) > 1:
            row[f"{metric}_deviation"] = round(statistics.stdev(scores), 4)
        if rows is not first and min(len(rows), len(first)) > 1:
            row[f"{metric}_p"] = round(permutation_p([run[metric] for run in first], scores, seed), 6)
    for key in MEANS:
        row[key] = _mean(run.get(key) for run in rows)
    lengths = dict.fromkeys(group for run in rows for group in run["bleu_by_length"])
    row["bleu_by_length"] = {group: _mean(run["bleu_by_length"].get(group) for run in rows) for group in lengths}
    return row


def permutation_p(first: Sequence[float], second: Sequence[float], seed: int = 1) -> float:
    """The share of ways to share these numbers out whose means are at least as far apart: Fisher and Pitman's test.

    It asks whether other seeds would show the difference as well. Beyond MOST ways, as many are drawn at random.
    """
    values, size = [*first, *second], len(first)
    whole, count = sum(values), len(values)

    def apart(chosen: Iterable[int]) -> float:
        part = sum(values[i] for i in chosen)
        return abs(part / size - (whole - part) / (count - size))

    observed = apart(range(size)) - 1e-9  # so that rounding doesn't tell the observed one from itself
    if comb(count, size) <= MOST:
        distances = [apart(chosen) for chosen in combinations(range(count), size)]
        return sum(distance >= observed for distance in distances) / len(distances)
    generator = random.Random(seed)
    hits = sum(apart(generator.sample(range(count), size)) >= observed for _ in range(MOST))
    return (hits + 1) / (MOST + 1)


def least_p(first: int, second: int) -> float:
    """What `permutation_p` can't be below: the runs as they are count, and with sides of one size swapped ones too."""
    return (2 if first == second else 1) / comb(first + second, first)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.fmean(known), 4) if known else None
