"""Where translate.py's lines go, and what an earlier run left there."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

from seq2seq.errors import ConfigError
from seq2seq.evaluation.item import Line

LOGGER = logging.getLogger("seq2seq")
BLOCK = 1 << 20  # bytes that are written or counted at a time


class Written(NamedTuple):
    """What an earlier run left in the output: how many complete lines, their bytes, and whether a torn one follows."""

    name: str = "-"
    lines: int = 0
    size: int | None = None  # None: there is no such file
    torn: bool = False

    @classmethod
    def of(cls, name: str) -> Written:
        """Reads the file once; ConfigError where it can't."""
        lines = size = place = 0
        if Path(name).exists() and not Path(name).is_file():
            raise ConfigError(f"output={name} is no file whose lines resume=true could count; leave resume out")
        try:
            with Path(name).open("rb") as file:
                while block := file.read(BLOCK):
                    lines += block.count(b"\n")
                    size = place + block.rfind(b"\n") + 1 if b"\n" in block else size
                    place += len(block)
        except FileNotFoundError:
            return cls(name)
        except OSError as error:
            raise ConfigError(f"output={name}: {error.strerror}") from error
        return cls(name, lines, size, place > size)

    def skip(self, chunks: Iterator[list[Line]]) -> Iterator[list[Line]]:
        """The chunks with lines still to be translated.

        The first may begin with lines that are in the file. They are translated once more, and not written, so that
        the others have the same lines beside them as without the interruption: then they are the same to the last bit.

        Raises:
            ConfigError: there is more in the file than the input can have given.
        """
        if not self.lines and not self.torn:
            return chunks
        read = 0
        for chunk in chunks:
            read = chunk[-1].number
            if read > self.lines:
                said = "output=%s has %s lines: going on with line %s"
                LOGGER.info(said, self.name, f"{self.lines:,}", f"{self.lines + 1:,}")
                return chain([chunk], chunks)
        if read < self.lines or self.torn:
            raise ConfigError(
                f"output={self.name} has {self.lines + self.torn:,} lines, but the input only {read:,}, so it can't be "
                "its translation; name another file, or leave resume out to write it anew"
            )
        LOGGER.info("output=%s has %s lines, as many as the input: nothing to do", self.name, f"{self.lines:,}")
        return iter(())


class Sink:
    """Where the lines go. It keeps nothing back: what `write` was given is with the system when it returns."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.stream, self.name = stream, name

    @classmethod
    def open(cls, name: str, kept: int | None, stack: ExitStack) -> Sink:
        """A file without what is in it beyond its first `kept` bytes; a new one for None. Or standard output."""
        if name == "-":
            return cls(standard(sys.stdout, "output"), name)
        try:
            file = stack.enter_context(FileIO(name, "wb" if kept is None else "rb+"))
            if kept is not None:
                file.seek(file.truncate(kept))
        except OSError as error:
            raise ConfigError(f"output={name}: {error.strerror}") from error
        return cls(file, name)

    def write(self, lines: Iterable[str]) -> None:
        """Each with a newline. ConfigError where the disk is full or the like, BrokenPipeError without a reader."""
        waiting = bytearray()
        for line in lines:
            waiting += line.encode("utf-8", errors="replace") + b"\n"
            if len(waiting) >= BLOCK:
                self._put(waiting)
                waiting = bytearray()
        self._put(waiting)

    def _put(self, content: bytearray) -> None:
        left = memoryview(content)
        try:
            while left:
                left = left[self.stream.write(left) or 0 :]
            self.stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            if self.name == "-":  # or Python tries once more when it ends, and says so
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            fix = f"mend that, then go on with output={'FILE' if self.name == '-' else self.name} resume=true"
            raise ConfigError(f"output={self.name}: {error.strerror}; {fix}") from error


def standard(stream: TextIO | None, option: str) -> BinaryIO:
    """Standard input or output as bytes; ConfigError where it is closed."""
    if stream is None:  # `<&-`
        raise ConfigError(f"{option}=-: it is closed; set {option}=FILE")
    return stream.buffer
