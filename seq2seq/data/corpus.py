"""Parallel text: read strictly, checked, and encoded once into flat tensors."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import random
import shlex
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import torch
from torch import Tensor

from seq2seq.errors import DataError
from seq2seq.text.tokenizer import TokenizerPair

BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
ENCODED_AT_ONCE = 100_000  # lines; bounds the Python integers that exist at a time


@dataclass(frozen=True)
class ParallelText:
    """Line i of `source` is translated by line i of `target`; `files` are those it was read from."""

    name: str
    source: list[str]
    target: list[str]
    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.source)

    def select(self, indices: Iterable[int], name: str) -> ParallelText:
        """The pairs at `indices`, in that order, under a name of their own."""
        chosen = list(indices)
        source = [self.source[i] for i in chosen]
        target = [self.target[i] for i in chosen]
        return ParallelText(name, source, target, self.files)


class EncodedCorpus:
    """All pairs of a text as piece ids without BOS and EOS: one flat int32 tensor a side, cut up by int64 offsets.

    Pair i is source[source_offsets[i]:source_offsets[i + 1]], and the same of the target. `source_lengths` and
    `target_lengths` (N,) int64 count pieces, EOS not among them.
    """

    def __init__(self, source: Tensor, source_lengths: Tensor, target: Tensor, target_lengths: Tensor) -> None:
        self.source = source
        self.source_lengths = source_lengths
        self.source_offsets = _offsets(source_lengths)
        self.target = target
        self.target_lengths = target_lengths
        self.target_offsets = _offsets(target_lengths)

    @classmethod
    def encode(cls, text: ParallelText, tokenizers: TokenizerPair, max_length: int | None) -> tuple[EncodedCorpus, int]:
        """Encodes `text` and drops pairs with a side of more than `max_length` pieces; says how many it dropped.

        DataError where nothing is left.
        """
        source, target = _Flat(), _Flat()
        for start in range(0, len(text), ENCODED_AT_ONCE):
            lines = slice(start, start + ENCODED_AT_ONCE)
            source_batch = tokenizers.source.encode_batch(text.source[lines])
            target_batch = tokenizers.target.encode_batch(text.target[lines])
            for source_ids, target_ids in zip(source_batch, target_batch, strict=True):
                if max_length is None or max(len(source_ids), len(target_ids)) <= max_length:
                    source.append(source_ids)
                    target.append(target_ids)
        kept = len(source.lengths)
        if not kept:
            raise DataError(
                f"{text.name}: none of the {len(text)} pairs is within data.max_length={max_length} pieces on both "
                "sides; raise data.max_length"
            )
        return cls(*source.tensors(), *target.tensors()), len(text) - kept

    @classmethod
    def from_ids(cls, sources: Iterable[Sequence[int]], targets: Iterable[Sequence[int]]) -> EncodedCorpus:
        """The same of pairs that are piece ids already."""
        source, target = _Flat(), _Flat()
        for source_ids, target_ids in zip(sources, targets, strict=True):
            source.append(source_ids)
            target.append(target_ids)
        return cls(*source.tensors(), *target.tensors())

    def __len__(self) -> int:
        return len(self.source_lengths)

    def pair(self, i: int) -> tuple[Tensor, Tensor]:
        """The ids of pair i: (S,) and (T,) int32, views of the flat tensors."""
        source_start, source_end = self.source_offsets[i : i + 2].tolist()
        target_start, target_end = self.target_offsets[i : i + 2].tolist()
        return self.source[source_start:source_end], self.target[target_start:target_end]


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, plain or .gz, split on "\\n" alone.

    One "\\r" before it and a byte order mark at the file's start are dropped; a final newline makes no extra line.
    DataError where the file is missing, unreadable or not UTF-8.
    """
    lines = []
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                line = line.removesuffix(b"\n").removesuffix(b"\r")
                if number == 1:
                    line = line.removeprefix(BOM)
                lines.append(_decoded(line, path, number))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file{_alternatives(path, _similar(path))}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: not a complete gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from error
    return lines


def side_path(prefix: Path | str, language: str) -> Path:
    """The file of one side, PREFIX.LANGUAGE or PREFIX.LANGUAGE.gz; DataError where there is neither."""
    plain = Path(f"{prefix}.{language}")
    packed = Path(f"{plain}.gz")
    for path in (plain, packed):
        if path.is_file():
            return path
    stem = Path(prefix).name
    found = [name for name in _names(plain.parent) if name.startswith(stem)]
    raise DataError(f"neither {plain} nor {packed} is a file{_alternatives(plain, found)}")


