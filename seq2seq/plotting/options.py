"""The options of plot.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from seq2seq.config import checked
from seq2seq.options import RuntimeConfig, number


@dataclass(frozen=True)
class PlotConfig(RuntimeConfig):
    """The options of plot.py; each is explained in configs/plot.yaml."""

    run: str | list[str] | None = None
    kind: Literal["curves", "attention"] = "curves"
    output: str | None = None
    x: Literal["updates", "epochs", "minutes"] = "updates"
    text: str | None = None
    source: str | None = None
    line: int = number(1, 1)
    rank: int = number(1, 1)
    units: Literal["words", "pieces"] = "words"
    checkpoint: Literal["best", "last", "average"] = "best"
    search: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> PlotConfig:
        return cast(PlotConfig, checked(cls, plain, _impossible))

    def runs(self) -> list[str]:
        return [self.run] if isinstance(self.run, str) else self.run or []

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
    if config.kind == "curves" and (config.text is not None or config.source is not None):
        faults.append("text and source are for attention maps; set kind=attention too")
    if config.kind == "attention" and (config.text is None) == (config.source is None):
        faults.append("which sentence? set text='A sentence.', or source=FILE line=N (and not both)")
    return faults
