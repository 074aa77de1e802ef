"""What a training reports as it goes: metrics.jsonl always, TensorBoard where the extra is installed."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
from collections.abc import Mapping
from typing import Any, Literal

from seq2seq.runs import RunFolder

LOGGER = logging.getLogger("seq2seq")


class Journal:
    """A line of metrics.jsonl for each report, and the same numbers as scalars of TensorBoard, such as `train/loss`.

    `position` and `update` are where a training goes on from: lines behind that many bytes tell of updates that will
    be done again, and are cut off.
    """

    def __init__(self, folder: RunFolder, position: int = 0, update: int = 0) -> None:
        self.path = folder.metrics
        self._cut(position)
        self._writer: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard.writer import SummaryWriter  # only here: its import takes a second

            self._writer = SummaryWriter(str(folder.tensorboard), purge_step=update + 1)

    def write(self, kind: Literal["train", "valid"], update: int, epoch: float, numbers: Mapping[str, Any]) -> None:
        """The numbers of this update; null where there is none, or none that is finite."""
        numbers = {
            name: value if value is not None and math.isfinite(value) else None for name, value in numbers.items()
        }
        line = {"kind": kind, "update": update, "epoch": epoch, **numbers}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._writer is not None:
            for name, value in numbers.items():
                if value is not None:
                    self._writer.add_scalar(f"{kind}/{name}", value, update)
            self._writer.flush()

    def position(self) -> int:
        """Bytes written so far, all of them on the disk: where a training that resumes from here goes on."""
        if not self.path.exists():
            return 0
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _cut(self, position: int) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size > position:
            os.truncate(self.path, position)
        elif size < position:
            LOGGER.warning(
                "%s has %s bytes, but had %s when the checkpoint was saved: lines are missing",
                self.path, size, position,
            )  # fmt: skip
