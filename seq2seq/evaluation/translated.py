"""A test set that a run was scored on, as it lies in the run's folder."""

from __future__ import annotations

from typing import NamedTuple

from seq2seq.data.lines import read_aligned
from seq2seq.runs import RunFolder

PARTS = ("source", "reference", "hypothesis")


class Translated(NamedTuple):
    """What was translated, what it is scored against, and the run's translation, line by line."""

    name: str
    sources: list[str]
    references: list[str]
    hypotheses: list[str]

    @classmethod
    def read(cls, folder: RunFolder, name: str) -> Translated:
        """DataError where a file is missing or empty, can't be read, or they aren't aligned."""
        return cls(name, *read_aligned(*(folder.translations / f"{name}.{part}" for part in PARTS)))
