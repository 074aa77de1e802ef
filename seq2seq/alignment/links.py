"""Word alignments of sentence pairs in Pharaoh's notation: `0-0 1-2 2-1`, source word and target word of each link."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from seq2seq.data.lines import read_lines
from seq2seq.errors import DataError

Link = tuple[int, int]  # a word of the source and one of the target, counted from 0
Links = frozenset[Link]  # the alignment of one sentence pair
Base = Literal[0, 1]  # the number of a sentence's first word
Parsed = TypeVar("Parsed")

SURE = re.compile(r"(\d{1,6})-(\d{1,6})", re.ASCII)
POSSIBLE = re.compile(r"(\d{1,6})(?:[?p](\d{1,6})|-(\d{1,6})\?)", re.ASCII)


class Gold(NamedTuple):
    """What annotators say of a pair: links that are sure, and all that are possible, the sure ones among them."""

    sure: Links
    possible: Links

    @classmethod
    def parse(cls, line: str, base: Base = 0) -> Gold:
        """`1-1` is sure; `2?3`, `2p3` and `2-3?` are possible. ValueError where a word is neither."""
        sure, possible = set[Link](), set[Link]()
        for word in line.split():
            match = SURE.fullmatch(word)
            if match is not None:
                sure.add(_link(match, base))
                continue
            match = POSSIBLE.fullmatch(word)
            if match is None:
                raise ValueError(f"{word[:40]!r} is no link; sure ones are written 3-4, possible ones 3?4, 3p4 or 3-4?")
            possible.add(_link(match, base))
        return cls(frozenset(sure), frozenset(sure | possible))


def parse(line: str) -> Links:
    """The links of a line; ValueError where a word is none."""
    links = set[Link]()
    for word in line.split():
        match = SURE.fullmatch(word)
        if match is None:
            raise ValueError(f"{word[:40]!r} is no link; they are written 3-4, source word and target word from 0")
        links.add(_link(match, 0))
    return frozenset(links)


def spell(links: Iterable[Link]) -> str:
    """A line without its end, in the order of the source."""
    return " ".join(f"{source}-{target}" for source, target in sorted(links))


def read_alignments(path: Path) -> list[Links]:
    """An alignment a line; DataError with the line's number where one can't be read."""
    return _read(path, parse)


def read_gold(path: Path, base: Base = 0) -> list[Gold]:
    """The same of a gold standard, whose words are counted from `base`."""
    return _read(path, lambda line: Gold.parse(line, base))


def _read(path: Path, parse_line: Callable[[str], Parsed]) -> list[Parsed]:
    alignments = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            alignments.append(parse_line(line))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from None
    return alignments


def _link(match: re.Match[str], base: Base) -> Link:
    source, target = (int(number) - base for number in match.groups() if number is not None)
    if source < 0 or target < 0:
        raise ValueError(f"{match[0]!r} has a word 0, but gold_base=1 counts them from 1; set gold_base=0")
    return source, target
