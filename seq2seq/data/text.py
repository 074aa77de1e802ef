"""Parallel text: the small ones whole, the training text as a description of files that are streamed."""

from __future__ import annotations

import random
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from seq2seq.data.lines import LineReader, decode_lines, read_lines, side_path
from seq2seq.errors import DataError
from seq2seq.progress import Progress


@dataclass(frozen=True)
class ParallelText:
    """Line i of `source` is translated by line i of `target`; `files` are those it was read from."""

    name: str
    source: list[str]
    target: list[str]
    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class TrainingText:
    """What is known of the training text without holding it: a pair i is line i of all sources, one after the other.

    Its length counts the pairs to train on: blank ones and those held out are none of them.
    """

    files: tuple[tuple[Path, Path], ...]  # of each prefix, source and target
    lines: int  # pairs in the files, of whatever kind
    blank: int  # pairs with a blank side
    size: int  # bytes of both sides, unpacked
    stamps: tuple[tuple[int, int], ...]  # sizes and times of the files when they were read
    held_out: tuple[int, ...] = ()  # ascending

    def __len__(self) -> int:
        return self.lines - self.blank - len(self.held_out)

    def blocks(self) -> Iterator[Block]:
        """The text in order, in blocks of some 20,000 pairs."""
        return read_blocks(self.files, self.held_out)

    def pairs(self) -> Iterator[tuple[list[str], list[str]]]:
        """Sources and targets of the pairs to train on, block by block."""
        return (block.pairs() for block in self.blocks())

    def check_unchanged(self) -> None:
        """DataError where a file isn't any more what it was when it was read."""
        paths = [path for files in self.files for path in files]
        for path, stamp, now in zip(paths, self.stamps, _stamps(paths), strict=True):
            if stamp != now:
                raise DataError(f"{path} has changed while it was read; start again when it stays as it is")


class Block(NamedTuple):
    """Some lines of both sides, as they lie in the files."""

    source: bytes
    target: bytes
    files: tuple[Path, Path]
    line: int  # the number of the first in its files
    held_out: tuple[int, ...]  # counted from the first, which is 0

    def lines(self) -> tuple[list[str], list[str]]:
        """All lines; DataError where they aren't UTF-8."""
        return decode_lines(self.source, self.files[0], self.line), decode_lines(self.target, self.files[1], self.line)

    def pairs(self) -> tuple[list[str], list[str]]:
        """The pairs to train on."""
        sources, targets = self.lines()
        dropped = {*_blank(sources, targets), *self.held_out}
        return _without(sources, dropped), _without(targets, dropped)


class Survey(NamedTuple):
    """What one pass over the training text finds."""

    text: TrainingText
    blank: array[int]  # numbers of the pairs with a blank side
    seen: set[str]  # of the known lines, those that occur among the sources


def survey(prefixes: Sequence[str], source: str, target: str, known: set[str]) -> Survey:
    """Reads all of the training text once and checks it.

    DataError where a file can't be read or isn't UTF-8, the sides of a prefix differ in length, or no pair has text on
    both sides.
    """
    files = tuple((side_path(prefix, source), side_path(prefix, target)) for prefix in prefixes)
    stamps = _stamps([path for pair in files for path in pair])
    blank, seen, size = array("q"), set[str](), 0
    with Progress("read", None, "pairs", every=10.0) as bar:
        for block in read_blocks(files):
            sources, targets = block.lines()
            dropped = _blank(sources, targets)
            blank.extend(bar.done + i for i in dropped)
            if known:
                seen |= known.intersection(_without(sources, set(dropped)))
            size += len(block.source) + len(block.target)
            bar.update(len(sources))
            if bar.due:
                bar.say(f"read {bar.done:,} training pairs")
        lines = bar.done
    if len(blank) == lines:
        names = ", ".join(str(path) for pair in files for path in pair)
        raise DataError(f"train: no line has text on both sides in {names}")
    return Survey(TrainingText(files, lines, len(blank), size, stamps), blank, seen)


def hold_out(found: Survey, count: int, seed: int) -> tuple[TrainingText, ParallelText]:
    """Takes `count` pairs out of the training text by chance (by `seed`, always the same), as "valid".

    DataError where nothing would be left to train on.
    """
    text, blank = found.text, found.blank
    if count >= len(text):
        raise DataError(
            f"data.valid_split={count} leaves nothing to train on: train has {len(text)} pairs; "
            "set a smaller data.valid_split"
        )
    numbers, skipped = [], 0  # of the pairs drawn, and how many blank ones come before
    for drawn in sorted(random.Random(seed).sample(range(len(text)), count)):
        while skipped < len(blank) and blank[skipped] <= drawn + skipped:
            skipped += 1
        numbers.append(drawn + skipped)
    text = replace(text, held_out=tuple(numbers))
    valid = ParallelText("valid", [], [], tuple(path for files in text.files for path in files))
    for block in text.blocks():
        if block.held_out:
            for side, lines in zip((valid.source, valid.target), block.lines(), strict=True):
                side += [lines[i] for i in block.held_out]
    return text, valid


def read_parallel(prefix: str, source: str, target: str, name: str) -> ParallelText:
    """Reads both sides of a prefix, in the languages `source` and `target`.

    DataError where they differ in length, or no pair has text on both.
    """
    files = (side_path(prefix, source), side_path(prefix, target))
    sources, targets = read_lines(files[0]), read_lines(files[1])
    if len(sources) != len(targets):
        raise _unequal(files, len(sources), len(targets))
    if len(_blank(sources, targets)) == len(sources):
        raise DataError(f"{name}: no line has text on both sides in {files[0]}, {files[1]}")
    return ParallelText(name, sources, targets, files)


def overlap(sources: Iterable[str], seen: set[str]) -> int:
    """How many of the lines are among those seen; blank lines don't count."""
    return sum(line in seen for line in sources if line.strip())


def read_blocks(files: Sequence[tuple[Path, Path]], held_out: Sequence[int] = ()) -> Iterator[Block]:
    """Both sides of these files in order, in blocks of some 20,000 pairs; DataError where a side is longer."""
    pair = 0
    for names in files:
        with LineReader(names[0]) as source, LineReader(names[1]) as target:
            while sources := source.block():
                targets = target.take(len(sources))
                if len(targets) < len(sources):
                    break
                within = held_out[bisect_left(held_out, pair) : bisect_left(held_out, pair + len(sources))]
                first = source.number - len(sources) + 1
                yield Block(b"".join(sources), b"".join(targets), names, first, tuple(i - pair for i in within))
                pair += len(sources)
            if source.count_rest() != target.count_rest():
                raise _unequal(names, source.number, target.number)


def _unequal(files: tuple[Path, Path], sources: int, targets: int) -> DataError:
    return DataError(
        f"{files[0]} has {sources} lines but {files[1]} has {targets}; line i of one must be the translation of line i "
        "of the other"
    )


def _blank(sources: Sequence[str], targets: Sequence[str]) -> list[int]:
    """Where a side is blank."""
    pairs = enumerate(zip(sources, targets, strict=True))
    return [i for i, (s, t) in pairs if not s or not t or s.isspace() or t.isspace()]


def _without(lines: list[str], dropped: set[int]) -> list[str]:
    return [line for i, line in enumerate(lines) if i not in dropped] if dropped else lines


def _stamps(paths: Sequence[Path]) -> tuple[tuple[int, int], ...]:
    try:
        states = [path.stat() for path in paths]
    except OSError as error:
        raise DataError(f"{error.filename}: can't be read: {error.strerror}") from error
    return tuple((state.st_size, state.st_mtime_ns) for state in states)
