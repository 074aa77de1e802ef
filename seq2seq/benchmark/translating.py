"""Translations that are measured, from text to text."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from seq2seq.benchmark.bench import Bench, Column, Row
from seq2seq.benchmark.rounds import interleaved
from seq2seq.evaluation.metrics import corpus_bleu
from seq2seq.evaluation.translator import Translator

TRANSLATED = [
    Column("sentences_per_second", "sentences/s", ",.1f"),
    Column("bleu", "BLEU", ".2f"),
    Column("changed", "lines changed", ",d"),
]


class Kind(NamedTuple):
    """What tells one translation from another."""

    name: str
    precision: str


class Translating:
    """`lines` by a translator, again and again; some once before the clock starts."""

    def __init__(self, translator: Translator, lines: Sequence[str], batch_size: int) -> None:
        self.translator, self.lines, self.batch_size = translator, lines, batch_size
        self.texts: list[str] = []  # of the last time
        workers = 1 if translator.crew is None else 2 * translator.crew.size  # twice, so that none is left out
        translator.translate(lines[: workers * batch_size], batch_size=batch_size)

    def sample(self) -> dict[str, float]:
        """Sentences a second, once through."""
        runtime = self.translator.runtime
        runtime.synchronize()
        start = time.perf_counter()
        translations = self.translator.translate(self.lines, batch_size=self.batch_size)
        runtime.synchronize()
        seconds = time.perf_counter() - start
        self.texts = [translation.text for translation in translations]
        return {"sentences_per_second": len(self.lines) / seconds, "milliseconds": 1000 * seconds / len(self.lines)}


def compared(bench: Bench, title: str, translators: Mapping[Kind, Translator]) -> list[Row]:
    """The test set by each, in turn, with BLEU and the lines that differ from the first one's.

    With benchmark.workers, each is spread over these as well.
    """
    lines, measure, works = bench.material.lines, bench.measure, dict[Kind, Translating]()
    with ExitStack() as stack:
        for kind, translator in translators.items():
            for workers in sorted({0, measure.workers}):
                spread = stack.enter_context(translator.spread(workers))
                row = kind._replace(name=f"{kind.name}, {workers} workers") if workers else kind
                works[row] = Translating(spread, lines.source, bench.config.trainer.translate_batch)
        speeds = interleaved(title, {" ".join(row): work.sample for row, work in works.items()}, measure.repeats)
    exact = next(iter(works.values())).texts
    return [
        {
            **row._asdict(),
            "sentences": len(work.lines),
            "bleu": corpus_bleu(work.texts, lines.reference, bench.config.metric),
            "changed": sum(a != b for a, b in zip(work.texts, exact, strict=True)),
            **speeds[" ".join(row)],
        }
        for row, work in works.items()
    ]
