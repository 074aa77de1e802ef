"""Measuring side by side: every row once, then every row again, so that a noisy moment hits all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from seq2seq.progress import Progress

Sample = Mapping[str, float]  # what one repeat of a row measured
Measurement = Callable[[], Sample]
Result = TypeVar("Result")
Name = TypeVar("Name", bound=str)


class Spread(NamedTuple):
    """What several repeats gave."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


def interleaved(label: str, rows: Mapping[Name, Measurement], repeats: int) -> dict[Name, dict[str, Spread]]:
    """A B C A B C ...: of each row, the spread of all that its samples hold."""
    order = [name for _ in range(repeats) for name in rows]
    samples = in_turn(label, [(name, rows[name]) for name in order])
    return {
        name: {key: Spread.of([sample[key] for sample in samples[i :: len(rows)]]) for key in samples[i]}
        for i, name in enumerate(rows)
    }


def in_turn(label: str, works: Sequence[tuple[str, Callable[[], Result]]]) -> list[Result]:
    """What each work gives, one after the other, with a bar or log lines."""
    results: list[Any] = []
    with Progress(label, len(works), "measurements", every=10.0) as bar:
        for name, work in works:
            results.append(work())
            bar.update(1)
            if bar.due:
                bar.say(f"{label}: {bar.done} of {len(works)} measurements, the last of {name}", name)
    return results
