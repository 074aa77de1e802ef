"""Encoded pairs as flat tensors, in memory or mapped from files."""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from seq2seq.data.encode import Encoder
from seq2seq.data.text import ParallelText
from seq2seq.errors import CheckpointError
from seq2seq.text.pair import TokenizerPair

ENCODED_AT_ONCE = 100_000  # lines; bounds the Python integers that exist at a time
CHECKED_AT_ONCE = 1_000_000  # offsets; bounds what is copied out of the map


class EncodedCorpus:
    """All pairs of a text as piece ids without BOS and EOS: one flat int32 tensor a side, cut up by int64 offsets.

    Pair i is source[source_offsets[i]:source_offsets[i + 1]], and the same of the target. `source_lengths` and
    `target_lengths` (N,) int32 count pieces, EOS not among them.
    """

    def __init__(self, source: Tensor, source_offsets: Tensor, target: Tensor, target_offsets: Tensor) -> None:
        self.source, self.source_offsets = source, source_offsets
        self.target, self.target_offsets = target, target_offsets

    @classmethod
    def encode(cls, text: ParallelText, tokenizers: TokenizerPair) -> EncodedCorpus:
        """All pairs of `text`, in memory."""
        encoder = Encoder(tokenizers, None, threads=-1)
        parts = [
            encoder.encode(text.source[start : start + ENCODED_AT_ONCE], text.target[start : start + ENCODED_AT_ONCE])
            for start in range(0, len(text), ENCODED_AT_ONCE)
        ]
        return cls(
            _joined([part.source for part in parts]),
            _offsets([part.source_lengths for part in parts]),
            _joined([part.target for part in parts]),
            _offsets([part.target_lengths for part in parts]),
        )

    @classmethod
    def of_ids(cls, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> EncodedCorpus:
        """Pairs of these ids, in memory."""
        source, target = _joined([array("i", ids) for ids in sources]), _joined([array("i", ids) for ids in targets])
        source_lengths, target_lengths = array("i", map(len, sources)), array("i", map(len, targets))
        return cls(source, _offsets([source_lengths]), target, _offsets([target_lengths]))

    @classmethod
    def map(cls, folder: Path, pairs: int, source_tokens: int, target_tokens: int) -> EncodedCorpus:
        """What `CorpusFiles` wrote: the arrays stay files, and their pages the system's.

        CheckpointError where the files aren't those of so many pairs and tokens.
        """
        corpus = cls(
            _mapped(folder / "source.ids", source_tokens, torch.int32),
            _mapped(folder / "source.offsets", pairs + 1, torch.int64),
            _mapped(folder / "target.ids", target_tokens, torch.int32),
            _mapped(folder / "target.offsets", pairs + 1, torch.int64),
        )
        for name, ids, offsets, lengths in (
            ("source", corpus.source, corpus.source_offsets, corpus.source_lengths),
            ("target", corpus.target, corpus.target_offsets, corpus.target_lengths),
        ):
            ends = (int(offsets[0]), int(offsets[-1]))
            if ends != (0, len(ids)) or (len(lengths) and int(lengths.min()) < 0):
                raise CheckpointError(f"{folder / name}.offsets doesn't cut {name}.ids into pairs")
        return corpus

    @cached_property
    def source_lengths(self) -> Tensor:
        return _lengths(self.source_offsets)

    @cached_property
    def target_lengths(self) -> Tensor:
        return _lengths(self.target_offsets)

    def __len__(self) -> int:
        return len(self.source_offsets) - 1

    def pair(self, i: int) -> tuple[Tensor, Tensor]:
        """The ids of pair i: (S,) and (T,) int32, views of the flat tensors."""
        source_start, source_end = self.source_offsets[i : i + 2].tolist()
        target_start, target_end = self.target_offsets[i : i + 2].tolist()
        return self.source[source_start:source_end], self.target[target_start:target_end]


def _lengths(offsets: Tensor) -> Tensor:
    """(N + 1,) -> (N,) int32, with no more than a part of the offsets in memory at a time."""
    lengths = torch.empty(len(offsets) - 1, dtype=torch.int32)
    for part in torch.arange(0, len(lengths), CHECKED_AT_ONCE).tolist():
        ends = offsets[part : part + CHECKED_AT_ONCE + 1]
        lengths[part : part + CHECKED_AT_ONCE] = (ends[1:] - ends[:-1]).clamp(-1, 2**31 - 1)  # damage stays negative
    return lengths


def _mapped(path: Path, size: int, dtype: torch.dtype) -> Tensor:
    try:
        if path.stat().st_size != size * dtype.itemsize:
            raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes, not {size * dtype.itemsize:,}")
        if size == 0:
            return torch.empty(0, dtype=dtype)
        with path.open("rb") as file:
            # a private map: PyTorch wants tensors that could be written to, and the file must never change
            return torch.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), dtype=dtype)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror}") from error


def _joined(parts: Iterable[array[int]]) -> Tensor:
    flat = array("i")
    for part in parts:
        flat.extend(part)
    return torch.frombuffer(flat, dtype=torch.int32) if flat else torch.empty(0, dtype=torch.int32)


def _offsets(parts: Iterable[array[int]]) -> Tensor:
    offsets = array("q", [0])
    for part in parts:
        offsets.extend(list(accumulate(part, initial=offsets[-1]))[1:])
    return torch.frombuffer(offsets, dtype=torch.int64)
