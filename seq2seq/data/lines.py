"""Lines of UTF-8 files, plain or .gz, read in blocks so that no file is ever held whole."""

from __future__ import annotations

import difflib
import gzip
import shlex
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from seq2seq.errors import DataError

BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
BLOCK_BYTES = 1_500_000  # of one side of a text: some 20,000 lines


class LineReader:
    """A file's lines as they lie there, newlines included, without a byte order mark at the start.

    Use as a context manager; `number` lines were read so far. DataError where the file is missing or unreadable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        with self._named():
            self._file = _open(path)

    def block(self) -> list[bytes]:
        """The next lines, about BLOCK_BYTES of them but one at least; [] at the end."""
        with self._named():
            return self._counted(self._file.readlines(BLOCK_BYTES))

    def take(self, count: int) -> list[bytes]:
        """The next `count` lines, or as many as there are."""
        with self._named():
            return self._counted(list(islice(self._file, count)))

    def count_rest(self) -> int:
        """Reads on to the end, and says how many lines the file has."""
        with self._named():
            self.number += sum(1 for _ in self._file)
        return self.number

    def __enter__(self) -> LineReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _counted(self, lines: list[bytes]) -> list[bytes]:
        if self.number == 0 and lines:
            lines[0] = lines[0].removeprefix(BOM)
        self.number += len(lines)
        return lines

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What goes wrong with this file, told with its name."""
        path = self.path
        try:
            yield
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such file{alternatives(path, _similar(path))}") from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: not a complete gzip file ({error})") from error
        except OSError as error:
            raise DataError(f"{path}: can't be read: {error.strerror}") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, plain or .gz, split on "\\n" alone.

    One "\\r" before it and a byte order mark at the file's start are dropped; a final newline makes no extra line.
    DataError where the file is missing, unreadable or not UTF-8.
    """
    lines: list[str] = []
    with LineReader(path) as reader:
        while block := reader.block():
            lines += decode_lines(b"".join(block), path, len(lines) + 1)
    return lines


def read_aligned(*paths: Path) -> list[list[str]]:
    """The lines of files of which line i of each belongs to line i of the others.

    Raises:
        DataError: files of unequal length, or without any line; as `read_lines`.
    """
    sides = [read_lines(path) for path in paths]
    for path, side in zip(paths, sides, strict=True):
        check_aligned(paths[0], len(sides[0]), path, len(side))
    return sides


def check_aligned(file: Path, lines: int, other: Path, other_lines: int) -> None:
    """DataError where these numbers of lines differ, or are 0."""
    if lines != other_lines:
        raise DataError(f"{file} has {lines:,} lines but {other} has {other_lines:,}; they must be aligned")
    if lines == 0:
        raise DataError(f"{file} is empty; it needs one line at least")


def decode_lines(block: bytes, path: Path, first: int) -> list[str]:
    """The text of whole lines, one at least, of which line `first` of the file is the first; DataError if not UTF-8."""
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError as error:
        before = block.count(b"\n", 0, error.start)
        raise _not_utf8(block.split(b"\n")[before], path, first + before) from None
    lines = text.removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def side_path(prefix: Path | str, language: str) -> Path:
    """The file of one side, PREFIX.LANGUAGE or PREFIX.LANGUAGE.gz; DataError where there is neither."""
    plain = Path(f"{prefix}.{language}")
    packed = Path(f"{plain}.gz")
    for path in (plain, packed):
        if path.is_file():
            return path
    stem = Path(prefix).name
    found = [name for name in _names(plain.parent) if name.startswith(stem)]
    raise DataError(f"neither {plain} nor {packed} is a file{alternatives(plain, found)}")


def alternatives(missing: Path, names: Sequence[str]) -> str:
    """The end of a message about a missing file: what there is instead, if anything."""
    if not missing.parent.is_dir():
        return f"; there is no folder {missing.parent}"
    return f"; {missing.parent} has {', '.join(names[:8])}" if names else ""


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _not_utf8(line: bytes, path: Path, number: int) -> DataError:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        start = error.start
    column = len(line[:start].decode("utf-8")) + 1
    encoding = "utf-16" if number == 1 and line.startswith(UTF16_BOMS) else "latin1"
    unpacked = f"gunzip -c {shlex.quote(str(path))} | " if path.suffix == ".gz" else ""
    operand = "" if unpacked else f" {shlex.quote(str(path))}"
    return DataError(
        f"{path}, line {number}: not valid UTF-8 (byte 0x{line[start]:02X} at column {column}); "
        f"convert it with: {unpacked}iconv -f {encoding} -t utf-8{operand} > NEWFILE"
    )


def _similar(path: Path) -> list[str]:
    """Names in the missing file's folder that the user may have meant, the nearest first."""
    names = _names(path.parent)
    begin_alike = [name for name in names if name.startswith(path.stem)]
    return list(dict.fromkeys([*difflib.get_close_matches(path.name, names), *begin_alike]))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
