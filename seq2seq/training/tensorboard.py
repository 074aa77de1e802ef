"""A training in TensorBoard: its numbers as curves, some translations as text, and their attention as images."""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from seq2seq.errors import ConfigError
from seq2seq.evaluation.source import one_line
from seq2seq.evaluation.translation import Translation
from seq2seq.training.validation import Sample

LOGGER = logging.getLogger("seq2seq")
CELL = 16  # pixels of an image for each weight
DARK = (8, 48, 107)  # red, green and blue of a weight of 1; one of 0 is white
LINES = 228  # grey, between the squares
MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$&])")


class TensorBoard:
    """Scalars such as `train/loss` and `valid/bleu`, and of each sample `sample 1/text` and `sample 1/attention`.

    Images are drawn here rather than by matplotlib, which would take a second at each validation: a row for each word
    of the translation, a column for each word of the source, the end of sentence last. plot.py draws one with labels.
    """

    def __init__(self, writer: Any, samples: int) -> None:
        self.samples = samples
        self._writer = writer  # torch's SummaryWriter

    @classmethod
    def open(
        cls,
        folder: Path,
        wanted: bool | Literal["auto"],
        samples: int,
        update: int = 0,
        kept: Sequence[Mapping[str, Any]] = (),
    ) -> TensorBoard | None:
        """None where it isn't wanted, or with auto isn't here.

        Points behind `update` are of what will be done again, and go. So do those of this update where its validation
        will be done again; what was `kept` of its lines is then written once more.

        Raises:
            ConfigError: it is wanted and can't be had.
        """
        check_installed(wanted)
        if wanted is False or importlib.util.find_spec("tensorboard") is None:
            return None
        try:
            from torch.utils.tensorboard.writer import SummaryWriter  # only here: its import takes half a second
        except Exception as error:  # an installation that doesn't fit together raises whatever it likes
            if wanted is True:
                raise ConfigError(f"trainer.tensorboard=true: TensorBoard can't be imported: {error}") from error
            LOGGER.warning("nothing is written for TensorBoard, which is installed but can't be imported: %s", error)
            return None
        validated = any(line["kind"] == "valid" for line in kept)
        board = cls(SummaryWriter(str(folder), purge_step=update + 1 if validated else update), samples)
        for line in kept if not validated else ():
            numbers = {name: value for name, value in line.items() if name not in ("kind", "update", "epoch")}
            board.write(line["kind"], update, line["epoch"], numbers)
        return board

    def write(self, kind: str, update: int, epoch: float, numbers: Mapping[str, float | None]) -> None:
        for name, value in numbers.items():
            if value is not None:
                self._writer.add_scalar(f"{kind}/{name}", value, update)
        self._writer.flush()

    def show(self, update: int, samples: Sequence[Sample]) -> None:
        for number, (reference, translation) in enumerate(samples, start=1):
            self._writer.add_text(f"sample {number}/text", _table(reference, translation), update)
            if translation.attention is not None:
                image = _image(translation.attention_map().weights)
                self._writer.add_image(f"sample {number}/attention", image.numpy(), update, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def check_installed(wanted: bool | Literal["auto"]) -> None:
    """ConfigError where TensorBoard is wanted and isn't there."""
    if wanted is True and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "trainer.tensorboard=true needs TensorBoard, which isn't installed: pip install 'seq2seq[tensorboard]'; or "
            "leave it at auto"
        )


def _table(reference: str, translation: Translation) -> str:
    rows = {"source": translation.source, "reference": reference, "translation": translation.text}
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {_plain(text)} |\n" for name, text in rows.items())


def _plain(text: str) -> str:
    """Text without what TensorBoard would take for markup or for a new row."""
    return MARKUP.sub(r"\\\1", one_line(text))


def _image(weights: Tensor) -> Tensor:
    """Weights (T, S) as pixels (height, width, 3), 0 to 255: a square for each, the darker the larger."""
    shades = weights.float().clamp(0, 1).unsqueeze(2)  # (T, S, 1)
    pixels = 255 - shades * (255 - torch.tensor(DARK, dtype=torch.float))  # (T, S, 3)
    cells = pixels.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1).round().to(torch.uint8)
    cells[CELL - 1 :: CELL] = cells[:, CELL - 1 :: CELL] = LINES
    return cells
