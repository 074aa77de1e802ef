"""Text to piece ids in flat arrays, and to a tokenizer: the work that other processes are given, so without torch."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seq2seq.data.text import Block, TrainingText
from seq2seq.options import TokenizerConfig
from seq2seq.processes import Purpose
from seq2seq.text.pair import TokenizerPair
from seq2seq.text.tokenizer import sampled

PREPARING = Purpose("prepares the training data", "data.workers")


class EncodedPairs(NamedTuple):
    """Pieces of some pairs, one after the other, and how many each pair has: four bytes for a piece or a length."""

    source: array[int]
    source_lengths: array[int]
    target: array[int]
    target_lengths: array[int]
    too_long: int  # pairs dropped

    def counts(self) -> Counter[tuple[int, int]]:
        """How many pairs have these source and target lengths."""
        return Counter(zip(self.source_lengths, self.target_lengths, strict=True))


@dataclass(frozen=True)
class Encoder:
    """Encodes pairs, and drops those with a side of more than `max_length` pieces; `threads` is -1 for all cores."""

    tokenizers: TokenizerPair
    max_length: int | None
    threads: int

    def __call__(self, block: Block) -> EncodedPairs:
        return self.encode(*block.pairs())

    def encode(self, sources: Sequence[str], targets: Sequence[str]) -> EncodedPairs:
        """The pairs of these lines, in order."""
        source, source_lengths, target, target_lengths = array("i"), array("i"), array("i"), array("i")
        source_ids = self.tokenizers.source.encode_batch(sources, self.threads)
        target_ids = self.tokenizers.target.encode_batch(targets, self.threads)
        for source_pieces, target_pieces in zip(source_ids, target_ids, strict=True):
            if self.max_length is None or max(len(source_pieces), len(target_pieces)) <= self.max_length:
                source.extend(source_pieces)
                source_lengths.append(len(source_pieces))
                target.extend(target_pieces)
                target_lengths.append(len(target_pieces))
        too_long = len(source_ids) - len(source_lengths)
        return EncodedPairs(source, source_lengths, target, target_lengths, too_long)


@dataclass(frozen=True)
class TokenizerTraining:
    """Learns the tokenizers of a training text from a sample of it, drawn while the text streams by."""

    options: TokenizerConfig
    seed: int

    def __call__(self, text: TrainingText) -> TokenizerPair:
        return TokenizerPair.train(
            *self.sample(text),
            shared=self.options.shared,
            model_type=self.options.name,
            vocab_size=self.options.vocab_size,
            character_coverage=self.options.character_coverage,
            seed=self.seed,
        )

    def sample(self, text: TrainingText) -> tuple[list[str], list[str]]:
        """Lines of both sides: together, if one tokenizer learns from both, or each, as many as training takes."""
        shared, pairs = self.options.shared, len(text)
        numbers = sampled(2 * pairs if shared else pairs, self.seed, text.size / (2 * text.lines))
        sources, targets, done = list[str](), list[str](), 0
        for source, target in text.pairs():
            sources += _chosen(source, numbers, done)
            targets += _chosen(target, numbers, done + pairs if shared else done)  # together, targets follow sources
            done += len(source)
        return sources, targets


def _chosen(lines: list[str], numbers: Sequence[int], first: int) -> list[str]:
    """The lines whose numbers, counted on from `first`, are among `numbers`, which ascend."""
    start, end = bisect_left(numbers, first), bisect_left(numbers, first + len(lines))
    return [lines[number - first] for number in numbers[start:end]]
