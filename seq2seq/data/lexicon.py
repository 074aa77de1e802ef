"""Which target pieces each source piece may become, and which are frequent: learnt from the training pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from seq2seq.data.corpus import EncodedCorpus
from seq2seq.errors import CheckpointError, DamagedError
from seq2seq.files import write_atomically

CANDIDATES = 20  # of each source piece; more of them find less than more of the frequent pieces do
ITERATIONS = 3
LARGEST_SAMPLE = 100_000_000  # pairs of a source and a target piece; all of a large corpus would teach little more
LARGEST_PAIR = 250_000  # of one sentence pair; a longer one says little about which piece belongs to which
AT_ONCE = 1 << 20  # pairs of pieces; with the next bound what is held in memory
LARGEST_BLOCK = 1 << 22  # entries of the table


class Lexicon(NamedTuple):
    """candidates (source pieces, N) int32: the likeliest target pieces of each, best first; V where there are no more.

    frequent (F,) int32: all target pieces of the training pairs, the most frequent first.
    """

    candidates: Tensor
    frequent: Tensor
    target_size: int  # V

    @classmethod
    def learn(cls, corpus: EncodedCorpus, source_size: int, target_size: int, eos: int, shared: bool) -> Lexicon:
        """By a few iterations of IBM model 1 (Brown et al. 1993, section 4.1), over an even sample of a large corpus.

        EOS, which ends every source, stands for what no piece of it accounts for, as the empty word does there. Where
        one vocabulary serves both sides, a piece is a candidate of its own first of all: names and numbers are copied.
        Time is linear in the corpus up to the sample's size, and memory that of the sample.
        """
        sample = _Sample(corpus, eos, source_size, target_size)
        totals = [sample.uniform]
        for _ in range(ITERATIONS - 1):
            totals.append(sample.totals(totals))
        kept = min(CANDIDATES, target_size)
        candidates = torch.full((source_size, kept), target_size, dtype=torch.int32)
        for first, end in sample.blocks:
            table = sample.probabilities(first, end, totals)
            if shared:
                table[range(end - first), range(first, end)] = 2.0  # before all probabilities
            probs, ids = table.topk(kept, dim=1)
            candidates[first:end] = ids.masked_fill(probs == 0, target_size).int()
        return cls(candidates, sample.frequent(), target_size)

    def save(self, path: Path, digests: Mapping[str, str]) -> None:
        """Writes the table; `digests` are those of the tokenizers whose pieces it is about."""
        tensors = {"candidates": self.candidates, "frequent": self.frequent}
        write_atomically(path, lambda file: save_file(tensors, file, _facts(digests)))

    @classmethod
    def load(cls, path: Path, digests: Mapping[str, str], source_size: int, target_size: int) -> Lexicon:
        """What `save` wrote.

        Raises:
            CheckpointError: it can't be read, isn't such a table, or is about other pieces.
        """
        try:
            with safe_open(path, framework="pt") as opened:  # lengths are checked against the file's before any read
                if opened.metadata() != _facts(digests):
                    raise CheckpointError(f"{path} is of other tokenizers than the run's; train.py writes its own")
                shapes = [opened.get_slice(name).get_shape() for name in ("candidates", "frequent")]
                if [len(shape) for shape in shapes] != [2, 1] or not (
                    shapes[0][0] == source_size and 1 <= shapes[0][1] <= CANDIDATES and shapes[1][0] <= target_size
                ):
                    raise DamagedError(f"{path} holds no table of {source_size:,} source pieces")
                candidates, frequent = opened.get_tensor("candidates"), opened.get_tensor("frequent")
        except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
            raise DamagedError(f"{path} can't be read as a table: {str(error)[:200]!r}") from error
        except (OSError, MemoryError) as error:
            raise CheckpointError(f"{path} can't be read: {error}") from error
        for ids, end in ((candidates, target_size + 1), (frequent, target_size)):
            if ids.dtype != torch.int32 or bool((ids < 0).any()) or bool((ids >= end).any()):
                raise DamagedError(f"{path} holds numbers that aren't ids of {target_size:,} target pieces")
        return cls(candidates, frequent, target_size)

    def allowed(self, source: Tensor) -> Tensor:
        """Source ids (B, S) with EOS to a mask (B, V): True at the candidates of the sentence's pieces.

        Padding has none, as it stands in no training pair.
        """
        mask = torch.zeros(len(source), self.target_size + 1, dtype=torch.bool)
        mask.scatter_(1, self.candidates[source].flatten(1).long(), True)
        return mask[:, :-1]


class _Sample:
    """Sentence pairs, evenly from the whole corpus, as lists of source pieces by id and of target pieces by place."""

    def __init__(self, corpus: EncodedCorpus, eos: int, source_size: int, target_size: int) -> None:
        weights = (corpus.source_lengths.long() + 1) * corpus.target_lengths  # pairs of pieces in each
        stride = max(1, -(-int(weights.clamp(max=LARGEST_PAIR).sum()) // LARGEST_SAMPLE))
        chosen = torch.arange(0, len(corpus), stride)
        chosen = chosen[weights[chosen] <= LARGEST_PAIR]
        source, source_lengths = _taken(corpus.source, corpus.source_offsets, chosen)
        self.target, target_lengths = _taken(corpus.target, corpus.target_offsets, chosen)
        self.target_size = target_size
        self.uniform = (source_lengths + 1).repeat_interleave(target_lengths).float()  # totals where all t(e | f) are 1

        pair = torch.arange(len(chosen))
        source = torch.cat([source, torch.full((len(chosen),), eos)])
        pairs = torch.cat([pair.repeat_interleave(source_lengths), pair])
        self.source, order = source.sort()  # (M): the rows of a block of the table are its neighbours in memory
        self.lengths = target_lengths[pairs[order]]  # (M) of the target beside each source piece
        self.starts = (target_lengths.cumsum(0) - target_lengths)[pairs[order]]  # (M) of that target
        self.blocks = _blocks(source_size, max(1, LARGEST_BLOCK // target_size))

    def frequent(self) -> Tensor:
        """The target pieces of the sample, the most frequent first; of equals the lower id."""
        counts = torch.bincount(self.target, minlength=self.target_size)
        order = counts.argsort(descending=True, stable=True)
        return order[: int((counts > 0).sum())].int()

    def totals(self, earlier: list[Tensor]) -> Tensor:
        """sum_s t(e | f_s) over the source of each target piece e, in the table that follows from `earlier` totals."""
        found = torch.zeros(len(self.target))
        for first, end in self.blocks:
            table = self.probabilities(first, end, earlier).flatten()
            for entries, places in self._met(first, end):
                found.index_add_(0, places, table[entries])
        return found

    def probabilities(self, first: int, end: int, totals: list[Tensor]) -> Tensor:
        """t(e | f) of the source pieces f from `first` to `end`: (end - first, V), after an iteration for each total.

        An iteration needs of the one before only this block of the table, and the sums over whole sentences: these are
        remembered, and the block is found anew. So the whole table never stands in memory.
        """
        table = torch.ones((end - first) * self.target_size)
        for total in totals:
            counts = torch.zeros_like(table)
            for entries, places in self._met(first, end):
                counts.index_add_(0, entries, table[entries] / total[places])
            by_piece = counts.view(-1, self.target_size)
            table = (by_piece / by_piece.sum(dim=1, keepdim=True).clamp(min=1e-30)).flatten()
        return table.view(-1, self.target_size)

    def _met(self, first: int, end: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Where pieces of the block meet a target: the entry of its flat table (N) and the target's place (N)."""
        bounds = torch.searchsorted(self.source, torch.tensor([first, end])).tolist()
        lengths = self.lengths[bounds[0] : bounds[1]]
        ends = lengths.cumsum(0)
        chunks = torch.arange(0, int(ends[-1]) if len(ends) else 0, AT_ONCE)
        cuts = [*torch.searchsorted(ends, chunks).tolist(), len(lengths)]
        for start, stop in pairwise(cuts):
            part = slice(bounds[0] + start, bounds[0] + stop)
            numbers = self.lengths[part]
            shifts = self.starts[part] - (numbers.cumsum(0) - numbers)
            places = shifts.repeat_interleave(numbers)
            places += torch.arange(len(places))
            rows = ((self.source[part] - first) * self.target_size).repeat_interleave(numbers)
            yield rows.add_(self.target[places]), places


def _taken(flat: Tensor, offsets: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The chosen sentences one after the other, int64, and their lengths."""
    lengths = offsets[chosen + 1] - offsets[chosen]
    shifts = offsets[chosen] - (lengths.cumsum(0) - lengths)
    places = shifts.repeat_interleave(lengths) + torch.arange(int(lengths.sum()))
    return flat[places].long(), lengths


def _facts(digests: Mapping[str, str]) -> dict[str, str]:
    """One entry alone: several are written in any order, and the same table would not be the same file."""
    return {"tokenizers": json.dumps(digests, sort_keys=True)}


def _blocks(size: int, width: int) -> list[tuple[int, int]]:
    return [(first, min(first + width, size)) for first in range(0, size, width)]
