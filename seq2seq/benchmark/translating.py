"""A translation that is measured, from text to text."""

from __future__ import annotations

import time
from collections.abc import Sequence

from seq2seq.evaluation.translator import Translator


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
