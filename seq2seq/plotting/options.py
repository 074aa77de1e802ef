"""The options of plot.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from seq2seq.commands import ModelConfig
from seq2seq.config import checked
from seq2seq.options import number

OF_ATTENTION = ("text", "source", "line", "rank", "units", "checkpoint")


@dataclass(frozen=True)
class PlotConfig(ModelConfig):
    """The options of plot.py; each is explained in configs/plot.yaml."""

    kind: Literal["curves", "attention"] = "curves"
    output: str | None = None
    x: Literal["updates", "epochs", "minutes"] = "updates"
    text: str | None = None
    source: str | None = None
    line: int = number(1, 1)
    rank: int = number(1, 1)
    units: Literal["words", "pieces"] = "words"

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> PlotConfig:
        return checked(cls, plain, _impossible)

    @property
    def picture(self) -> Path:
        """Where the picture goes."""
        return Path(self.output) if self.output is not None else Path(self.runs()[0], "plots", f"{self.kind}.png")


def _impossible(config: PlotConfig) -> list[str]:
    faults = []
    if not config.runs():
        faults.append("which run? set run=FOLDER, the folder that train.py left, or run=[A,B] for several")
    if len(config.runs()) > 1 and config.output is None:
        faults.append("several runs have no folder in common for the picture; set output=FILE.png")
    return faults + {"curves": _of_curves, "attention": _of_attention}[config.kind](config)


def _of_curves(config: PlotConfig) -> list[str]:
    names = [name for name in OF_ATTENTION if getattr(config, name) != getattr(PlotConfig, name)]
    names += ["search"] if config.searched() else []
    return [f"{name} is for attention maps; set kind=attention too" for name in names]


def _of_attention(config: PlotConfig) -> list[str]:
    faults = []
    if (config.text is None) == (config.source is None):
        faults.append("which sentence? set text='A sentence.', or source=FILE line=N (and not both)")
    if config.source is None and config.line != 1:
        faults.append(f"line={config.line} is a line of source=FILE; set it, or leave line out")
    if config.x != "updates":
        faults.append(f"x={config.x} is for curves; leave it out")
    return faults
