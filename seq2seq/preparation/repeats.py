"""Lines that occur again, known by 64-bit hashes: twelve bytes a line, whatever its length."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from seq2seq.preparation.places import Places

BUCKETS = 256


class Repeats:
    """Which lines of a text are equal to an earlier one.

    Two different lines of n have the same hash with probability n^2 / 2^65: one in a million with six million lines.
    """

    def __init__(self) -> None:
        self._buckets = [(array("q"), array("I")) for _ in range(BUCKETS)]

    def add(self, pair: int, key: int) -> None:
        hashes, pairs = self._buckets[key % BUCKETS]
        hashes.append(key)
        pairs.append(pair)

    def found(self, most: int) -> Places:
        """The pairs whose line has occurred before, the first ones by number."""
        again = sorted(pair for bucket in self._buckets for pair in _again(*bucket))
        places = Places(most)
        for pair in again:
            places.add(pair)
        return places

    def keys(self) -> set[int]:
        return {key for hashes, _ in self._buckets for key in hashes}

    def within(self, keys: set[int], most: int) -> Places:
        """The pairs whose line has one of these hashes."""
        places = Places(most)
        for pair in sorted(pair for bucket in self._buckets for key, pair in zip(*bucket, strict=True) if key in keys):
            places.add(pair)
        return places


def _again(hashes: Sequence[int], pairs: Sequence[int]) -> Iterator[int]:
    seen: set[int] = set()
    for key, pair in zip(hashes, pairs, strict=True):
        if key in seen:
            yield pair
        seen.add(key)


class Kinds:
    """Repeats of pairs, of sources and of targets; and what of them occurs in a later text."""

    NAMES = ("pairs", "sources", "targets")
    SIDES = (0, 0, 1)  # whose file and line are told

    def __init__(self) -> None:
        self.repeats = [Repeats() for _ in self.NAMES]
        self._keys: list[set[int]] = []
        self._hits: list[set[int]] = [set() for _ in self.NAMES]

    def add(self, pair: int, keys: Sequence[int]) -> None:
        for repeats, key in zip(self.repeats, keys, strict=True):
            repeats.add(pair, key)

    def close(self) -> None:
        """The text is over: from now on `meet` looks for it in others."""
        self._keys = [repeats.keys() for repeats in self.repeats]

    def meet(self, columns: Sequence[Sequence[int]]) -> None:
        """Some pairs of another text: their keys, kind by kind."""
        for hits, known, keys in zip(self._hits, self._keys, columns, strict=True):
            hits |= known.intersection(keys)

    def met(self, most: int) -> list[Places]:
        """The pairs of this text that were met in the other; the next other one begins anew."""
        places = [repeats.within(hits, most) for repeats, hits in zip(self.repeats, self._hits, strict=True)]
        self._hits = [set() for _ in self.NAMES]
        return places


def keys_of(source: str, target: str) -> tuple[int, int, int]:
    """Hashes of a pair and of its sides, of this process alone: Python draws the function anew for each."""
    return hash((source, target)), hash(source), hash(target)
