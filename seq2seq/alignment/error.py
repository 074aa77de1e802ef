"""How far alignments are from a gold standard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seq2seq.alignment.links import Gold, Links


@dataclass
class AlignmentError:
    """Alignment error rate of Och & Ney (2003, "A Systematic Comparison of Various Statistical Alignment Models").

    precision = |A & P| / |A|,  recall = |A & S| / |S|,  AER = 1 - (|A & S| + |A & P|) / (|A| + |S|)

    with the links A that are judged, the sure ones S and the possible ones P of the gold standard, S among P. Links of
    all sentences are counted together: long sentences weigh more. What has nothing to divide by is None: the precision
    of no links, the recall where nothing is sure, AER where both are so.
    """

    sentences: int = 0
    links: int = 0  # |A|
    sure: int = 0  # |S|
    possible: int = 0  # |P|
    links_sure: int = 0  # |A & S|
    links_possible: int = 0  # |A & P|

    def add(self, links: Links, gold: Gold) -> None:
        """Counts a sentence pair."""
        self.sentences += 1
        self.links += len(links)
        self.sure += len(gold.sure)
        self.possible += len(gold.possible)
        self.links_sure += len(links & gold.sure)
        self.links_possible += len(links & gold.possible)

    def scores(self) -> dict[str, Any]:
        """AER, precision and recall, 0 to 1, and what they were counted on."""
        right = _ratio(self.links_sure + self.links_possible, self.links + self.sure)
        return {
            "aer": None if right is None else round(1 - right, 6),
            "precision": _rounded(_ratio(self.links_possible, self.links)),
            "recall": _rounded(_ratio(self.links_sure, self.sure)),
            "sentences": self.sentences,
            "links": self.links,
            "sure": self.sure,
            "possible": self.possible,
        }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
