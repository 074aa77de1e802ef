"""The options of report.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from seq2seq.config import checked
from seq2seq.options import RuntimeConfig, lengths_faults, number


@dataclass(frozen=True)
class ReportConfig(RuntimeConfig):
    """The options of report.py; each is explained in configs/report.yaml."""

    run: str | None = None
    output: str | None = None
    checkpoint: Literal["best", "last", "average"] = "best"
    attention: bool = True
    sentences: int = number(1000, 1)
    lengths: list[int] | None = None
    resamples: int = number(1000, 2, 100_000)
    batch_size: int = number(64, 1)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ReportConfig:
        return checked(cls, plain, _impossible)

    @property
    def page(self) -> Path:
        """Where the report goes."""
        return Path(str(self.run), "report.html") if self.output is None else Path(self.output)


def _impossible(config: ReportConfig) -> list[str]:
    faults = [] if config.run else ["a report on which model? set run=FOLDER, the folder that train.py left"]
    if config.output == "":
        faults.append("output= names no file; leave it out for report.html in the run's folder")
    return faults + lengths_faults(config.lengths or [])
