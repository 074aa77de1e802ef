"""How long lines are, and how long one side is for the other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from seq2seq.preparation.places import Numbering, Places

STEPS = 16  # of the ratio's histogram to an octave: quantiles are exact to 2 %
SHORT = 20  # characters: of shorter pairs, "Ja." and "Yes, it is.", no ratio stands out
QUANTILES = (0.01, 0.5, 0.99)
BARS = 12  # lines of a histogram


class Lengths:
    """Lengths of one side's lines in one unit, blank lines not counted."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self._longest = (0, 0)  # length and pair

    def add(self, length: int, pair: int) -> None:
        self.counts[length] += 1
        if length > self._longest[0]:
            self._longest = (length, pair)

    def report(self, numbering: Numbering, side: int) -> dict[str, Any]:
        lines = max(1, self.counts.total())
        return {
            "mean": round(sum(length * count for length, count in self.counts.items()) / lines, 2),
            "quantiles": {str(share): quantile(self.counts, share) for share in QUANTILES},
            "longest": self._longest[0],
            "longest_at": numbering.place(self._longest[1], side),
        }


class Ratios:
    """Characters of the target to one of the source, in steps on a logarithmic scale."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.counts: Counter[int] = Counter()
        self._places: dict[int, Places] = {}

    def add(self, source: int, target: int, pair: int) -> None:
        step = round(STEPS * math.log2(target / source))
        self.counts[step] += 1
        if max(source, target) >= SHORT:
            self._places.setdefault(step, Places(self.most)).add(pair)

    def report(self, numbering: Numbering, beyond: float) -> dict[str, Any]:
        """Quantiles, and the pairs whose ratio is more than `beyond` times above or below the median."""
        median = quantile(self.counts, 0.5)
        outside = {
            step: places for step, places in self._places.items() if abs(step - median) > STEPS * math.log2(beyond)
        }
        places = Places(self.most)
        for pair in sorted(pair for found in outside.values() for pair in found.first):
            places.add(pair)
        places.count = sum(found.count for found in outside.values())
        shares = {str(share): round(2 ** (quantile(self.counts, share) / STEPS), 2) for share in QUANTILES}
        return {"quantiles": shares, "outside": numbering.report(places, 0)}


def quantile(counts: Mapping[int, int], share: float) -> int:
    """The smallest number that at least this share of all don't exceed; 0 of none."""
    total, below = sum(counts.values()), 0
    for number, count in sorted(counts.items()):
        below += count
        if below >= share * total:
            return number
    return 0


def histogram(sides: tuple[Mapping[int, int], Mapping[int, int]]) -> list[dict[str, Any]]:
    """Both sides' lengths in at most BARS groups of one width, the last of which takes all that are longer."""
    usual = max(quantile(side, 0.99) for side in sides)
    width = next(step for step in _round_numbers() if usual <= step * (BARS - 1))
    last = (BARS - 1) * width + 1
    groups: list[dict[str, Any]] = []
    for first in range(1, last + 1, width):
        end = None if first == last else first + width - 1
        source, target = (_within(side, first, end) for side in sides)
        groups.append({"from": first, "to": end, "source": source, "target": target})
    while not groups[-1]["source"] and not groups[-1]["target"]:
        groups.pop()
    return groups


def _within(counts: Mapping[int, int], first: int, end: int | None) -> int:
    return sum(count for length, count in counts.items() if length >= first and (end is None or length <= end))


def _round_numbers() -> Iterator[int]:
    """1, 2, 5, 10, 20, 50, ..."""
    return (digit * 10**power for power in range(20) for digit in (1, 2, 5))
