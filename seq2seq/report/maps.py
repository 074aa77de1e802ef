"""Where the model looked: its attention between the words of given pairs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.evaluation.translator import Translator
from seq2seq.evaluation.words import Words, merged
from seq2seq.progress import Progress

BLOCK = 256  # sentences whose weights between pieces are held at once


class Map(NamedTuple):
    """Attention between words: weights (target words, source words), the end of sentence last on both sides."""

    source: list[str]
    target: list[str]
    weights: Tensor

    @property
    def seen(self) -> list[float]:
        """What each source word got in all, the end of sentence left out."""
        totals: list[float] = self.weights.sum(0)[:-1].tolist()
        return totals

    def packed(self) -> str:
        """The weights in bytes, 255 for 1, row by row, in base64: true to 0.2 %."""
        levels = (self.weights.clamp(0, 1) * 255).round().to(torch.uint8)
        return base64.b64encode(bytes(levels.flatten().tolist())).decode("ascii")


def attention_maps(
    translator: Translator, sources: Sequence[str], targets: Sequence[str], batch_size: int
) -> list[Map | None]:
    """The map of each pair, of teacher forcing: so it belongs to the text that is there, whatever search found it.

    None for a blank side, for a pair longer than the model takes, and for all pairs of a model without attention.
    """
    maps: list[Map | None] = [None] * len(sources)
    if not translator.model.attends:
        return maps
    fitting = [i for i in range(len(sources)) if _fits(translator, sources[i], targets[i])]
    with Progress("attention", len(fitting), "sentences", 10.0, shown=True) as bar:
        for start in range(0, len(fitting), BLOCK):
            rows = fitting[start : start + BLOCK]
            pairs = translator.score(
                [sources[i] for i in rows], [targets[i] for i in rows], batch_size=batch_size, attention=True
            )
            for i, pair in zip(rows, pairs, strict=True):
                assert pair.attention is not None
                source, target = Words.of(pair.source_tokens, unspaced=True), Words.of(pair.tokens, unspaced=True)
                maps[i] = Map(source.texts, target.texts, merged(pair.attention, target, source))
            bar.update(len(rows))
            if bar.due:
                bar.say(f"attention of {bar.done:,} of {len(fitting):,} sentences")
    return maps


def _fits(translator: Translator, source: str, target: str) -> bool:
    model, tokenizers = translator.model, translator.tokenizers
    for text, tokenizer, longest in (
        (source, tokenizers.source, model.longest_source),
        (target, tokenizers.target, model.longest_target),
    ):
        if not text.strip() or (longest is not None and len(tokenizer.encode(text)) >= longest):
            return False
    return True
