"""Translations that are measured, from text to text."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
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

    def by(self, workers: int) -> Kind:
        """The same, spread over so many processes; 0: none."""
        return self._replace(name=f"{self.name}, {workers} workers") if workers else self


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
    """The test set by each, in turn, with BLEU and the lines that differ from the first one's."""
    lines, batch_size = bench.material.lines, bench.config.trainer.translate_batch
    works = {kind: Translating(translator, lines.source, batch_size) for kind, translator in translators.items()}
    speeds = interleaved(title, {" ".join(kind): work.sample for kind, work in works.items()}, bench.measure.repeats)
    exact = next(iter(works.values())).texts
    return [
        {
            **kind._asdict(),
            "sentences": len(work.lines),
            "bleu": corpus_bleu(work.texts, lines.reference, bench.config.metric),
            "changed": sum(a != b for a, b in zip(work.texts, exact, strict=True)),
            **speeds[" ".join(kind)],
        }
        for kind, work in works.items()
    ]
