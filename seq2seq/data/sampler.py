"""Which sentences make a batch: of like length, so that little is padding, yet shuffled anew in every epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from seq2seq.errors import ConfigError


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
        self.sort_keys = target_lengths * (source_lengths.max() + 1) + source_lengths  # (N,) by target, then source
        self.batch_tokens = batch_tokens
        self.batch_sentences = batch_sentences
        self.seed = seed
        self.chunk_batches = chunk_batches

    def epoch(self, number: int) -> list[list[int]]:
        """The batches of an epoch, each a list of sentence indices; every sentence occurs once."""
        generator = torch.Generator().manual_seed(_mixed(self.seed, number))
        order = torch.randperm(len(self.row_lengths), generator=generator)
        chunks = torch.split(order, self._chunk_size())
        batches = [batch for chunk in chunks for batch in self._cut(self._sorted(chunk))]
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]

    def padding_efficiency(self, batches: Iterable[Sequence[int]]) -> float:
        """Real tokens of both sides, EOS included, over the cells of the padded tensors: 1 where nothing is padding."""
        real = cells = 0
        for batch in batches:
            rows = torch.as_tensor(batch)
            for lengths in (self.source_lengths[rows] + 1, self.target_lengths[rows] + 1):
                real += int(lengths.sum())
                cells += len(rows) * int(lengths.max())
        return real / cells

    def _chunk_size(self) -> int:
        if self.batch_sentences is not None:
            return self.chunk_batches * self.batch_sentences
        assert self.batch_tokens is not None
        mean_length = float(self.row_lengths.double().mean())
        return max(1, int(self.chunk_batches * self.batch_tokens / mean_length))

    def _sorted(self, chunk: Tensor) -> Tensor:
        return chunk[self.sort_keys[chunk].argsort(stable=True)]  # equals stay in the chunk's random order

    def _cut(self, chunk: Tensor) -> list[list[int]]:
        if self.batch_sentences is not None:
            return [batch.tolist() for batch in torch.split(chunk, self.batch_sentences)]
        assert self.batch_tokens is not None
        batches: list[list[int]] = []
        longest = 0
        for sentence, length in zip(chunk.tolist(), self.row_lengths[chunk].tolist(), strict=True):
            longest = max(longest, length)
            if batches and (len(batches[-1]) + 1) * longest <= self.batch_tokens:
                batches[-1].append(sentence)
            else:
                batches.append([sentence])
                longest = length
        return batches


def sorted_batches(lengths: Sequence[int] | Tensor, batch_sentences: int) -> list[list[int]]:
    """All sentences, longest first, in batches: for evaluation, where order is free and memory should fail early."""
    order = torch.as_tensor(lengths, dtype=torch.int64).argsort(descending=True, stable=True)
    return [batch.tolist() for batch in torch.split(order, batch_sentences)] if len(order) else []


def _shown(value: int | None) -> str:
    return "null" if value is None else str(value)


def _mixed(seed: int, epoch: int) -> int:
    """A seed of its own for every (seed, epoch): neighbours give unrelated permutations."""
    return int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest()[:7])
