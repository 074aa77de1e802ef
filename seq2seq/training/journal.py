"""What a training reports as it goes: metrics.jsonl always, TensorBoard where the extra is installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from typing import Any, Literal

from seq2seq.runs import RunFolder


class Journal:
    """A line of metrics.jsonl for each report, and the same numbers as scalars of TensorBoard, such as `train/loss`."""

    def __init__(self, folder: RunFolder) -> None:
        self.path = folder.metrics
        self._writer: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard.writer import SummaryWriter  # only here: its import takes a second

            self._writer = SummaryWriter(str(folder.tensorboard))

    def write(self, kind: Literal["train", "valid"], update: int, epoch: float, numbers: Mapping[str, float]) -> None:
        """The numbers of this update."""
        line = {"kind": kind, "update": update, "epoch": epoch, **numbers}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._writer is not None:
            for name, value in numbers.items():
                self._writer.add_scalar(f"{kind}/{name}", value, update)
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
