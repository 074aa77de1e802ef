"""A translation that is measured, from text to text."""

from __future__ import annotations

import time
from collections.abc import Sequence

from seq2seq.evaluation.translator import Translator


class Translating:
    """`lines` by a translator, again and again; the first batch once before the clock starts."""

    def __init__(self, translator: Translator, lines: Sequence[str], batch_size: int) -> None:
        self.translator, self.lines, self.batch_size = translator, lines, batch_size
        self.texts: list[str] = []  # of the last time
        translator.translate(lines[:batch_size], batch_size=batch_size)

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