def read_parallel(prefixes: Sequence[str], source: str, target: str, name: str) -> ParallelText:
    """Reads both sides of all `prefixes`, one after the other, in the languages `source` and `target`.

    DataError where the sides of a prefix differ in length, or no pair has text on both sides.
    """
    text = ParallelText(name, [], [], ())
    for prefix in prefixes:
        files = (side_path(prefix, source), side_path(prefix, target))
        source_lines, target_lines = read_lines(files[0]), read_lines(files[1])
        if len(source_lines) != len(target_lines):
            raise DataError(
                f"{files[0]} has {len(source_lines)} lines but {files[1]} has {len(target_lines)}; line i of one must "
                "be the translation of line i of the other"
            )
        text = ParallelText(name, text.source + source_lines, text.target + target_lines, text.files + files)
    if not any(_has_text(text, i) for i in range(len(text))):
        files_read = ", ".join(str(path) for path in text.files)
        raise DataError(f"{name}: no line has text on both sides in {files_read}")
    return text


def drop_blank(text: ParallelText) -> tuple[ParallelText, int]:
    """Without the pairs in which a side is blank, and how many those were."""
    kept = text.select((i for i in range(len(text)) if _has_text(text, i)), text.name)
    return kept, len(text) - len(kept)


def split_valid(text: ParallelText, count: int, seed: int) -> tuple[ParallelText, ParallelText]:
    """Takes `count` pairs out of `text` by chance (by `seed`, always the same): the rest, and those as "valid".

    DataError where nothing would be left to train on.
    """
    if count >= len(text):
        raise DataError(
            f"data.valid_split={count} leaves nothing to train on: {text.name} has {len(text)} pairs; "
            "set a smaller data.valid_split"
        )
    chosen = set(random.Random(seed).sample(range(len(text)), count))
    rest = text.select((i for i in range(len(text)) if i not in chosen), text.name)
    return rest, text.select(sorted(chosen), "valid")


def overlap(sources: Iterable[str], train_sources: Iterable[str]) -> int:
    """How many lines of `sources` occur in `train_sources`; blank lines don't count."""
    lines = [line for line in sources if line.strip()]
    seen = set(lines).intersection(train_sources)
    return sum(line in seen for line in lines)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes as they lie on the disk, packed or not."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        column = len(line[: error.start].decode("utf-8")) + 1
        encoding = "utf-16" if number == 1 and line.startswith(UTF16_BOMS) else "latin1"
        unpacked = f"gunzip -c {shlex.quote(str(path))} | " if path.suffix == ".gz" else ""
        operand = "" if unpacked else f" {shlex.quote(str(path))}"
        raise DataError(
            f"{path}, line {number}: not valid UTF-8 (byte 0x{line[error.start]:02X} at column {column}); "
            f"convert it with: {unpacked}iconv -f {encoding} -t utf-8{operand} > NEWFILE"
        ) from None


def _has_text(text: ParallelText, i: int) -> bool:
    return bool(text.source[i].strip() and text.target[i].strip())


def _similar(path: Path) -> list[str]:
    """Names in the missing file's folder that the user may have meant, the nearest first."""
    names = _names(path.parent)
    begin_alike = [name for name in names if name.startswith(path.stem)]
    return list(dict.fromkeys([*difflib.get_close_matches(path.name, names), *begin_alike]))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _alternatives(missing: Path, names: Sequence[str]) -> str:
    """The end of a message about a missing file: what there is instead, if anything."""
    if not missing.parent.is_dir():
        return f"; there is no folder {missing.parent}"
    return f"; {missing.parent} has {', '.join(names[:8])}" if names else ""


def _offsets(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])  # (N,) -> (N + 1,)


class _Flat:
    """Sentences as they arrive, one after the other in a single array: four bytes for a piece, no Python integers."""

    def __init__(self) -> None:
        self.ids = array("i")
        self.lengths = array("q")

    def append(self, ids: Sequence[int]) -> None:
        self.ids.extend(ids)
        self.lengths.append(len(ids))

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Pieces (P,) int32 and lengths (N,) int64, in the arrays' own memory."""
        return _tensor(self.ids, torch.int32), _tensor(self.lengths, torch.int64)


def _tensor(numbers: array[int], dtype: torch.dtype) -> Tensor:
    return torch.frombuffer(numbers, dtype=dtype) if numbers else torch.empty(0, dtype=dtype)
