"""Which sentences make a batch: of like length, so that little is padding, yet shuffled anew in every epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import overload

import torch
from torch import Tensor

from seq2seq.data.corpus import EncodedCorpus
from seq2seq.errors import ConfigError
from seq2seq.options import TrainerConfig

MEASURED_AT_ONCE = 4_000  # batches; bounds what padding_efficiency holds


class BatchSampler:
    """Batches of like length from shuffled chunks; each epoch is a function of (seed, number) alone.

    All sentences are permuted and cut into chunks of about `chunk_batches` batches; each chunk is sorted by target and
    source length and cut into batches; the batches of the epoch are shuffled. Large chunks pad little, small ones mix
    well. A batch has `batch_sentences` sentences, or as many as fit into `batch_tokens`: rows times the longest row
    of either side, EOS and padding included. A sentence longer than that stands alone. Lengths (N,) are without EOS.
    """

    def __init__(
        self,
        source_lengths: Tensor,
        target_lengths: Tensor,
        *,
        batch_tokens: int | None,
        batch_sentences: int | None,
        seed: int,
        chunk_batches: int = 100,
    ) -> None:
        if (batch_tokens is None) == (batch_sentences is None):
            raise ConfigError(
                f"trainer.batch_tokens={_shown(batch_tokens)} and trainer.batch_sentences={_shown(batch_sentences)}: "
                "set one of them and leave the other null"
            )
        self.source_lengths = source_lengths
        self.target_lengths = target_lengths
        self.row_lengths = torch.maximum(source_lengths, target_lengths) + 1  # (N,) with EOS
        self.batch_tokens = batch_tokens
        self.batch_sentences = batch_sentences
        self.seed = seed
        self.chunk_batches = chunk_batches

    @classmethod
    def of(cls, corpus: EncodedCorpus, trainer: TrainerConfig, seed: int) -> BatchSampler:
        """The batches of a corpus, in the size that the trainer's options ask for."""
        return cls(
            corpus.source_lengths,
            corpus.target_lengths,
            batch_tokens=trainer.batch_tokens,
            batch_sentences=trainer.batch_sentences,
            seed=seed,
        )

    def epoch(self, number: int) -> Epoch:
        """The batches of an epoch; every sentence occurs once."""
        generator = torch.Generator().manual_seed(_mixed(self.seed, number))
        order = torch.randperm(len(self.row_lengths), generator=generator)
        sizes: list[int] = []
        for chunk in torch.split(order, self._chunk_size()):
            chunk.copy_(self._sorted(chunk))
            sizes += self._cut(self.row_lengths[chunk])
        ends = torch.tensor(sizes).cumsum(0)
        shuffled = torch.randperm(len(sizes), generator=generator)
        return Epoch(order.int(), (ends - torch.tensor(sizes))[shuffled], ends[shuffled])

    def largest(self) -> Tensor:
        """Rows (B,) of a batch as large as any: with batch_sentences the longest pairs; else the first epoch's largest.

        With batch_tokens, that is the one with most padded cells, which the short pairs may fill as well as the long.
        """
        if self.batch_sentences is not None:
            total = self.source_lengths.long() + self.target_lengths
            return total.topk(min(self.batch_sentences, len(total))).indices
        epoch = self.epoch(0)
        cells = torch.cat([cells.sum(0) for _, cells in self._cells(epoch)])  # (N,) of each batch
        return epoch[int(cells.argmax())]

    def padding_efficiency(self, epoch: Epoch) -> float:
        """Real tokens of both sides, EOS included, over the cells of the padded tensors: 1 where nothing is padding."""
        real = total = 0
        for tokens, cells in self._cells(epoch):
            real, total = real + tokens, total + int(cells.sum())
        return real / total

    def _cells(self, epoch: Epoch) -> Iterator[tuple[int, Tensor]]:
        """Of some batches after the other: their real tokens, and the cells of each (2, N), source and target."""
        for start in range(0, len(epoch), MEASURED_AT_ONCE):
            batches = epoch[start : start + MEASURED_AT_ONCE]
            rows, sizes = batches.rows(), batches.ends - batches.starts
            owners = torch.repeat_interleave(torch.arange(len(sizes)), sizes)  # (R,) the batch of each row
            real, cells = 0, []
            for lengths in (self.source_lengths, self.target_lengths):
                with_end = lengths[rows].long() + 1
                longest = torch.zeros_like(sizes).scatter_reduce(0, owners, with_end, "amax")
                real += int(with_end.sum())
                cells.append(sizes * longest)
            yield real, torch.stack(cells)

    def _chunk_size(self) -> int:
        if self.batch_sentences is not None:
            return self.chunk_batches * self.batch_sentences
        assert self.batch_tokens is not None
        mean_length = int(self.row_lengths.sum()) / len(self.row_lengths)
        return max(1, int(self.chunk_batches * self.batch_tokens / mean_length))

    def _sorted(self, chunk: Tensor) -> Tensor:
        """By target, then source length; equals stay in the chunk's random order."""
        source, target = self.source_lengths[chunk].long(), self.target_lengths[chunk].long()
        return chunk[(target * (source.max() + 1) + source).argsort(stable=True)]

    def _cut(self, lengths: Tensor) -> list[int]:
        """How many of the rows of these lengths (C,) each batch takes, one after the other."""
        if self.batch_sentences is not None:
            whole, rest = divmod(len(lengths), self.batch_sentences)
            return [self.batch_sentences] * whole + [rest] * (rest > 0)
        assert self.batch_tokens is not None
        sizes, start = list[int](), 0
        while start < len(lengths):
            most = max(1, self.batch_tokens // int(lengths[start]))  # if no later row were longer
            longest = lengths[start : start + most].cummax(0).values
            cells = longest * torch.arange(1, len(longest) + 1)
            size = max(1, int(torch.searchsorted(cells, self.batch_tokens, right=True)))
            sizes.append(size)
            start += size
        return sizes


class Epoch(Sequence[Tensor]):
    """Batches in their order, each of them rows (B,) int64; a slice is an epoch of fewer.

    Batch i is order[starts[i]:ends[i]]: one tensor holds all rows, whatever their number.
    """

    def __init__(self, order: Tensor, starts: Tensor, ends: Tensor) -> None:
        self.order, self.starts, self.ends = order, starts, ends

    def rows(self) -> Tensor:
        """The rows of all batches, one after the other."""
        sizes = self.ends - self.starts
        shifts = self.starts - (sizes.cumsum(0) - sizes)  # from a row's place in the result to its place in `order`
        return self.order[torch.arange(int(sizes.sum())) + torch.repeat_interleave(shifts, sizes)].long()

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> Tensor: ...
    @overload
    def __getitem__(self, place: slice) -> Epoch: ...
    def __getitem__(self, place: int | slice) -> Tensor | Epoch:
        if isinstance(place, slice):
            return Epoch(self.order, self.starts[place], self.ends[place])
        return self.order[int(self.starts[place]) : int(self.ends[place])].long()

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))


def sorted_batches(lengths: Sequence[int] | Tensor, batch_sentences: int) -> list[list[int]]:
    """All sentences, longest first, in batches: for evaluation, where order is free and memory should fail early."""
    order = torch.as_tensor(lengths, dtype=torch.int64).argsort(descending=True, stable=True)
    return [batch.tolist() for batch in torch.split(order, batch_sentences)] if len(order) else []


def _shown(value: int | None) -> str:
    return "null" if value is None else str(value)


def _mixed(seed: int, epoch: int) -> int:
    """A seed of its own for every (seed, epoch): neighbours give unrelated permutations."""
    return int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest()[:7])
