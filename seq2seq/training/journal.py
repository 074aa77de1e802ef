"""What a training reports as it goes, and where it goes: metrics.jsonl always, TensorBoard where it is installed."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from seq2seq.options import TrainerConfig
from seq2seq.runs import RunFolder
from seq2seq.training.tensorboard import TensorBoard
from seq2seq.training.validation import Sample

LOGGER = logging.getLogger("seq2seq")
Kind = Literal["train", "valid"]
Numbers = Mapping[str, float | None]


class Writer(Protocol):
    """One place that reports go to."""

    samples: int  # translations that it shows at each validation

    def write(self, kind: Kind, update: int, epoch: float, numbers: Numbers) -> None: ...

    def show(self, update: int, samples: Sequence[Sample]) -> None: ...

    def close(self) -> None: ...


class Journal:
    """Hands every report to each of its writers."""

    def __init__(self, lines: Lines, *others: Writer) -> None:
        self.lines = lines
        self.writers: list[Writer] = [lines, *others]

    @classmethod
    def open(cls, folder: RunFolder, options: TrainerConfig, position: int = 0, update: int = 0) -> Journal:
        """The journal of a training that begins, or that goes on from this update, when so many bytes were written.

        Lines behind them tell of what will be done again, and are cut off; so are TensorBoard's points.
        """
        lines = Lines(folder.metrics, position)
        kept = [line for line in folder.read_metrics() if line["update"] == update]
        board = TensorBoard.open(folder.tensorboard, options.tensorboard, options.samples, update, kept)
        return cls(lines) if board is None else cls(lines, board)

    @property
    def samples(self) -> int:
        """How many translations `show` has use for."""
        return max(writer.samples for writer in self.writers)

    def write(self, kind: Kind, update: int, epoch: float, numbers: Mapping[str, Any]) -> None:
        """The numbers of this update; null where there is none, or none that is finite."""
        finite = {
            name: value if value is not None and math.isfinite(value) else None for name, value in numbers.items()
        }
        for writer in self.writers:
            writer.write(kind, update, epoch, finite)

    def show(self, update: int, samples: Sequence[Sample]) -> None:
        """How the model translates some sentences by now, always the same ones."""
        for writer in self.writers:
            writer.show(update, samples)

    def position(self) -> int:
        return self.lines.position()

    def close(self) -> None:
        for writer in self.writers:
            writer.close()


class Lines:
    """A line of metrics.jsonl for each report. `position`: all behind that many bytes is cut off."""

    samples = 0

    def __init__(self, path: Path, position: int = 0) -> None:
        self.path = path
        self._cut(position)

    def write(self, kind: Kind, update: int, epoch: float, numbers: Numbers) -> None:
        line = {"kind": kind, "update": update, "epoch": epoch, **numbers}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def show(self, update: int, samples: Sequence[Sample]) -> None:
        """A line has numbers alone."""

    def position(self) -> int:
        """Bytes written so far, all of them on the disk: where a training that resumes from here goes on."""
        if not self.path.exists():
            return 0
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size

    def close(self) -> None:
        """No file stays open between two lines."""

    def _cut(self, position: int) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size > position:
            os.truncate(self.path, position)
        elif size < position:
            LOGGER.warning(
                "%s has %s bytes, but had %s when the checkpoint was saved: lines are missing",
                self.path, size, position,
            )  # fmt: skip
