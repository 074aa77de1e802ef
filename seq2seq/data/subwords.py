"""Training pairs in pieces drawn anew each time that they are read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from torch import Tensor

from seq2seq.combinations import sampling_options
from seq2seq.config import Config
from seq2seq.data.corpus import EncodedCorpus
from seq2seq.errors import ConfigError
from seq2seq.text.pair import TokenizerPair
from seq2seq.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class SubwordSampling:
    """BPE-dropout (Provilkov et al. 2020) or subword regularisation with a unigram model (Kudo 2018).

    The encoded corpus gives back its text, which is cut into pieces again, by draws that follow from the seed, the
    epoch and the batch alone: a resumed training draws the same. The pieces are more and shorter; a line that would
    come to more than `longest` of them keeps its usual ones, and so does one that the tokenizer can't spell.
    """

    tokenizers: TokenizerPair
    alpha: float  # see Tokenizer.sample_batch
    longest: int
    seed: int

    @classmethod
    def of(cls, config: Config, tokenizers: TokenizerPair) -> SubwordSampling | None:
        """As the config wants it; None: pairs are read as they are.

        ConfigError where the tokenizers, which may be from elsewhere, are of a kind that can't be sampled so.
        """
        for key, alpha, kind in sampling_options(config):
            others = {tokenizer.kind for tokenizer in (tokenizers.source, tokenizers.target)} - {kind}
            if alpha and others:
                raise ConfigError(
                    f"data.{key}={alpha} is for {kind} models, and tokenizer.model={config.tokenizer.model} is a "
                    f"{others.pop()} model; set data.{key}=0"
                )
        alpha = max(alpha for _, alpha, _ in sampling_options(config))
        return cls(tokenizers, alpha, config.data.max_length, config.seed) if alpha else None

    def draw(self, corpus: EncodedCorpus, rows: Tensor, epoch: int, batch: int) -> EncodedCorpus:
        """The pairs at `rows` (B,), in that order and in other pieces."""
        pairs = [corpus.pair(row) for row in rows.tolist()]
        place = (self.seed, epoch, batch)
        sources = self._other(self.tokenizers.source, [source.tolist() for source, _ in pairs], _seed(*place, "source"))
        targets = self._other(self.tokenizers.target, [target.tolist() for _, target in pairs], _seed(*place, "target"))
        return EncodedCorpus.of_ids(sources, targets)

    def _other(self, tokenizer: Tokenizer, lines: list[list[int]], seed: int) -> list[list[int]]:
        """The same lines in other pieces."""
        drawn = tokenizer.sample_batch(tokenizer.decode_batch(lines), self.alpha, seed)
        return [
            other if len(other) <= self.longest and tokenizer.unk_id not in usual else usual
            for usual, other in zip(lines, drawn, strict=True)
        ]


def _seed(*facts: int | str) -> int:
    """31 bits of their own for every draw."""
    return int.from_bytes(hashlib.sha256(repr(facts).encode()).digest()[:4]) >> 1
