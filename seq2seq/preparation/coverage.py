"""What a tokenizer doesn't know of a text."""

from __future__ import annotations

from collections import Counter
from typing import Any

from seq2seq.preparation.measures import Lengths
from seq2seq.preparation.places import Numbering, Places
from seq2seq.text.tokenizer import Tokenizer

MOST_SPELLED = 100_000  # different words or characters that are counted
SHOWN = 10


class Coverage:
    """One side's pieces: how many are unknown, how many are bytes, and what text they stand for."""

    def __init__(self, tokenizer: Tokenizer, most: int) -> None:
        self.tokenizer = tokenizer
        self.lengths = Lengths()
        self._bytes = tokenizer.byte_ids()
        self._strange = self._bytes | {tokenizer.unk_id}
        self._pieces = self._unknown = self._spelled_in_bytes = 0
        self._places = Places(most)
        self._texts: Counter[str] = Counter()

    def add(self, lines: list[str], first: int) -> None:
        for pair, (line, ids) in enumerate(zip(lines, self.tokenizer.encode_batch(lines), strict=True), start=first):
            if not ids:
                continue
            self._pieces += len(ids)
            self.lengths.add(len(ids), pair)
            if not self._strange.isdisjoint(ids):
                self._places.add(pair)
                self._unknown += ids.count(self.tokenizer.unk_id)
                self._spelled_in_bytes += sum(i in self._bytes for i in ids)
                self._look_at(line, ids)

    def report(self, numbering: Numbering, side: int) -> dict[str, Any]:
        pieces = max(1, self._pieces)
        return {
            "pieces": self._pieces,
            "unknown": self._unknown,
            "unknown_rate": self._unknown / pieces,
            "bytes": self._spelled_in_bytes,
            "byte_rate": self._spelled_in_bytes / pieces,
            "lines": numbering.report(self._places, side),
            "most_frequent": dict(self._texts.most_common(SHOWN)),
            "lengths": self.lengths.report(numbering, side),
        }

    def _look_at(self, line: str, ids: list[int]) -> None:
        """The words or characters behind the strange pieces; the bytes of one character have one span."""
        spans = zip(ids, self.tokenizer.spans(line), strict=True)
        for start, end in {span for i, span in spans if i in self._strange}:
            text = line[start:end].strip()
            if text and (text in self._texts or len(self._texts) < MOST_SPELLED):
                self._texts[text] += 1
