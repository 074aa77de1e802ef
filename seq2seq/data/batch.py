"""Padded batches, cut out of the flat corpus by index arithmetic: no loop over sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.data.corpus import EncodedCorpus
from seq2seq.text.pair import TokenizerPair


class Batch(NamedTuple):
    """B pairs, padded; lengths count EOS and stay on the CPU, where packing wants them and nobody waits for them."""

    source: Tensor  # (B, S) int64: x_1 .. x_n EOS
    source_lengths: Tensor  # (B,) int64, on the CPU
    target_input: Tensor  # (B, T) int64: BOS y_1 .. y_m
    target_output: Tensor  # (B, T) int64: y_1 .. y_m EOS
    target_lengths: Tensor  # (B,) int64, on the CPU

    @property
    def target_mask(self) -> Tensor:
        """(B, T), True at real tokens of the target, EOS included; on the target's device."""
        device = self.target_output.device
        steps = torch.arange(self.target_output.shape[1], device=device)
        return steps < self.target_lengths.to(device).unsqueeze(1)  # (T,) < (B, 1) -> (B, T)

    @property
    def target_tokens(self) -> int:
        """Real target tokens with EOS: what losses and speeds are divided by."""
        return int(self.target_lengths.sum())

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its tokens on `device`."""
        return self._replace(
            source=self.source.to(device, non_blocking=True),
            target_input=self.target_input.to(device, non_blocking=True),
            target_output=self.target_output.to(device, non_blocking=True),
        )


def collate(corpus: EncodedCorpus, indices: Sequence[int] | Tensor, tokenizers: TokenizerPair) -> Batch:
    """The pairs at `indices`, in that order, as one batch on the CPU."""
    rows = torch.as_tensor(indices, dtype=torch.int64)
    source, source_lengths = _padded(corpus.source, corpus.source_offsets, rows, tokenizers.source.pad_id)
    target, target_lengths = _padded(corpus.target, corpus.target_offsets, rows, tokenizers.target.pad_id)
    opening = torch.full((len(rows), 1), tokenizers.target.bos_id)
    return Batch(
        source=_ended(source, source_lengths, tokenizers.source.eos_id),
        source_lengths=source_lengths + 1,
        target_input=torch.cat([opening, target[:, :-1]], dim=1),
        target_output=_ended(target, target_lengths, tokenizers.target.eos_id),
        target_lengths=target_lengths + 1,
    )


def source_batch(ids: Sequence[Sequence[int]], eos_id: int, pad_id: int) -> tuple[Tensor, Tensor]:
    """Sentences to translate: source (B, S) with EOS at each end, and their lengths (B,) with EOS, on the CPU."""
    lengths = [len(sentence) + 1 for sentence in ids]
    longest = max(lengths)
    padding = [pad_id] * longest
    source = [[*sentence, eos_id, *padding[length:]] for sentence, length in zip(ids, lengths, strict=True)]
    return torch.tensor(source), torch.tensor(lengths)


def _padded(flat: Tensor, offsets: Tensor, rows: Tensor, pad_id: int) -> tuple[Tensor, Tensor]:
    """Sentences without EOS but with room for it: (B, longest + 1), and their lengths (B,)."""
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    columns = torch.arange(int(lengths.max()) + 1)
    real = columns < lengths.unsqueeze(1)  # (B, W)
    positions = starts.unsqueeze(1) + columns  # (B, W) into the flat tensor, meaningless where not real
    padded = torch.full(real.shape, pad_id)
    padded[real] = flat[positions[real]].long()
    return padded, lengths


def _ended(padded: Tensor, lengths: Tensor, eos_id: int) -> Tensor:
    return padded.scatter(1, lengths.unsqueeze(1), eos_id)
