"""What is done to a corpus's lines: markup off, tokens, pairs that don't fit dropped, every so many-th held out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

from seq2seq.data.lines import LineReader, decode_lines
from seq2seq.errors import DataError
from seq2seq.preparation.options import RecipeConfig

Step = Callable[[str], str]

DROPPED = re.compile("<url>|<talkid>|<keywords>")
TAGS = re.compile("</?(?:title|description)>")
SEGMENT = re.compile(r'<seg id="[^"]*">\s*')
END = re.compile(r"\s*</seg>\s*")


def read_side(path: Path, markup: str) -> Iterator[str]:
    """A file's sentences, without its markup; DataError where it can't be read or isn't UTF-8."""
    with LineReader(path) as reader:
        while block := reader.block():
            lines = decode_lines(b"".join(block), path, reader.number - len(block) + 1)
            yield from MARKUP[markup](lines)


def talks(lines: list[str]) -> Iterator[str]:
    """IWSLT's training text: tagged lines about the talk dropped, titles and descriptions kept as sentences."""
    return (TAGS.sub("", line).strip() for line in lines if not DROPPED.search(line))


def segments(lines: list[str]) -> Iterator[str]:
    """The sentences of NIST's SGML and IWSLT's XML, one <seg> a line, and nothing else."""
    return (END.sub("", SEGMENT.sub("", line)).strip() for line in lines if "<seg id" in line)


def straight_segments(lines: list[str]) -> Iterator[str]:
    """With straight apostrophes, as fairseq's prepare-iwslt14.sh has them."""
    return (line.replace("’", "'") for line in segments(lines))


MARKUP: dict[str, Callable[[list[str]], Iterator[str]]] = {
    "lines": iter,
    "talks": talks,
    "segments": segments,
    "straight_segments": straight_segments,
}


def pair_up(files: tuple[Path, Path], markup: str) -> Iterator[tuple[str, str]]:
    """Sentences of both files; DataError where one has more of them than the other."""
    sides = [read_side(path, markup) for path in files]
    for number, (source, target) in enumerate(zip_longest(*sides), start=1):
        if source is None or target is None:
            short, long = files if source is None else files[::-1]
            raise DataError(f"{short} has {number - 1:,} sentences, but {long} has more; sentence i of one must be the "
                            "translation of sentence i of the other")  # fmt: skip
        yield source, target


class Cleaning:
    """Which training pairs to keep, as Moses' clean-corpus-n.perl has it: neither side empty, too long or too short."""

    def __init__(self, recipe: RecipeConfig, tokenizers: tuple[Step, Step]) -> None:
        self.longest, self.ratio = recipe.longest, recipe.ratio
        self.tokenizers = tokenizers

    @property
    def off(self) -> bool:
        return self.longest is None and self.ratio is None

    def keeps(self, source: str, target: str) -> bool:
        if self.off:
            return True
        tokenize_source, tokenize_target = self.tokenizers
        fewer, more = sorted((len(tokenize_source(source).split()), len(tokenize_target(target).split())))
        return (
            fewer > 0
            and (self.longest is None or more <= self.longest)
            and (self.ratio is None or more / fewer <= self.ratio)
        )
