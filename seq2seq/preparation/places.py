"""Where something was found: how often, and the first few places by file and line."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Any


class Places:
    """Counts, and remembers the numbers of the first `most` pairs."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0
        self.first: list[int] = []

    def add(self, pair: int) -> None:
        self.count += 1
        if len(self.first) < self.most:
            self.first.append(pair)


class Numbering:
    """The file and line of each pair: pairs are numbered from 0 through all files of a text."""

    def __init__(self, files: list[tuple[Path, Path]]) -> None:
        self.files = files
        self.pairs = 0
        self._starts: list[int] = []  # of the files begun so far

    def begin(self, lines: int, first: int) -> int:
        """Counts the next lines, of which line `first` of its file is the first; gives that pair's number."""
        if first == 1:
            self._starts.append(self.pairs)
        self.pairs += lines
        return self.pairs - lines

    def place(self, pair: int, side: int) -> str:
        """FILE:LINE, as editors and compilers write it."""
        file = bisect_right(self._starts, pair) - 1
        return f"{self.files[file][side]}:{pair - self._starts[file] + 1}"

    def report(self, places: Places, side: int) -> dict[str, Any]:
        return {"count": places.count, "where": [self.place(pair, side) for pair in places.first]}
