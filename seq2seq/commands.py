"""Options of commands, apart from the work that they are for: a mistyped one doesn't wait for torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from seq2seq.config import checked
from seq2seq.options import Auto, RuntimeConfig, listed, number

WHICH_MODEL = "which model? set run=FOLDER, the folder that train.py left"


@dataclass(frozen=True)
class ModelConfig(RuntimeConfig):
    """What commands have in common that work with a trained model, or with several as an ensemble."""

    run: str | list[str] | None = None
    checkpoint: Literal["best", "last", "average"] = "best"
    search: dict[str, Any] = field(default_factory=dict)

    def runs(self) -> list[str]:
        """The folders; the first one's search options and metric are the defaults of all."""
        return listed(self.run)

    def searched(self) -> dict[str, Any]:
        """The search options that differ from the run's own."""
        return {name: value for name, value in self.search.items() if value is not None}


@dataclass(frozen=True)
class BatchConfig(ModelConfig):
    """What those have in common that translate many lines."""

    batch_size: int = number(64, 1)
    workers: int | Auto = number("auto", 0, 1024)


@dataclass(frozen=True)
class TranslateConfig(BatchConfig):
    """The options of translate.py; each is explained in configs/translate.yaml."""

    input: str = "-"
    output: str = "-"
    resume: bool = False
    input_format: Literal["text", "json"] = "text"
    attention: bool = False

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TranslateConfig:
        return checked(cls, plain, _impossible)


def _impossible(config: TranslateConfig) -> list[str]:
    faults = [] if any(config.runs()) else [WHICH_MODEL]
    if config.resume and config.output == "-":
        faults.append("resume=true goes on with a file, and output=- is none; set output=FILE")
    if config.batch_size == 1 and config.workers not in ("auto", 0):
        faults.append(
            f"workers={config.workers} spreads the batches of many lines, but batch_size=1 answers each line before it "
            "reads the next; leave one of them out"
        )
    return faults
